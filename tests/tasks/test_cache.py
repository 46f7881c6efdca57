"""The dataset cache: used when whole and new, rebuilt when not, never needed."""

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from lrbench.tasks import RawData, Split
from lrbench.tasks.cache import cache_folder, load_cached


class Decoder:
    """A dataset that counts how often it is decoded."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> RawData:
        self.calls += 1
        split = Split(torch.arange(12, dtype=torch.uint8).reshape(3, 4), torch.tensor([0, 1, 2]))
        return RawData(split, split, 3, class_names=("a", "b", "c"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LRBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(b"pixels")
    return path


def test_a_dataset_is_decoded_once(folder: Path, source: Path) -> None:
    decode = Decoder()
    first = load_cached("digits", {}, (source,), decode)
    second = load_cached("digits", {}, (source,), decode)
    assert decode.calls == 1
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert first.digests == second.digests
    assert second.num_classes == 3
    assert second.class_names == ("a", "b", "c")


def test_a_validation_split_of_its_own_comes_back(folder: Path) -> None:
    split = Split(torch.zeros(2, 1), torch.tensor([0, 1]))
    raw = RawData(split, split, 2, val=split)
    load_cached("own", {}, (), lambda: raw)
    assert load_cached("own", {}, (), Decoder()).val is not None


@pytest.mark.parametrize("change", ["size", "time", "options", "sources"])
def test_a_changed_source_or_option_is_decoded_again(folder: Path, source: Path, change: str) -> None:
    decode = Decoder()
    load_cached("digits", {"size": 8}, (source,), decode)
    options = {"size": 8}
    sources: tuple[Path, ...] = (source,)
    if change == "size":
        source.write_bytes(b"more pixels")
    elif change == "time":
        os.utime(source, ns=(1, 1))
    elif change == "options":
        options = {"size": 9}
    else:
        sources = (source, source)
    load_cached("digits", options, sources, decode)
    assert decode.calls == 2


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, alter, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("pattern", ["*/index.json", "*/train-inputs-*.npy", "*/test-targets-*.npy"])
def test_a_torn_or_altered_entry_is_rebuilt(
    folder: Path, source: Path, damage: Callable[[Path], object], pattern: str
) -> None:
    decode = Decoder()
    expected = load_cached("digits", {}, (source,), decode)
    damage(next(folder.glob(pattern)))
    assert load_cached("digits", {}, (source,), decode).digests == expected.digests
    assert decode.calls == 2
    load_cached("digits", {}, (source,), decode)
    assert decode.calls == 2


@pytest.mark.parametrize("index", ["[]", "{}", "null", '{"signature": 1}', "\udcff"])
def test_a_foreign_index_is_rebuilt(folder: Path, index: str) -> None:
    decode = Decoder()
    load_cached("digits", {}, (), decode)
    next(folder.glob("*/index.json")).write_bytes(index.encode(errors="surrogateescape"))
    load_cached("digits", {}, (), decode)
    assert decode.calls == 2


def test_an_index_cannot_point_to_pickled_objects(folder: Path) -> None:
    import numpy as np

    decode = Decoder()
    load_cached("digits", {}, (), decode)
    index = next(folder.glob("*/index.json"))
    np.save(index.parent / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    content = json.loads(index.read_text())
    content["files"]["train-inputs"] = "evil.npy"
    index.write_text(json.dumps(content))
    load_cached("digits", {}, (), decode)
    assert decode.calls == 2


def test_nothing_but_the_current_entry_stays_behind(folder: Path, source: Path) -> None:
    load_cached("digits", {}, (source,), Decoder())
    source.write_bytes(b"other pixels")

    def decode() -> RawData:
        split = Split(torch.ones(3, 4), torch.tensor([0, 1, 2]))
        return RawData(split, split, 3)

    load_cached("digits", {}, (source,), decode)
    files = {path.name for path in folder.glob("*/*")}
    index = json.loads(next(folder.glob("*/index.json")).read_text())
    assert files == {"index.json", *index["files"].values()}


def test_a_cache_that_cannot_be_written_costs_a_warning_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    monkeypatch.setenv("LRBENCH_CACHE", str(blocked))
    with pytest.warns(UserWarning, match="decoded anew each time because the cache .* cannot be written"):
        raw = load_cached("digits", {}, (), Decoder())
    assert raw.num_classes == 3


@pytest.mark.parametrize("chosen", ["", "~/cache"])
def test_who_has_no_home_is_warned_and_decodes_anew(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    def unknown(user: object) -> NoReturn:
        raise KeyError(user)

    monkeypatch.setenv("LRBENCH_CACHE", chosen)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.warns(UserWarning, match=r"decoded anew each time because nobody knows where ~/\S*cache\S* is: "):
        raw = load_cached("digits", {}, (), Decoder())
    assert raw.num_classes == 3


def test_the_cache_is_below_the_home_folder_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LRBENCH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lrbench"
