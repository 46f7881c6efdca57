"""The benchmarks, a module each with `compare(settings) -> list[Comparison]`.

Where a candidate of ours needs a process of its own, it is the same module, run by `python -m cases.NAME`.
"""
