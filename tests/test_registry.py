import importlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lrbench.errors import LRBenchError, StudyError, TaskError
from lrbench.registry import Registry
from lrbench.tasks import OptimizerSpec, register_augmentation, register_optimizer
from tests.registries import REGISTRIES, forget_registrations


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.noun)
def test_an_unknown_name_is_refused_with_the_nearest_one(registry: Registry[object]) -> None:
    known = next(iter(registry))
    with pytest.raises(LRBenchError, match=rf"^there is no {registry.noun} named '{known}x' \(did you mean '{known}'"):
        registry.find(f"{known}x")


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.noun)
def test_another_module_cannot_take_a_name(registry: Registry[object], monkeypatch: pytest.MonkeyPatch) -> None:
    forget_registrations(monkeypatch)
    known = next(iter(registry))
    with pytest.raises(LRBenchError, match=f"^the {registry.noun} '{known}' is registered already: choose another"):
        registry.add(known, registry[known], __name__)
    registry.add("own", registry[known], __name__)
    registry.add("own", registry[known], __name__)
    assert list(registry)[-1] == "own"


def test_where_no_name_is_near_all_are_listed() -> None:
    colours: Registry[int] = Registry("colour", StudyError)
    colours.add("red", 1, __name__)
    colours.add("green", 2, __name__)
    with pytest.raises(StudyError, match=r"^there is no colour named 'xyz'; there are red, green$"):
        colours.find("xyz")


def test_the_modules_of_a_package_are_imported_when_its_names_are_first_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "some_colours"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from lrbench.registry import Registry\nfrom lrbench.errors import TaskError\n"
        "COLOURS = Registry('colour', TaskError, __name__)\n"
    )
    (package / "warm.py").write_text("from some_colours import COLOURS\nCOLOURS.add('red', 1, __name__)\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    colours = importlib.import_module("some_colours").COLOURS
    with pytest.raises(TaskError, match="the colour 'red' is registered already"):
        colours.add("red", 2, __name__)
    assert dict(colours) == {"red": 1}


def test_threads_that_read_a_registry_first_all_see_the_whole_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "slow_colours"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from lrbench.registry import Registry\nfrom lrbench.errors import TaskError\n"
        "COLOURS = Registry('colour', TaskError, __name__)\n"
    )
    (package / "warm.py").write_text(
        "import time\nfrom slow_colours import COLOURS\ntime.sleep(0.2)\nCOLOURS.add('red', 1, __name__)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    colours = importlib.import_module("slow_colours").COLOURS
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: list(colours), range(4))) == [["red"]] * 4


def test_only_a_frozen_dataclass_that_builds_is_registered_as_an_optimizer() -> None:
    class Bare:
        """No dataclass."""

    @dataclass(frozen=True)
    class Idle:
        """A dataclass that builds nothing."""

        rate: float = field(default=1.0)

    for candidate in (Bare, Idle, 5):
        with pytest.raises(
            TaskError, match="registered as an optimizer must be a frozen dataclass with the method build"
        ):
            register_optimizer(candidate)  # type: ignore[type-var]
    with pytest.raises(
        TaskError, match="registered as an augmentation must be a frozen dataclass with the method __call"
    ):
        register_augmentation(Bare)
    assert not isinstance(Idle(), OptimizerSpec)
