"""Random streams: every random draw is named, none is remembered.

A draw is identified by the run's seed, the name of its stream ("init", "batch order", "augment", ...) and an index
(the epoch or the step). Nothing carries generator state from one step to the next, so a run can be resumed, forked
or replayed from any step, and switching one stream on moves no other.
"""

from hashlib import blake2b


def stream_seed(seed: int, stream: str, index: int = 0) -> int:
    """The 63-bit seed of draw `index` of the stream named `stream` in the run with seed `seed`."""
    digest = blake2b(f"{seed}/{stream}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
