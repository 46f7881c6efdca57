import io
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from lrbench.engine import (
    State,
    advance,
    begin,
    identical,
    load_checkpoint,
    save_checkpoint,
    state_from_bytes,
    state_to_bytes,
)
from lrbench.errors import CheckpointError
from lrbench.tasks.optimizers import Adam
from lrbench.tasks.task import Task


@pytest.fixture
def state(cnn_task: Task) -> State:
    task = cnn_task.with_(optimizer=Adam())
    return advance(task, begin(task, 1), np.full(10, 0.01))[0]


def test_a_state_comes_back_bit_for_bit(state: State, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new folder" / "state.pt", state)
    assert identical(load_checkpoint(tmp_path / "new folder" / "state.pt"), state)


def test_training_goes_on_from_a_file_as_if_it_had_not_stopped(state: State, cnn_task: Task, tmp_path: Path) -> None:
    task = cnn_task.with_(optimizer=Adam())
    save_checkpoint(tmp_path / "state.pt", state)
    rest = np.full(20, 0.01)
    assert identical(advance(task, load_checkpoint(tmp_path / "state.pt"), rest)[0], advance(task, state, rest)[0])


def test_a_checkpoint_from_before_states_had_groups_is_read(state: State) -> None:
    written = state_to_bytes(state)
    header = written[: written.index(b"\n") + 1]
    fields = torch.load(io.BytesIO(written[len(header) + 32 :]), weights_only=True)
    del fields["groups"]
    buffer = io.BytesIO()
    torch.save(fields, buffer)
    assert identical(state_from_bytes(header + sha256(buffer.getvalue()).digest() + buffer.getvalue()), state)


def test_writing_again_replaces_the_file_and_leaves_nothing_else(state: State, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "state.pt", state)
    save_checkpoint(tmp_path / "state.pt", replace(state, step=11))
    assert load_checkpoint(tmp_path / "state.pt").step == 11
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_file_cut_anywhere_in_its_last_4_kib_is_refused(state: State, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint(path, state)
    content = path.read_bytes()
    for length in [*range(max(0, len(content) - 4096), len(content)), 0, 5, 30]:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"state\.pt"):
            load_checkpoint(path)


def test_a_file_with_one_changed_byte_is_refused(state: State, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint(path, state)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="torn or was altered"):
        load_checkpoint(path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    torch.save({"step": 1}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "state.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*gone\.pt: No such file"):
        load_checkpoint(tmp_path / "gone.pt")


def test_a_place_that_cannot_be_written_is_named(state: State, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*state\.pt"):
        save_checkpoint(tmp_path / "file" / "state.pt", state)
