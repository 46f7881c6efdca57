"""`python -m lrbench.cli.attended`: the command line, interrupted as by Ctrl-C once its standard input ends.

So a process that another one started ends with it, however that one ends.
"""

import os
import runpy
import signal
import threading


def _interrupt_at_the_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background
    threading.Thread(target=_interrupt_at_the_end_of_input, daemon=True).start()
    runpy.run_module("lrbench", run_name="__main__")
