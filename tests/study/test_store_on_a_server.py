"""What a store in PostgreSQL has beside one in a file: a server that may be away, passwords, a driver."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lrbench.errors import StoreError
from lrbench.study.store import open_store

if TYPE_CHECKING:
    from tests.conftest import Server


def test_a_server_that_stops_is_named_in_one_sentence_and_found_again(server: Server) -> None:
    with open_store(server.url("stopped")) as store:
        server.stop()
        try:
            with pytest.raises(StoreError, match=r"^the store postgresql://lrbench@/postgres[^\n]* cannot be "):
                store.statuses()
            with pytest.raises(StoreError, match=r"cannot be opened: [^\n]+$"):
                open_store(store.name)
        finally:
            server.start()
        assert store.statuses() == {}


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://me:s3cret@{host}/none",
        "postgresql://{host}/none?user=me&password=s3cret",
        "postgresql://me:s3cret@{host}:port/none",
        "postgresql://me:p@s3cret@{host}/none",
        "mysql://me:s3cret@{host}/none",
    ],
)
def test_no_password_is_ever_shown(location: str) -> None:
    with pytest.raises(StoreError) as refused:
        open_store(location.format(host="127.0.0.1:1" if ":port" not in location else "127.0.0.1"))
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_who_knows_no_database_of_that_name_says_so(server: Server) -> None:
    with pytest.raises(StoreError, match=r'cannot be opened: [^\n]*database "nothing" does not exist$'):
        open_store(f"postgresql://lrbench@/nothing?host={server.folder}")


def test_a_missing_driver_is_named_with_what_installs_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'lrbench\[postgres\]'$"):
        open_store(server.url("driver"))


def test_each_database_has_a_folder_of_checkpoints_of_its_own(server: Server) -> None:
    one, other = server.url("one"), server.url("other")
    locations = (one, other, one.replace("lrbench@", "lrbench:password@"))
    folders = []
    for location in locations:
        with open_store(location) as store:
            folders.append(store.checkpoints.path)
    assert folders[0] != folders[1]
    assert folders[0] == folders[2]
    assert {folder.parent for folder in folders} == {Path(".")}
