"""What the command line refuses: one sentence on stderr that names what is wrong, exit code 2, and nothing touched."""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from typer.testing import Result

from lrbench.store import open_store

Command = Callable[..., Result]
Arguments = tuple[str, ...]

TASK = 'task = "mnist1d-mlp"\n'
POLICY = '[[policies]]\npolicy = "FIX(k0=0.1)"\n'
FIX = "FIX(k0=0.1)"
GRID = f'[[policies]]\nfunction = "EXP"\nk0 = {list(range(1, 317))}\ngamma = {[n / 400 for n in range(1, 317)]}\n'
MODIFIERS = f'[[modifiers]]\nmodifier = "PSWA"\nperiod = {list(range(1, 31624))}\np = {list(range(1, 31624))}\n'


@dataclass(frozen=True)
class Refused:
    """A command line, the files it finds, and what its one sentence must name."""

    arguments: Arguments
    names: tuple[str, ...]
    files: dict[str, str | bytes] = field(default_factory=dict)


def refuses(lrbench: Command, folder: Path, case: Refused) -> None:
    for name, content in case.files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = contents(folder)

    result = lrbench(*case.arguments)

    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for name in case.names:
        assert name in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert contents(folder) == before


def contents(folder: Path) -> dict[Path, bytes | None]:
    """All that lies in a folder, but for the files that SQLite itself keeps beside a database while it is open."""
    found = (path for path in folder.rglob("*") if not path.name.endswith(("-wal", "-shm")))
    return {path: path.read_bytes() if path.is_file() else None for path in found}


def toml(text: str | bytes, *names: str) -> Refused:
    return Refused(("run", "study.toml"), ("study.toml", *names), {"study.toml": text})


def key(line: str, *names: str) -> Refused:
    """A study with one more line at its top level."""
    return toml(f"{TASK}{line}\n{POLICY}", *names)


def policy(lines: str, *names: str) -> Refused:
    """A study whose only [[policies]] table holds these lines."""
    return toml(f"{TASK}[[policies]]\n{lines}\n", "[[policies]] 1", *names)


def task(lines: str, *names: str) -> Refused:
    """A study whose [task] table holds these lines."""
    return toml(f"{POLICY}[task]\n{lines}\n", *names)


STUDY_FILES = {
    "truncated": toml('task = "mnist1d-ml', "not valid TOML", "end of document"),
    "truncated in a table": toml(TASK + "[[policies", "not valid TOML", "end of document"),
    "not UTF-8": toml(TASK.encode() + b'description = "caf\xe9"\n', "not UTF-8", "line 2", "0xe9"),
    "nested without end": toml("x = " + "[" * 100_000, "nested too deeply"),
    "a key twice": toml(TASK + TASK + POLICY, "not valid TOML"),
    "empty": toml("", "policies is missing", "at least one [[policies]] table"),
    "unknown key": key("sedes = 3", "unknown key 'sedes'", "did you mean 'seeds'?"),
    "unknown key, none near": key("zzz = 3", "unknown key 'zzz'", "allowed are seeds, margin, target"),
    "description is no text": key("description = 3", "description = 3", "a text"),
    "no task": toml(POLICY, "task is missing"),
    "task and tasks": toml('tasks = ["mnist1d-conv"]\n' + TASK + POLICY, "either task or tasks"),
    "task is a number": toml("task = 3\n" + POLICY, "task = 3", "the name of a task"),
    "tasks is empty": toml("tasks = []\n" + POLICY, "tasks = []"),
    "tasks holds a number": toml("tasks = [1]\n" + POLICY, "tasks = [1]"),
    "a task twice": toml('tasks = ["mnist1d-mlp", "mnist1d-mlp"]\n' + POLICY, "'mnist1d-mlp'", "2 times"),
    "unknown task": toml('task = "mnist1d-mpl"\n' + POLICY, "'mnist1d-mpl'", "did you mean 'mnist1d-mlp'?"),
    "unknown key of a task": task('base = "mnist1d-mlp"\nstep = 3', "'step'", "did you mean 'steps'?"),
    "unknown base of a task": task('base = "mnist1d"', "'mnist1d'"),
    "no steps in a task": task('base = "mnist1d-mlp"\nsteps = 0', "steps", "0"),
    "seeds = 0": key("seeds = 0", "seeds = 0", "a number of seeds from 1 on"),
    "seeds = -1": key("seeds = -1", "seeds = -1", "from 1 on"),
    "seeds = true": key("seeds = true", "seeds = true", "from 1 on"),
    "seeds = 1.5": key("seeds = 1.5", "seeds = 1.5", "from 1 on"),
    "seeds is text": key('seeds = "5"', 'seeds = "5"', "5..40"),
    "seeds is empty": key("seeds = []", "seeds = []"),
    "a seed twice": key("seeds = [4, 1, 4]", "seed 4", "2 times"),
    "a negative seed": key("seeds = [0, -1]", "seeds = [0, -1]", "from 0 on"),
    "half a seed": key("seeds = [0, 0.5]", "seeds = [0, 0.5]"),
    "a seed beyond 63 bits": key("seeds = [9223372036854775808]", "seeds has an integer", "2^63 - 1"),
    "seeds without end": key("seeds = 1000000000000", "1000000000000", "100,000"),
    "negative margin": key("margin = -0.1", "margin = -0.1", "from 0 on"),
    "margin = nan": key("margin = nan", "margin = nan", "finite"),
    "margin = inf": key("margin = inf", "margin = inf", "finite"),
    "margin is text": key('margin = "1%"', 'margin = "1%"'),
    "margin in percent": key("margin = 2", "margin = 2", "from 0 to 1"),
    "target = inf": key("target = inf", "target = inf", "finite"),
    "target = nan": key("target = nan", "target = nan", "finite"),
    "target in percent": key("target = 60", "target = 60", "from 0 to 1"),
    "confirm = -1": key("confirm = -1", "confirm = -1", "from 0 on"),
    "confirm = true": key("confirm = true", "confirm = true"),
    "scale 0": key("base_lr_scales = [0]", "base_lr_scales = [0]", "positive"),
    "scale nan": key("base_lr_scales = [nan]", "base_lr_scales"),
    "a scale twice": key("base_lr_scales = [2, 2.0]", "base_lr_scales = [2, 2.0]", "once"),
    "scales are text": key('base_lr_scales = "all"', 'base_lr_scales = "all"'),
    "no policies": toml(TASK + "policies = []", "policies = []", "at least one"),
    "policies is text": toml(TASK + 'policies = "FIX"', 'policies = "FIX"'),
    "policies holds a number": toml(TASK + "policies = [3]", "policies = [3]", "a list of texts"),
    "a policy's name is a number's": toml(TASK + "[policies]\nflat = 3", "policies = ", "a table of them by name"),
    "a name twice": toml(TASK + POLICY + POLICY, "policy 'FIX(k0=0.1)'", "2 times"),
    "too many runs": key("seeds = 100001", "100001", "100,000"),
    "too many runs in all": toml(
        f'{TASK}seeds = 30000\n[[policies]]\ncatalog = "lrbench13"\n', "390,000 runs", "100,000"
    ),
    "a key without end": toml(TASK + POLICY + "a" + ".a" * 20_000 + " = 1\n", "nested too deeply"),
    "too long": toml(TASK + POLICY + "#" * (16 * 2**20), "cannot be read", "more than 16,777,216 bytes"),
    "an integer of 5,000 digits": key(f"margin = {'1' * 5000}", "an integer is from -2^63 to 2^63 - 1"),
    "a number that no float holds": task(
        f'base = "mnist1d-mlp"\ndivergence_factor = 1{"0" * 400}', "divergence_factor"
    ),
    "steps without end": task('base = "mnist1d-mlp"\nsteps = 1000000000', "steps = 1000000000", "50,000,000"),
    "six large grids": toml(TASK + "seeds = 1\n" + 6 * GRID, "599,136 runs", "100,000"),
    "a grid of modifiers without end": toml(TASK + POLICY + MODIFIERS, "runs, more than the 100,000"),
    "a name that no store can hold": toml(TASK + POLICY + 'name = "a\\u0000b"\n', "'a\\x00b'", "no store can hold"),
    "data in the home of nobody": task(
        'dataset = {kind = "npz", path = "~nosuchuser/a.npz"}\nmodel = "mlp"\nsteps = 10', "~nosuchuser/a.npz begins"
    ),
    "data at no path": task(
        'dataset = {kind = "npz", path = "a\\u0000.npz"}\nmodel = "mlp"\nsteps = 10', "'a\\x00.npz' has a NUL"
    ),
}

POLICIES = {
    "nothing": policy("", "catalog, policy, lrbench, function"),
    "two things": policy('catalog = "lrbench13"\npolicy = "FIX(k0=0.1)"', "catalog and policy"),
    "unknown key beside a catalog": policy('catalog = "lrbench13"\nonli = ["FIX"]', "'onli'", "did you mean 'only'?"),
    "unknown key beside a text": policy('policy = "FIX(k0=0.1)"\nnames = "x"', "'names'", "did you mean 'name'?"),
    "unknown catalog": policy('catalog = "lrbench31"', "lrbench31", "did you mean 'lrbench13'?"),
    "catalog is a number": policy("catalog = 13", "catalog = 13"),
    "missing catalog file": policy('catalog = "mine.toml"', "mine.toml"),
    "only names no entry": policy('catalog = "lrbench13"\nonly = ["TIR"]', "only", "'TIR'", "did you mean 'TRI'?"),
    "except names no entry": policy('catalog = "lrbench13"\nexcept = ["X"]', "except", "'X'", "FIX"),
    "only is text": policy('catalog = "lrbench13"\nonly = "TRI"', 'only = "TRI"'),
    "only is empty": policy('catalog = "lrbench13"\nonly = []', "only = []"),
    "nothing is left": policy('catalog = "lrbench13"\nonly = ["FIX"]\nexcept = ["FIX"]', "leave no entry"),
    "policy is a number": policy("policy = 0.1", "policy = 0.1"),
    "peak is a number": policy('policy = "FIX(k0=0.1)"\npeak = 0.3', "peak = 0.3", '"auto"', "range test"),
    "peak is another word": policy('catalog = "lrbench13"\npeak = "high"', 'peak = "high"', '"auto"'),
    "policy is empty": policy('policy = ""', "[[policies]] 1"),
    "policy is cut off": policy('policy = "FIX(k0=0.1"', "FIX(k0=0.1"),
    "unknown function in a text": policy('policy = "TRIEX(k0=0.1)"', "'TRIEX'", "did you mean 'TRIEXP'?"),
    "negative learning rate": policy('policy = "FIX(k0=-0.1)"', "FIX", "k0", "-0.1"),
    "learning rate nan": policy('policy = "FIX(k0=nan)"', "k0", "nan"),
    "upside-down range": policy('policy = "TRI(k0=0.2, k1=0.1, l=10)"', "k0", "k1"),
    "policy runs code": policy("policy = \"__import__('os').getcwd()\"", "__import__"),
    "name is empty": policy('policy = "FIX(k0=0.1)"\nname = ""', 'name = ""'),
    "name is a number": policy('policy = "FIX(k0=0.1)"\nname = 3', "name = 3"),
    "unknown function": policy('function = "SETP"\nk0 = 0.1', "'SETP'", "did you mean 'STEP'?"),
    "function is a list": policy('function = ["FIX", "STEP"]', "function = "),
    "unknown parameter": policy('function = "FIX"\nk0 = 0.1\nl = 3', "'l'", "k0"),
    "missing parameter": policy('function = "STEP"\nk0 = 0.1', "STEP", "gamma"),
    "parameter out of range": policy('function = "STEP"\nk0 = 0.1\ngamma = [0.5, 1.5]\nl = 3', "gamma", "1.5"),
    "parameter is a table": policy('function = "FIX"\nk0 = {low = 0.1}', "k0"),
    "an axis without values": policy('function = "FIX"\nk0 = []', "k0 = []"),
    "unsorted steps": policy('function = "NSTEP"\nk0 = 0.1\ngamma = 0.1\nl = [20, 10]', "l must be", "increasing"),
    "one name for a grid": policy('function = "FIX"\nk0 = [0.1, 0.2]\nname = "x"', 'name = "x"', "2 policies"),
    "a grid without end": policy(
        f'function = "STEP"\nk0 = {list(range(1, 401))}\ngamma = {[n / 1000 for n in range(1, 401)]}\nl = 10',
        "160,000",
        "100,000",
    ),
    "no policy of LRBench": policy('lrbench = "lrPolicy"', "lrPolicy"),
    "unknown policy of LRBench": policy('lrbench = {lrPolicy = "SINE", k0 = 0.1}', "SINE"),
    "a length of 90,000 digits": policy(
        f'function = "STEP"\nk0 = 0.1\ngamma = 0.1\nl = "{"1" * 90_000}"', "l must be", "'111"
    ),
    "a rate of 90,000 spaces": policy(
        f'function = "EXP"\nk0 = 0.1\ngamma = "1 per 1{" " * 45_000}1{" " * 45_000}"', "gamma must be"
    ),
    "a unit that there is not": policy(
        'function = "STEP"\nk0 = 0.1\ngamma = 0.1\nl = "0.1dr"', "l must be", "unit 'dr'", "did you mean 'dur'?"
    ),
    "another unit in a list": policy(
        'function = "NSTEP"\nk0 = 0.1\ngamma = 0.1\nl = ["1ep", "2epp"]', "unit 'epp'", "did you mean 'ep'?"
    ),
    "another unit in a rate": policy('function = "EXP"\nk0 = 0.1\ngamma = "0.1 per 1dr"', "unit 'dr'", "'dur'?"),
    "another unit in a text": policy('policy = "EXP(k0=0.1, gamma=0.1 per 1dr)"', "unit 'dr'", "'dur'?"),
    "pieces without boundaries": policy('lrbench = [{lrPolicy = "FIX", k0 = 0.1}, {lrPolicy = "FIX", k0 = 0.2}]', "1"),
    "steps shorter than an iteration": toml(
        TASK + '[[policies]]\npolicy = "STEP(k0=0.1, gamma=0.1, l=0.0001dur)"\n', "0.0001dur", "'mnist1d-mlp'"
    ),
    "a catalog file of other keys": Refused(
        ("run", "study.toml"),
        ("mine.toml", "'polices'", "did you mean 'policy'?"),
        {"study.toml": TASK + '[[policies]]\ncatalog = "mine.toml"\n', "mine.toml": "polices = []"},
    ),
}


def option(*arguments: str, names: Arguments, files: dict[str, str | bytes] | None = None) -> Refused:
    """`run` on a good study with these options."""
    return Refused(("run", "good.toml", *arguments), names, {"good.toml": TASK + POLICY, **(files or {})})


def show(*arguments: str, names: Arguments, files: dict[str, str | bytes] | None = None) -> Refused:
    return Refused(("show", *arguments), names, files or {})


COMMANDS = {
    "unknown command": Refused(("rum",), ("'rum'", "'run'")),
    "unknown option": Refused(("run", "--stor", "x"), ("--stor", "--store", "lrbench run --help")),
    "option without its value": Refused(("run", "x.toml", "--store"), ("--store",)),
    "run without a study": Refused(("run",), ("'STUDY'", "lrbench run --help")),
    "missing study file": Refused(("run", "none.toml"), ("none.toml",)),
    "misspelt study": Refused(("run", "quickstrat"), ("quickstrat", "did you mean 'quickstart'?")),
    "study is a folder": Refused(("run", "."), ("a folder", "TOML file")),
    "study is a device": Refused(("run", "/dev/null"), ("/dev/null", "TOML file")),
    "no workers": option("--workers", "0", names=("workers = 0", "from 1 to 1000")),
    "negative workers": option("--workers", "-2", names=("workers = -2",)),
    "unknown workers": option("--workers", "dask", names=("workers = dask", "ray")),
    "unknown engine": option("--engine", "steam", names=("--engine", "'steam'", "stacked")),
    "negative GPUs": option("--gpus-per-worker", "-1", names=("gpus_per_worker = -1", "from 0 on")),
    "unknown device": option("--device", "gpu", names=("device 'gpu'", "cuda")),
    "steps = 0": option("--steps", "0", names=("--steps", "'0'", "from 1")),
    "steps is text": option("--steps", "many", names=("--steps", "'many'")),
    "seeds = 0 as an option": option("--seeds", "0", names=("--seeds", "'0'")),
    "seeds = 1.5 as an option": option("--seeds", "1.5", names=("--seeds", "'1.5'")),
    "missing plugin": option("--plugin", "none.py", names=("none.py",)),
    "plugin is a folder": option("--plugin", ".", names=("plugin",)),
    "plugin is no Python file": option("--plugin", "good.toml", names=("good.toml", "*.py")),
    "plugin is not Python": option(
        "--plugin", "bad.py", names=("bad.py", "SyntaxError"), files={"bad.py": "this is no Python"}
    ),
    "plugin raises": option(
        "--plugin",
        "raising.py",
        names=("raising.py", "line 2", "ZeroDivisionError"),
        files={"raising.py": "x = 0\nx = 1 / x\n"},
    ),
    "plugin exits": option(
        "--plugin", "leaving.py", names=("leaving.py", "SystemExit"), files={"leaving.py": "import sys\nsys.exit(0)\n"}
    ),
    "data root is missing": Refused(
        ("run", "s.toml", "--data-root", "nowhere"),
        ("s.toml", "nowhere", "--download"),
        {"s.toml": 'task = "mnist-lenet"\n' + POLICY},
    ),
    "data root is a file": Refused(
        ("run", "s.toml", "--data-root", "s.toml"), ("s.toml",), {"s.toml": 'task = "mnist-lenet"\n' + POLICY}
    ),
    "score without a task": Refused(("score", FIX), ("--task",)),
    "score of an unknown task": Refused(("score", FIX, "--task", "mnist1d"), ("'mnist1d'",)),
    "score of no policy": Refused(("score", "best", "--task", "mnist1d-mlp"), ("'best'", "FIX(k0=0.1)")),
    "score of a whole catalog": Refused(
        ("score", "lrbench13", "--task", "mnist1d-mlp"), ("'lrbench13'", "13 policies", "lrbench13/FIX")
    ),
    "score with a bad policy": Refused(("score", "FIX(k0=-1)", "--task", "mnist1d-mlp"), ("FIX", "k0", "-1")),
    "score without seeds": Refused(("score", FIX, "--task", "mnist1d-mlp", "--seeds", "0"), ("--seeds", "0")),
    "score to no target": Refused(("score", FIX, "--task", "mnist1d-mlp", "--target", "nan"), ("--target", "nan")),
    "score of steps without end": Refused(
        ("score", FIX, "--task", "mnist1d-mlp", "--steps", "1000000000"), ("--steps", "'1000000000'", "1 to 50000000")
    ),
    "verify within steps without end": Refused(
        ("verify", FIX, "--task", "mnist1d-mlp", "--target", "0.5", "--steps", "1000000000"),
        ("--steps", "1 to 50000000"),
    ),
    "a range test of steps without end": Refused(
        ("range-test", "--task", "mnist1d-mlp", "--steps", "1000000000"), ("--steps", "1 to 50000000")
    ),
    "too many workers": option("--workers", "1001", names=("workers = 1001", "1000")),
    "workers of 5,000 digits": option("--workers", "1" * 5000, names=("workers = ", "1000")),
    "plugin in the home of nobody": option("--plugin", "~nosuchuser/x.py", names=("~nosuchuser/x.py",)),
    "plugin of too long a name": option("--plugin", f"{'x' * 300}.py", names=("xxx.py",)),
    "study of too long a name": Refused(("run", f"{'x' * 300}.toml"), ("xxx.toml", "File name too long")),
    "study that is not UTF-8": Refused(
        ("run", "s\udcff.toml"), ("'s\\udcff'", "UTF-8"), {"s\udcff.toml": TASK + POLICY}
    ),
    "export of a study that is not UTF-8": Refused(("export", "s\udcff"), ("'s\\udcff'", "UTF-8")),
    "show nothing": show(names=("'POLICY'",)),
    "show an unknown catalog": show("lrbench31", names=("'lrbench31'", "did you mean 'lrbench13'?")),
    "show an entry of an unknown catalog": show("lrbench31/TRI", names=("lrbench31", "did you mean 'lrbench13'?")),
    "show an unknown entry": show("lrbench13/TIR", names=("'TIR'", "did you mean 'TRI'?")),
    "show a missing catalog file": show("none.toml", names=("none.toml",)),
    "show an unknown function": show("TRIEX(k0=1)", names=("'TRIEX'", "did you mean 'TRIEXP'?")),
    "show without a budget": show("lrbench13/STEP", names=("STEP", "0.4dur", "--steps")),
    "show without an epoch": show("SIN(k0=0.1, k1=0.2, l=3ep)", "--steps", "100", names=("l=3ep", "--steps-per-epoch")),
    "show what reacts": show("REDUCEONPLATEAU(k0=0.1)", "--steps", "100", names=("REDUCEONPLATEAU", "training")),
    "show no steps": show(FIX, "--steps", "0", names=("--steps", "'0'", "from 1")),
    "show too many steps": show(FIX, "--steps", "1000000000", names=("1,000,000,000 steps", "50,000,000")),
    "show for an unknown task": show(FIX, "--task", "mnist1d", names=("'mnist1d'",)),
    "show a catalog of too long a name": show(f"{'x' * 300}.toml", names=("xxx.toml", "File name too long")),
    "show a length of 90,000 digits": show(f"STEP(k0=1, gamma=1, l='{'1' * 90_000}')", names=("l must be",)),
    "show a unit that there is not": show("STEP(k0=1, gamma=1, l=0.1dr)", names=("unit 'dr'", "did you mean 'dur'?")),
    "picture of too long a name": show(FIX, "-o", f"{'x' * 300}.svg", names=("xxx.svg", "File name too long")),
    "picture of an unknown kind": show(FIX, "-o", "x.jpg", names=("x.jpg", ".svg or .png or .pdf")),
    "picture without a kind": show(FIX, "-o", "x", names=("cannot write x", ".svg or .png or .pdf")),
    "picture in a missing folder": show(FIX, "-o", "none/x.png", names=("none/x.png", "no folder none")),
    "picture where nothing can be written": show(FIX, "-o", "/proc/x.png", names=("cannot write /proc/x.png",)),
    "picture under a file": show(FIX, "-o", "file/x.png", names=("file/x.png",), files={"file": "mine"}),
    "list nothing": Refused(("list",), ("'NOUN'", "functions")),
    "list an unknown noun": Refused(("list", "policy"), ("'policy'", "'policies'")),
    "compare without a store": Refused(("compare", "good", "a", "b"), ("lrbench.db", "--store")),
    "compare one policy": Refused(("compare", "good", "a"), ("'B'",)),
    "export without a store": Refused(("export", "good"), ("lrbench.db", "--store")),
    "export to an unknown kind": Refused(("export", "good", "-o", "runs.xls"), ("runs.xls", ".csv or .json")),
    "export to a missing folder": Refused(("export", "good", "-o", "none/runs.csv"), ("none/runs.csv",)),
}


@pytest.mark.parametrize("case", STUDY_FILES.values(), ids=STUDY_FILES)
def test_a_study_file_is_checked_whole(lrbench: Command, tmp_path: Path, case: Refused) -> None:
    refuses(lrbench, tmp_path, case)


@pytest.mark.parametrize("case", POLICIES.values(), ids=POLICIES)
def test_every_policy_of_a_study_file_is_checked(lrbench: Command, tmp_path: Path, case: Refused) -> None:
    refuses(lrbench, tmp_path, case)


@pytest.mark.parametrize("case", COMMANDS.values(), ids=COMMANDS)
def test_a_command_line_is_checked(lrbench: Command, tmp_path: Path, case: Refused) -> None:
    refuses(lrbench, tmp_path, case)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("command", [("run", "good.toml"), ("score", FIX, "--task", "mnist1d-mlp")])
def test_a_device_that_is_not_there_is_refused(lrbench: Command, tmp_path: Path, command: Arguments) -> None:
    refuses(lrbench, tmp_path, Refused((*command, "--device", "cuda"), ("cuda",), {"good.toml": TASK + POLICY}))


@pytest.mark.parametrize("name", ["pipe.toml", "endless.toml"])
@pytest.mark.parametrize("command", ["run", "show", "search"])
def test_a_pipe_or_a_device_in_place_of_a_file_is_not_read(
    lrbench: Command, tmp_path: Path, command: str, name: str
) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "endless.toml").symlink_to("/dev/zero")

    result = lrbench(command, name)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith(f"{name} cannot be read as a TOML file: it is no regular file\n")


def test_a_pipe_in_place_of_a_catalog_is_not_read(lrbench: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "study.toml").write_text(f'{TASK}[[policies]]\ncatalog = "pipe.toml"\n')

    result = lrbench("run", "study.toml")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "[[policies]] 1: catalog pipe.toml cannot be read as a TOML file: it is no regular file" in result.stderr


def test_a_picture_does_not_replace_a_folder(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()

    refuses(lrbench, tmp_path, show(FIX, "-o", "x.png", names=("x.png", "folder")))


STORES = {
    "a folder": ("folder.db", "folder.db"),
    "a text file": ("text.db", "text.db"),
    "another program's database": ("foreign.db", "another program"),
    "a store of a newer lrbench": ("newer.db", "upgrade lrbench"),
    "under a file": ("text.db/runs.db", "text.db/runs.db"),
    "in a missing folder": ("none/runs.db", "none/runs.db"),
    "in a folder that nothing can be written to": ("/proc/self/runs.db", "/proc/self/runs.db"),
    "a database that is not supported": ("mysql://localhost/runs", "mysql"),
    "no URL": ("://", "://"),
}


@pytest.fixture
def strange_stores(tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    (tmp_path / "text.db").write_text("not a database " * 100)
    with sqlite3.connect(tmp_path / "foreign.db") as foreign:
        foreign.execute("CREATE TABLE notes (text)")
    foreign.close()
    with open_store(tmp_path / "newer.db"):
        pass
    with sqlite3.connect(tmp_path / "newer.db") as newer:
        newer.execute("UPDATE lrbench_schema SET version = version + 1")
    newer.close()


@pytest.mark.parametrize(("store", "named"), STORES.values(), ids=STORES)
@pytest.mark.parametrize("command", ["run", "score", "compare", "export", "list"])
@pytest.mark.usefixtures("strange_stores")
def test_a_store_that_cannot_be_used_is_named_and_left_alone(
    lrbench: Command, tmp_path: Path, command: str, store: str, named: str
) -> None:
    arguments = {
        "run": ("run", "good.toml"),
        "score": ("score", FIX, "--task", "mnist1d-mlp", "--steps", "20"),
        "compare": ("compare", "good", "a", "b"),
        "export": ("export", "good"),
        "list": ("list", "studies"),
    }
    refuses(lrbench, tmp_path, Refused((*arguments[command], "--store", store), (named,), {"good.toml": TASK + POLICY}))


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("compare", "tini", "flat", "stepped"), ("'tini'", "did you mean 'tiny'?")),
        (("compare", "tiny", "flat", "steped"), ("'steped'", "did you mean 'stepped'?")),
        (("export", "tini"), ("'tini'", "did you mean 'tiny'?")),
        (("export", "tiny", "-o", "tiny.toml/runs.csv"), ("tiny.toml/runs.csv",)),
    ],
)
def test_questions_about_what_a_store_does_not_have(
    lrbench: Command, tmp_path: Path, tiny_study: Path, arguments: Arguments, names: Arguments
) -> None:
    lrbench("run", tiny_study, "--steps", "5", "--seeds", "1")

    refuses(lrbench, tmp_path, Refused(arguments, names))


def test_debug_adds_the_traceback_and_keeps_the_sentence_last(lrbench: Command) -> None:
    result = lrbench("show", "FIX(k0=-1)", "--debug")

    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback")
    assert result.stderr.splitlines()[-1].startswith("Error: FIX: k0 must be")
