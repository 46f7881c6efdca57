"""Who trains: this process, processes of this machine, or actors of a Ray cluster, all by the same words."""

from lrbench.training.pools.pool import Pool, open_pool, open_pool_apart, room, worthwhile

__all__ = ["Pool", "open_pool", "open_pool_apart", "room", "worthwhile"]
