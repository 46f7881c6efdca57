"""How fast lrbench is beside other ways to do the same, measured here and now: `python tests/benchmarks`.

    python tests/benchmarks --json ratios.json                 all benchmarks; an hour or two
    python tests/benchmarks --quick                            all of them, smaller; the baselines of the quickstart
                                                               train a sample of its runs; half an hour
    python tests/benchmarks engine tree --data-root DATA       some of them, on the real MNIST under DATA
    python tests/benchmarks gpu --json gpu.json                on a GPU; three minutes, and lrbench itself is enough

It prints a Markdown table of ratios, and with --json writes everything that was measured. A ratio is what a baseline
needs over what lrbench needs. Both have their turn in each round, in the same minutes on the same machine; the table
has the median over the rounds with the lowest and the highest. Run it on a machine that does nothing else. It takes
what `pip install -e '.[dev]'` installs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import sys
import tempfile
from pathlib import Path

import mnist
from document import document, table
from harness import Comparison, Settings, Size

GPU = "gpu"
CASES = {
    "engine": "one thread training LeNet, beside a hand-written loop and the official PyTorch example's",
    "loader": "one thread training LeNet through torch's DataLoader, beside a hand-written loop over the same",
    "quickstart": "the quickstart as a user runs it, beside Optuna, Ray Tune and Lightning training the same runs",
    "tree": "a study of step parameters as a tree, beside each of its runs trained for itself",
    "stacked": "K runs as one batched computation, beside the serial engine",
    "limits": "products of stacked runs in bfloat16, and of stacked convolutions, beside those that are in use",
    "workers": "two worker processes, beside one",
    "store": "what a run costs in a store of 100,000 runs, beside one of 1,000",
    "scale": "ranking, report and dry run of a study with 20,000 policies, beside one with 2,000",
    "serve": "how soon pages of a store of 100,000 runs are there, beside those of one of 1,000",
    "startup": "how soon commands are there, beside a bare Python and `import torch`",
    GPU: "an iteration on a GPU, alone and stacked, beside hand-written loops; only where it is named",
}


def main() -> None:
    arguments = _parser().parse_args()
    names = arguments.names or [name for name in CASES if name != GPU]
    device = _device(arguments.device) if GPU in names else None
    with tempfile.TemporaryDirectory() as scratch:
        data_root, data = arguments.data_root, mnist.REAL
        if not mnist.there(data_root):
            data_root, data = Path(scratch), mnist.SYNTHETIC
            mnist.write_synthetic(data_root)
        settings = Settings(arguments.size, arguments.rounds, data_root.resolve(), arguments.device)
        found: dict[str, list[Comparison]] = {}
        for name in names:
            print(f"{name}: {CASES[name]}", file=sys.stderr, flush=True)
            found[name] = importlib.import_module(f"cases.{name}").compare(settings)
            made = document(shlex.join(["python", *sys.argv]), data, found, device)
            if arguments.json:
                arguments.json.write_text(json.dumps(made, indent=2) + "\n")
    print(table(made))


def _device(name: str) -> str:
    """Describe the device that is named; end the program where it is not here."""
    from lrbench.engine.device import describe_device, resolve_device
    from lrbench.errors import LRBenchError

    try:
        return describe_device(resolve_device(name))
    except LRBenchError as error:
        print(f"the benchmark of GPUs cannot run here: {error}", file=sys.stderr)
        sys.exit(2)


def _known(name: str) -> str:
    if name not in CASES:
        raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(CASES)}")
    return name


def _parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {name:12}{about}" for name, about in CASES.items())
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks",
        description=f"{__doc__}\nbenchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", type=_known, help=f"which; all but {GPU} unless given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all that was measured")
    parser.add_argument("--rounds", type=int, metavar="N", help="how many rounds, in place of each benchmark's own")
    parser.add_argument(
        "--data-root", type=Path, default=Path("data"), metavar="DIR", help="where MNIST/raw lies (default: data)"
    )
    parser.add_argument("--device", default="cuda", metavar="NAME", help=f"of the benchmark {GPU} (default: cuda)")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--quick", dest="size", action="store_const", const=Size.QUICK, help="smaller, for a first impression"
    )
    sizes.add_argument(
        "--toy", dest="size", action="store_const", const=Size.TOY, help="seconds; only shows that everything runs"
    )
    parser.set_defaults(size=Size.FULL)
    return parser


if __name__ == "__main__":
    main()
