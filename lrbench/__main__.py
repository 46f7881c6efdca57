"""`python -m lrbench`: the command line."""

from lrbench.cli import main

main()
