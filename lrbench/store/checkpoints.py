"""The folder of checkpoints beside a store: what a store or a folder from somebody else cannot turn on other files."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from lrbench.errors import CheckpointError

OWN_NAME = re.compile(r"[0-9a-f]{32}-[0-9]{1,19}\.pt(\.[0-9a-f]{32}\.tmp)?")
"""The key of a training, the iterations behind it, and what a file is called before it is whole."""


class CheckpointFolder:
    """Turns the names of checkpoints into files: names of lrbench's own form, in a folder that is not a link.

    Attributes:
        path: where the folder is, or will be once there is a checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, name: str) -> Path:
        """Return the place of a checkpoint that is written.

        Raises:
            CheckpointError: the name is not of lrbench's own form, or the folder is a symbolic link.
        """
        if not OWN_NAME.fullmatch(name):
            raise CheckpointError(f"the store names the checkpoint {name!r:.100}, which lrbench did not write")
        if self.path.is_symlink():
            raise CheckpointError(f"the checkpoints' folder {self.path} is a symbolic link, it must be a folder")
        return self.path / name

    def file(self, name: str) -> Path:
        """Return the file of a checkpoint that is read.

        Raises:
            CheckpointError: as for `place`; or no regular file is there.
        """
        path = self.place(name)
        if path.is_symlink() or not path.is_file():
            raise CheckpointError(f"cannot read the checkpoint {path}: there is no such file")
        return path

    def delete(self, name: str) -> None:
        """Delete a checkpoint; pass over what is not lrbench's own, and what cannot be deleted."""
        with suppress(CheckpointError, OSError):
            self.place(name).unlink()

    def names(self) -> list[str]:
        """List the names of lrbench's own form in the folder; none where it is a link or cannot be read."""
        with suppress(OSError):
            return (
                [] if self.path.is_symlink() else [name for name in os.listdir(self.path) if OWN_NAME.fullmatch(name)]
            )
        return []
