"""`python -m lrbench`: the command line.

For `-m` Python puts the working directory first among the folders that it imports from. It is taken out here, so that
a file that lies there is not imported for its name, as with the command `lrbench`. Python itself has then imported a
few modules of its standard library already: `python -P -m lrbench` never looks into the working directory.
"""

import os
import sys


def _main() -> None:
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        del sys.path[0]

    from lrbench.cli import main

    main()


_main()
