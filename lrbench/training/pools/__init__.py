"""Pools of workers: this process, processes of this machine, or actors of a Ray cluster."""

from lrbench.training.pools.pool import Pool, open_pool, open_pool_apart, room, worthwhile

__all__ = ["Pool", "open_pool", "open_pool_apart", "room", "worthwhile"]
