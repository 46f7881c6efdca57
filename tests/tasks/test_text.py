"""A user's own text, and its tokens."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lrbench
from lrbench.engine import advance, begin, identical
from lrbench.engine.batches import train_batches
from lrbench.errors import DataError, TaskError
from lrbench.tasks.data import Data
from lrbench.tasks.task import Task
from lrbench.training.pools.pickling import pickled

LINE = "It was a dark and stormy night; the rain fell in torrents.\n"


def load(path: Path, **options: Any) -> Data:
    return lrbench.tasks.load_data({"kind": "text", "path": str(path), "context": 8, **options})


def task_on(data: Data, **settings: Any) -> Task:
    model = {"kind": "gpt", "layers": 1, "heads": 2, "width": 8}
    return Task(**{"name": "text", "data": data, "model": model, "batch_size": 4, "steps": 12, **settings})


def written(folder: Path, content: str | bytes, name: str = "a.txt") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_the_parts_of_a_text_follow_each_other(tmp_path: Path) -> None:
    text = bytes(range(1, 101)) * 5
    data = load(written(tmp_path, text), validation=100, test=50)

    def evaluated(split: Any) -> bytes:
        return b"".join(bytes(batch.inputs.flatten().tolist()) for batch in split.evaluated(3))

    assert evaluated(data.train) == text[: len(data.train) * 8]
    assert evaluated(data.val) == text[350 : 350 + 96]
    assert evaluated(data.test) == text[450 : 450 + 48]


def test_the_target_of_a_token_is_the_one_behind_it(tmp_path: Path) -> None:
    data = load(written(tmp_path, LINE * 20))
    batch = data.val.first(3)

    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64


def test_an_epoch_is_one_pass_over_the_train_part_from_a_start_of_its_own(tmp_path: Path) -> None:
    task = task_on(load(written(tmp_path, bytes(range(1, 251)), "a"), validation=20, test=20), batch_size=5)
    steps = task.steps_per_epoch

    def read(epoch: int, seed: int = 0) -> list[int]:
        batches = train_batches(task, seed, epoch * steps, (epoch + 1) * steps)
        return sorted(token for batch in batches for token in batch.inputs.flatten().tolist())

    passes = [read(0), read(1), read(2), read(0, seed=1)]

    for found in passes:
        assert found == list(range(found[0], found[0] + 8 * 5 * steps))
    assert len({found[0] for found in passes}) > 1
    assert read(0) == passes[0]


def test_resuming_and_forking_are_exact_across_epochs(tmp_path: Path) -> None:
    task = task_on(load(written(tmp_path, LINE * 7)), steps=24, eval_every=3)
    lrs = np.full(24, 0.01)
    assert task.steps_per_epoch < 12

    whole, _ = advance(task, begin(task, 3), lrs)
    state = begin(task, 3)
    for part in np.split(lrs, (2, 3, 11, 16)):
        state, _ = advance(task, state, part)

    assert identical(state.model, whole.model)


def test_a_folder_is_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, content in {"b.txt": "b" * 60, "a.txt": "a" * 60, ".hidden": "h", "c/d.txt": "d" * 60}.items():
        written(tmp_path / "texts" / Path(name).parent, content, Path(name).name)
    written(tmp_path, "a" * 60 + "b" * 60 + "d" * 60, "whole")
    parts = {"validation": 40, "test": 20}

    assert load(tmp_path / "texts", **parts).checksum == load(tmp_path / "whole", **parts).checksum


def test_characters_are_those_of_the_train_part(tmp_path: Path) -> None:
    file = written(tmp_path, "äöü€😀 abc" * 60)
    characters, in_bytes = load(file, tokens="characters"), load(file)

    assert characters.language is not None
    assert in_bytes.language is not None
    assert (characters.language.vocabulary, in_bytes.language.vocabulary) == (9, 256)
    assert characters.language.bytes_per_token == pytest.approx(17 / 9, rel=0.1)
    assert in_bytes.language.bytes_per_token == 1


def test_tokens_of_a_users_own_tokenizer_are_used_as_they_are(tmp_path: Path) -> None:
    tokens = np.arange(600) % 300
    tokens.astype(np.uint16).tofile(tmp_path / "a.bin")
    np.save(tmp_path / "a.npy", tokens)
    binary, array = load(tmp_path / "a.bin"), load(tmp_path / "a.npy", vocabulary=512)

    assert torch.equal(binary.val.first(9).inputs, array.val.first(9).inputs)
    assert binary.val.first(1).inputs[0, 0] == 240
    assert binary.language is not None
    assert array.language is not None
    assert (binary.language.vocabulary, array.language.vocabulary) == (300, 512)
    assert binary.language.bytes_per_token is None


@pytest.mark.parametrize("name", ["tokens.npy", "text.txt"])
def test_a_file_is_mapped_and_goes_to_workers_by_its_name(tmp_path: Path, name: str) -> None:
    tokens = np.arange(1_000_000, dtype=np.uint8) % 100 + 1
    np.save(tmp_path / name, tokens) if name.endswith("npy") else tokens.tofile(tmp_path / name)
    data = load(tmp_path / name, validation=1000, test=1000)

    assert len(pickled(data.val)) < 10_000
    assert isinstance(vars(data.train)["tokens"], np.memmap)


def test_a_text_is_judged_by_its_loss_and_chance_is_the_loss_of_frequencies_alone(tmp_path: Path) -> None:
    task = task_on(load(written(tmp_path, "aaab" * 5000)))

    assert (task.objective, task.better) == ("loss", "lower")
    assert task.chance == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=0.01)


def test_chance_is_no_worse_than_equal_probabilities_where_most_tokens_are_new(tmp_path: Path) -> None:
    np.save(tmp_path / "new.npy", np.arange(5000, dtype=np.uint16))
    task = task_on(load(tmp_path / "new.npy", vocabulary=5000, validation=500, test=500))

    assert task.chance == math.log(5000)


def test_a_task_says_how_many_tokens_a_run_sees(tmp_path: Path) -> None:
    task = task_on(load(written(tmp_path, LINE * 8)))

    assert f"384 tokens a run, {12 / task.steps_per_epoch:.3g} passes over the train part" in str(task)


def test_budgets_and_lengths_are_in_tokens_too(tmp_path: Path) -> None:
    file = written(tmp_path, LINE * 40)
    task = task_on(load(file))
    dataset, model = {"kind": "text", "path": str(file), "context": 8}, {"kind": "gpt", "layers": 1, "width": 8}
    table = {"dataset": dataset, "model": model, "batch_size": 4}
    assert (task.tokens_per_step, task.parameters) == (32, 256 * 8 + 8 * 8 + 12 * 8 * 8 + 13 * 8 + 2 * 8)

    assert task.with_budget("6400tok").steps == lrbench.load_task({**table, "steps": "6400tok"}).steps == 200
    assert lrbench.load_task({**table, "steps": "2tok/param"}).steps == round(2 * (task.parameters or 0) / 32)
    assert task.bind(lrbench.policy.parse("STEP(k0=1, gamma=0.5, l=320tok)"))(10) == 0.5
    assert lrbench.load_task({**table, "steps": "2ep"}).eval_every == 2 * task.steps_per_epoch // 20
    with pytest.raises(TaskError, match=r"steps = '0\.5dur' must be a number of iterations"):
        lrbench.load_task({**table, "steps": "0.5dur"})


def test_another_text_or_another_context_is_another_task(tmp_path: Path) -> None:
    one, other = written(tmp_path, LINE * 8, "one"), written(tmp_path, LINE * 7 + LINE.upper(), "other")
    keys = [task_on(data).key for data in (load(one), load(other), load(one, context=9), load(one))]

    assert len(set(keys)) == 3
    assert keys[0] == keys[3]


NUMBERS = np.arange(400) % 7
BAD: dict[str, tuple[bytes | np.ndarray[Any, Any] | None, dict[str, Any], str]] = {
    "missing": (None, {}, "does not exist: give the path of a text file or of a folder of them, or another"),
    "empty": (b"", {}, "is empty"),
    "tiny": (b"so short", {}, "the train part has 8 of 8 tokens, and windows of context = 8 need 16: give more text"),
    "small-parts": (b"word " * 30, {}, "the validation part has 8 of 150 tokens, and windows of context = 8 need 9"),
    "binary": (
        b"\x89PNG\r\n\x1a\n\0\0" * 99,
        {},
        "is binary, no text: its byte 8 is 0; save a text in UTF-16 as UTF-8",
    ),
    "utf-16": (
        "word ".encode("utf-16") * 99,
        {},
        "is binary, no text: its byte 3 is 0; save a text in UTF-16 as UTF-8",
    ),
    "latin-1": ("Café ".encode("latin-1") * 99, {"tokens": "characters"}, "is not UTF-8: its byte 3 is 0xe9; save it"),
    "one-symbol": (b"z" * 999, {}, "the train part has a single token, over and over, so that there is nothing to"),
    "beyond": (
        b"abc " * 99 + "é".encode(),
        {"tokens": "characters"},
        r"the test part has the character '\xe9' (at 19), which is nowhere in the train part of 357: give more to",
    ),
    "beyond.npy": (
        np.append(NUMBERS, 9),
        {},
        "the test part has the token 9, and the vocabulary has 7 from 0 on, that",
    ),
    "fewer.npy": (
        NUMBERS,
        {"vocabulary": 3},
        "the train part has the token 6, and the vocabulary has 3 from 0 on, as given",
    ),
    "negative.npy": (NUMBERS - 1, {}, "has the token -1, and tokens begin at 0"),
    "huge.npy": (NUMBERS * 10**8, {}, "the largest token is 600,000,000, and a vocabulary has at most 4,194,304: is"),
    "real.npy": (NUMBERS / 2, {}, "has float64 [400], and tokens are integers [T]"),
    "no.npy": (b"text", {}, "the tokens cannot be read from"),
    "odd.bin": (b"123", {}, "has 3 bytes, which are no whole number of uint16: give its dtype"),
    "empty.bin": (b"", {}, "is empty"),
    "wider.bin": (
        NUMBERS.astype("uint32").tobytes(),
        {},
        "has 0 as every second token: its dtype is another than uint16",
    ),
    "narrower.bin": (
        bytes(range(256)) * 8,
        {"dtype": "uint32"},
        "the largest token is 4,294,901,244, and a vocabulary",
    ),
    "long": (b"word " * 99, {"context": 500}, "windows of context = 500 need 1,000: give more text, other parts or a"),
    "context": (b"word " * 99, {"context": 0}, "context = 0 must be an integer >= 1 (tokens)"),
    "kind": (b"word " * 99, {"tokens": "words"}, """tokens = 'words' must be "bytes" or "characters\""""),
    "fraction": (b"word " * 99, {"test": 1.5}, "test = 1.5 must be a fraction between 0 and 1 or a number of tokens"),
    "all": (b"word " * 99, {"test": 500}, "the train part has 0 of 495 tokens"),
    "type": (b"word " * 99, {"dtype": "int8"}, "dtype = 'int8' must be one of uint8, uint16, uint32"),
    "words": (b"word " * 99, {"vocabulary": 9}, "vocabulary is for tokens in a .npy or .bin file; a text has its own"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_text_to_train_on_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    content, options, reason = BAD[name]
    if isinstance(content, np.ndarray):
        np.save(tmp_path / name, content)
    elif content is not None:
        written(tmp_path, content, name)

    with pytest.raises(DataError, match=re.escape(reason)) as error:
        load(tmp_path / name, **options)

    assert "\n" not in str(error.value)
    assert str(error.value).count("dataset 'text'") == 1


def test_of_a_folder_the_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    written(tmp_path, LINE * 9)
    for name, content, what in (
        ("b.png", b"\x89PNG\0", "is binary"),
        ("c.md", b"", "is empty"),
        ("d.jpg", b"\xff", "is not"),
    ):
        file = written(tmp_path, content, name)
        with pytest.raises(DataError, match=f"{re.escape(str(file))} {what}"):
            load(tmp_path, tokens="characters")
        file.unlink()


def test_a_path_that_is_no_text_is_refused() -> None:
    with pytest.raises(DataError, match=r"^dataset 'text': path = 5 must be a text$"):
        lrbench.tasks.load_data({"kind": "text", "path": 5})


class OfFewTokens(nn.Module):
    """A model of its own vocabulary, at both ends."""

    def __init__(self, known: int, predicted: int) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(known, 8), nn.Linear(8, predicted)

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embedding(ids))
        return logits.movedim(-1, 1)


@pytest.mark.parametrize(
    ("known", "predicted", "sentence"),
    [
        (7, 8, r"the model fails on a batch of shape \[2, 8\] of 8 tokens: IndexError: index out of range"),
        (8, 7, r"the loss fails on outputs \[2, 7, 8\] and targets \[2, 8\] of 8 tokens: IndexError: Target 7 is out"),
    ],
)
def test_a_model_of_too_few_tokens_is_refused_though_its_first_samples_have_no_others(
    tmp_path: Path, known: int, predicted: int, sentence: str
) -> None:
    np.save(tmp_path / "tokens.npy", np.append(NUMBERS[:300], [7, *NUMBERS]))
    data = load(tmp_path / "tokens.npy")
    assert int(data.train.first(2).targets.max()) < 7
    assert task_on(data, model=lambda: OfFewTokens(8, 8)).steps == 12
    with pytest.raises(TaskError, match=sentence):
        task_on(data, model=lambda: OfFewTokens(known, predicted))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the folder .* has no files"):
        load(tmp_path)


def test_a_share_to_hold_out_of_samples_is_refused_for_a_text(tmp_path: Path) -> None:
    file = written(tmp_path, LINE * 9)

    with pytest.raises(DataError, match="it has a validation split of its own"):
        lrbench.tasks.load_data({"kind": "text", "path": str(file), "context": 8}, 0.2)
