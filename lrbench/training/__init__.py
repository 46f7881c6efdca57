"""Training a study: the plan, the tree, the coordinator that alone writes, and the pools of workers."""
