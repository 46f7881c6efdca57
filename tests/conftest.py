import glob
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the store or cache of the person who runs it; decoded data is shared by the tests."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("LRBENCH_STORE", raising=False)
        environment.setenv("LRBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "lrbench-cache"))
        yield


class Server:
    """A PostgreSQL server of its own in a new folder, reached by a socket there, run by `nobody` where we are root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._account: dict[str, Any] = (
            {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        if self._account:
            shutil.chown(folder, "nobody", "nogroup")
        self._call("initdb", "--username=lrbench", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        settings = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        self._call("pg_ctl", "start", "--wait", f"--log={self.folder}/log", f"--options={settings}")

    def stop(self) -> None:
        self._call("pg_ctl", "stop", "--wait", "--mode=immediate")

    def url(self, schema: str) -> str:
        """Where a schema is, which is made if it is not there."""
        with psycopg.connect(host=str(self.folder), user="lrbench", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        return f"postgresql://lrbench@/postgres?host={self.folder}&options=-csearch_path%3D{schema}"

    def _call(self, program: str, *arguments: str) -> None:
        folders = [os.environ["PATH"], *glob.glob("/usr/lib/postgresql/*/bin")]
        found = shutil.which(program, path=os.pathsep.join(folders))
        assert found is not None, f"the tests need {program}: install PostgreSQL's server (apt-get install postgresql)"
        command = [found, f"--pgdata={self.folder}/data", *arguments]
        with (self.folder / "said").open("w+") as said:
            done = subprocess.run(command, stdout=said, stderr=said, cwd=self.folder, **self._account)
            said.seek(0)
            assert done.returncode == 0, said.read()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with TemporaryDirectory(prefix="lrbench-postgres-") as folder:
        server = Server(Path(folder))
        server.start()
        yield server
        server.stop()
