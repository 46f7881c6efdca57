"""Fingerprints change with a value or with code, and with nothing else, in any process."""

import dataclasses
import enum
import functools
import math
import re
import subprocess
import sys
import threading
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lrbench.errors import TaskError
from lrbench.tasks import Metric
from lrbench.tasks.fingerprint import ADDED_LATER, fingerprint

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(value=VALUES)
def test_a_value_has_one_fingerprint(value: Any) -> None:
    assert fingerprint(value) == fingerprint(value)


@given(a=VALUES, b=VALUES)
def test_different_values_have_different_fingerprints(a: Any, b: Any) -> None:
    assert (fingerprint(a) == fingerprint(b)) == (repr(a) == repr(b))


def define(source: str, name: str = "f") -> Any:
    """What a user's module that holds this source calls `name`."""
    module = types.ModuleType("a_users_module")
    sys.modules["a_users_module"] = module
    exec(compile(source, "a_users_module.py", "exec"), vars(module))  # a user's file, written in the test
    return getattr(module, name)


SAME = [
    ("f = lambda x: x + 1", "\n\n# a comment\nf = lambda x: x + 1"),
    ("def f(x):\n    return x * 2", "def f(x): return x * 2"),
    ("unused = 1\ndef f(x): return x", "unused = 2\ndef f(x): return x"),
    ("def f(x: int) -> int: return x", "def f(x): return x"),
    ("k = (1, 2)\nf = [k, k]", "f = [(1, 2), (1, int('2'))]"),
    ("import logging\nlog = logging.getLogger('a')\ndef f(): log.info(1)",) * 2,
]
DIFFERENT = [
    ("f = lambda x: x + 1", "f = lambda x: x + 2"),
    ("f = lambda x: x + 1", "f = lambda x: x - 1"),
    ("f = lambda x=1: x", "f = lambda x=2: x"),
    ("def f(*, x=1): return x", "def f(*, x=2): return x"),
    ("k = 1\ndef f(x): return x + k", "k = 2\ndef f(x): return x + k"),
    ("def make(k): return lambda: k\nf = make(1)", "def make(k): return lambda: k\nf = make(2)"),
    ("def g(): return 1\ndef f(): return g()", "def g(): return 2\ndef f(): return g()"),
    ("k = 1\nf = lambda: (lambda: k)()", "k = 2\nf = lambda: (lambda: k)()"),
    ("import math\nf = lambda: math.sin", "import math\nf = lambda: math.cos"),
    ("class f:\n    k = 1", "class f:\n    k = 2"),
    ("class f:\n    def g(self): return 1", "class f:\n    def g(self): return 2"),
    ("class f:\n    @property\n    def g(self): return 1", "class f:\n    @property\n    def g(self): return 2"),
    ("class f:\n    @staticmethod\n    def g(): return 1", "class f:\n    @staticmethod\n    def g(): return 2"),
    ("class b:\n    k = 1\nclass f(b): pass", "class b:\n    k = 2\nclass f(b): pass"),
    ("class c:\n    k = 1\nf = lambda: c()", "class c:\n    k = 2\nf = lambda: c()"),
    ("class c:\n  def __init__(s): s.k = 1\nf = c()", "class c:\n  def __init__(s): s.k = 2\nf = c()"),
    (
        "def f():\n  try: return 1\n  except ValueError: return 2",
        "def f():\n  try: return 1\n  except OSError: return 2",
    ),
    ("f = {'a', 'b'}", "f = {'a', 'c'}"),
    (
        "import functools\n@functools.cache\ndef f(): return 1",
        "import functools\n@functools.cache\ndef f(): return 2",
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_layout_comments_annotations_and_unused_globals_do_not_count(one: str, other: str) -> None:
    assert fingerprint(define(one)) == fingerprint(define(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_code_constants_defaults_closures_globals_and_classes_count(one: str, other: str) -> None:
    assert fingerprint(define(one)) != fingerprint(define(other))


@pytest.mark.parametrize(
    "source",
    [
        "def f(n): return f(n - 1)",
        "class f:\n    def make(self): return f()",
        "def g(): return f\ndef f(): return g",
        "f = []\nf.append(f)",
    ],
)
def test_what_refers_to_itself_ends(source: str) -> None:
    assert fingerprint(define(source)) == fingerprint(define(source))


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Size:
    width: int


class Net(nn.Module):
    def __init__(self, width: int, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale
        torch.manual_seed(0)
        self.layer = nn.Linear(width, 2)


class Private(nn.Module):
    def __init__(self, gamma: float) -> None:
        super().__init__()
        self._gamma = gamma


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ("1", b"1"),
        ([1], (1,)),
        (torch.zeros(2), torch.zeros(3)),
        (torch.zeros(2), torch.ones(2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16)),
        (np.zeros(2), np.zeros(2, np.float32)),
        (np.array(["a", None]), np.array(["b", None])),
        (np.float32(1), np.float32(2)),
        (Colour.RED, Colour.BLUE),
        (Size(1), Size(2)),
        (functools.partial(F.cross_entropy), functools.partial(F.cross_entropy, label_smoothing=0.1)),
        (F.cross_entropy, F.mse_loss),
        (math.sin, math.cos),
        (nn.Linear, nn.Conv2d),
        (nn.Linear(2, 2).forward, nn.ReLU().forward),
        (Net(2), Net(3)),
        (Net(2, scale=1), Net(2, scale=2)),
        (Private(0.0), Private(5.0)),
        (nn.Sequential(nn.Dropout(0.1)), nn.Sequential(nn.Dropout(0.2))),
        ([1].count, [2].count),
        (np.tanh, np.sinh),
        (list[int], list[str]),
        (re.compile("a"), re.compile("b")),
        (torch.float32, torch.float64),
        (Path("a"), Path("b")),
        (range(2), range(3)),
    ],
)
def test_values_of_every_kind_are_told_apart(one: Any, other: Any) -> None:
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)


def test_networks_with_the_same_weights_are_the_same() -> None:
    assert fingerprint(Net(2)) == fingerprint(Net(2))


def test_a_module_of_the_users_own_counts_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "import a_users_network\nf = lambda: a_users_network.width"
    seen = set()
    for width in (1, 2):
        (tmp_path / "a_users_network.py").write_text(f"width = {width}")
        sys.modules.pop("a_users_network", None)
        seen.add(fingerprint(define(source)))
    assert len(seen) == 2


def test_a_module_that_a_users_module_uses_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "an_outer_module.py").write_text("from an_inner_module import Net")
    seen = set()
    for width in (1, 2):
        (tmp_path / "an_inner_module.py").write_text(f"class Net:\n    width = {width}")
        for name in ("an_outer_module", "an_inner_module"):
            sys.modules.pop(name, None)
        seen.add(fingerprint(define("import an_outer_module\nf = lambda: an_outer_module.Net")))
    assert len(seen) == 2


@pytest.mark.parametrize("handle", [threading.Lock(), (n for n in ""), sys.stdout, torch.Generator()])
def test_what_has_no_identity_beyond_the_process_is_refused_asking_for_a_version(handle: Any) -> None:
    def model() -> Any:
        return handle

    with pytest.raises(TaskError, match='give the task version="'):
        fingerprint(model)
    assert fingerprint(model, version="1") != fingerprint(model, version="2")


def test_a_version_stands_for_the_users_code_and_not_for_plain_values() -> None:
    one, other = define("f = lambda: 1"), define("f = lambda: 2")
    assert fingerprint(one, version="1") == fingerprint(other, version="1")
    assert fingerprint((one, 0.1), version="1") != fingerprint((one, 0.2), version="1")
    assert fingerprint(F.cross_entropy, version="1") != fingerprint(F.mse_loss, version="1")


def test_an_object_can_say_what_it_is() -> None:
    class Tagged:
        def __init__(self, tag: str, lock: Any) -> None:
            self.tag, self.lock = tag, lock

        def __fingerprint__(self) -> tuple[str]:
            return (self.tag,)

    assert fingerprint(Tagged("a", threading.Lock())) == fingerprint(Tagged("a", threading.Lock()))
    assert fingerprint(Tagged("a", None)) != fingerprint(Tagged("b", None))


SCRIPT = """
import torch
from torch import nn
from lrbench.tasks import Metric
from lrbench.tasks.fingerprint import ADDED_LATER, fingerprint
width = 3
names = {"b", "a", "c"}
class Net(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.layer = nn.Linear(width, k)
    def forward(self, x):
        return self.layer(x) if "a" in {"a", "b", "zz"} else None
def make(k):
    return lambda: Net(k), names
print(fingerprint((make(2), Net, torch.ones(3))))
"""


def printed_by(script: Path, hash_seed: str) -> str:
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_a_new_process_gives_the_same_fingerprint(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    first = printed_by(script, "1")
    assert len(first.strip()) == 32
    assert first == printed_by(script, "2")


def test_a_metric_without_what_was_added_to_it_has_the_fingerprint_that_it_had_before() -> None:
    before = dataclasses.make_dataclass(
        "Metric", ["name", "function", "chance"], frozen=True, namespace={"__module__": "lrbench.tasks.metric"}
    )
    was = fingerprint(before("mse", F.mse_loss, 1.0))
    mse: Any = F.mse_loss
    assert fingerprint(Metric("mse", mse, 1.0)) == was
    assert fingerprint(Metric("mse", mse, 1.0, better="higher", bounds=(None, None))) == was
    changed: list[dict[str, Any]] = [
        {"better": "lower"},
        {"bounds": (0.0, None)},
        {"better": "lower", "bounds": (0.0, None)},
    ]
    assert len({was, *(fingerprint(Metric("mse", mse, 1.0, **fields)) for fields in changed)}) == 4


def test_the_margin_of_a_metric_changes_no_number_and_no_fingerprint() -> None:
    mse: Any = F.mse_loss
    assert fingerprint(Metric("mse", mse, 1.0, margin=0.1)) == fingerprint(Metric("mse", mse, 1.0))


@dataclass
class Grown:
    old: object
    new: object = dataclasses.field(default=1, metadata=ADDED_LATER)


def test_a_field_that_was_added_later_counts_once_it_differs_in_value_or_type() -> None:
    digests = [fingerprint(Grown(0, new)) for new in (1, 2, 1.0, True)]
    assert len(set(digests)) == 4
    assert fingerprint(Grown(0)) == digests[0]
