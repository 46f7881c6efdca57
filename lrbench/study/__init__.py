"""A study as a value: its file, its policies and variants, its results, comparisons and exports."""
