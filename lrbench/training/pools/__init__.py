"""Who trains: this process, processes of this machine, or actors of a Ray cluster, all by the same words."""

from lrbench.training.pools.pool import Pool, Workers, open_pool, open_pool_apart, parse_workers, room, worthwhile

__all__ = ["Pool", "Workers", "open_pool", "open_pool_apart", "parse_workers", "room", "worthwhile"]
