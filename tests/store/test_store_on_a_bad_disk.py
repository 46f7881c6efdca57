"""A disk that is full, read-only or damaged: one sentence, and nothing of what was written is lost."""

from __future__ import annotations

import gzip
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lrbench.errors import StoreError
from lrbench.store import NewRun, Score, Segment, Store, open_store
from lrbench.study.results import results
from tests.permissions import permissions_bind

KEY = "0" * 32
NEW = NewRun(KEY, "task", "task-key", "FIX(k0=0.1)", "", seed=0, steps=99_999, provenance={})


@contextmanager
def files_no_larger_than(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def segment(step: int) -> Segment:
    return Segment(step, 1.0, step, tuple(Score(step - 9 + more, 1.0, 1.0, 0.5, 1.0, 0.5) for more in range(10)))


def train(store: Store, steps: int) -> Iterator[int]:
    """Add segments until so many iterations are done, and say how many are after each."""
    with store.lease() as lease:
        lease.claim([KEY])
        lease.begin([NEW])
        for step in range(10, steps + 10, 10):
            lease.append({KEY: segment(step)})
            yield step


@pytest.mark.parametrize("limit", [150_000, 231_072, 300_001])
def test_on_a_full_disk_what_was_written_stays_and_the_rest_can_follow(limit: int, tmp_path: Path) -> None:
    seen: list[int] = []
    sentence = r"^the store .* cannot be written: [^\n]*run the study again, which goes on from what was written$"
    refusal = pytest.raises(StoreError, match=sentence)
    with open_store(tmp_path / "runs.db") as store, files_no_larger_than(limit), refusal:
        seen.extend(train(store, 9_990))
    written = max(seen)
    with open_store(tmp_path / "runs.db") as store, store.lease() as lease:
        assert [score.step for score in store.runs([KEY])[KEY].scores] == list(range(1, written + 1))
        lease.claim([KEY])
        lease.append({KEY: segment(written + 10)})
        assert store.runs([KEY])[KEY].step == written + 10


@pytest.mark.parametrize("limit", [4096 * 10, 4096 * 20 + 1])
def test_a_log_that_could_not_be_moved_to_the_file_for_want_of_room_is_read(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = open_store(path)
    assert max(train(store, 500)) == 500
    with files_no_larger_than(limit):
        store.close()
    assert path.stat().st_size <= limit
    with open_store(path) as store:
        assert len(store.runs([KEY])[KEY].scores) == 500


def test_a_store_that_may_only_be_read_says_so() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        with open_store(path) as store:
            assert max(train(store, 20)) == 20
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        try:
            with permissions_bind(), pytest.raises(StoreError) as refused, open_store(path) as store, store.lease():
                pass
        finally:
            Path(folder).chmod(0o755)
        assert str(refused.value).endswith("let it and its folder be written, or name another by --store")
        assert "\n" not in str(refused.value)
        with open_store(path) as store:
            assert store.runs([KEY])[KEY].step == 20


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Be somebody who may read a folder and what is in it, and write neither."""
    folder.chmod(0o555)
    try:
        with permissions_bind():
            yield
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("name", ["runs.db", "50%20 of #1?.db"])
def test_a_store_in_a_folder_that_may_only_be_read_is_read(name: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        with open_store(path) as store:
            assert max(train(store, 20)) == 20
            expected = store.runs([KEY])
        with read_only(Path(folder)), open_store(path, must_exist=True) as store:
            assert store.runs([KEY]) == expected
        assert [file.name for file in Path(folder).iterdir()] == [name]


def test_a_store_is_read_where_only_another_may_write_who_does_so_meanwhile() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        with open_store(path) as store:
            assert max(train(store, 20)) == 20
        with read_only(Path(folder)):
            reader = open_store(path)
            assert reader.runs([KEY])[KEY].step == 20
        with open_store(path) as store, store.lease() as lease:
            lease.claim([KEY])
            lease.append({KEY: segment(30)})
            with read_only(Path(folder)):
                assert reader.runs([KEY])[KEY].step == 30
                with open_store(path) as another:
                    assert another.runs([KEY])[KEY].step == 30


def test_a_store_that_may_only_be_read_and_has_a_log_alone_says_what_is_missing() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        with open_store(path) as store:
            assert max(train(store, 20)) == 20
            kept = {suffix: path.with_name(path.name + suffix).read_bytes() for suffix in ("", "-wal")}
        for suffix, content in kept.items():
            path.with_name(path.name + suffix).write_bytes(content)
        with (
            read_only(Path(folder)),
            pytest.raises(StoreError, match=r"^[^\n]*its folder is there, and may be written where it has a log$"),
        ):
            open_store(path)


def test_an_older_store_in_a_folder_that_may_only_be_read_is_read_as_it_is() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        path.write_bytes(gzip.decompress((Path(__file__).parent / "stores" / "schema_2.db.gz").read_bytes()))
        with read_only(Path(folder)), open_store(path) as store:
            assert len(results("two_policies", store).tasks[0].scorecards) == 2
        open_store(path).close()
