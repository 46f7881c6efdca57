"""Text and HTML of results: tables, names that fit, curves, and what `print` and a notebook show."""
