"""The folder of checkpoints beside a store, safe against the names and links of a stranger's store."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lrbench.errors import CheckpointError

OWN_NAME = re.compile(r"[0-9a-f]{32}-[0-9]{1,19}\.pt(\.[0-9a-f]{32}\.tmp)?")
"""The key of a training and its iterations, and the ending of a file that is not whole yet."""


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder of checkpoints, which is not a link, with names of lrbench's own form.

    Attributes:
        path: the folder, which is made with the first checkpoint.
    """

    path: Path

    def place(self, name: str) -> Path:
        """Return the path of a checkpoint to write.

        Raises:
            CheckpointError: the name is not of lrbench's own form, or the folder is a symbolic link.
        """
        if not OWN_NAME.fullmatch(name):
            raise CheckpointError(f"the store names the checkpoint {name!r:.100}, which lrbench did not write")
        if self.path.is_symlink():
            raise CheckpointError(f"the checkpoints' folder {self.path} is a symbolic link, it must be a folder")
        return self.path / name

    def file(self, name: str) -> Path:
        """Return the path of a checkpoint to read.

        Raises:
            CheckpointError: as for `place`; or no regular file is there.
        """
        path = self.place(name)
        if path.is_symlink() or not path.is_file():
            raise CheckpointError(f"cannot read the checkpoint {path}: there is no such file")
        return path

    def delete(self, name: str) -> None:
        """Delete a checkpoint, unless it is not lrbench's own or cannot be deleted."""
        with suppress(CheckpointError, OSError):
            self.place(name).unlink()

    def folder(self, key: str) -> Path:
        """Return the folder that the training function of a run may keep files in; it makes it."""
        return self.path / f"{key}.run"

    def delete_folder(self, key: str) -> None:
        """Delete the folder of a run, if there is one and it can be deleted."""
        shutil.rmtree(self.folder(key), ignore_errors=True)

    def names(self) -> list[str]:
        """List the names of lrbench's own form in the folder; none where it is a link or cannot be read."""
        names: list[str] = []
        if not self.path.is_symlink():
            with suppress(OSError):
                names = os.listdir(self.path)
        return [name for name in names if OWN_NAME.fullmatch(name)]
