"""A user's own text, or the tokens that a user's own tokenizer made of one."""

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from lrbench.errors import DataError
from lrbench.files import user_path
from lrbench.policy.budget import read_number
from lrbench.policy.kind import short_repr
from lrbench.tasks.mapped_arrays import opened
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import register_dataset
from lrbench.tasks.windows import Language, consecutive, fewest_tokens, frequencies, unigram_loss

Tokens = NDArray[Any]

BYTES, CHARACTERS = "bytes", "characters"
NUMBERS = (".npy", ".bin")
TYPES = ("uint8", "uint16", "uint32")
"""The types of the tokens of a .bin file, which does not say its own."""
MOST_TOKENS = 2**22
"""The largest vocabulary: a file that is read in the wrong type seems to have a larger one."""


class _Parts(NamedTuple):
    """The places of the parts of a text, in their order."""

    train: range
    validation: range
    test: range


@register_dataset("text", version=1)
def text(
    root: Path,
    download: bool,
    *,
    path: str = "text",
    tokens: str = BYTES,
    context: int = 128,
    validation: float = 0.05,
    test: float = 0.05,
    vocabulary: int | None = None,
    dtype: str = "uint16",
) -> RawData:
    """Your own text, one file or a folder of them, or its tokens as .npy or .bin; options path, tokens, context.

    `path` is relative to the data root (or absolute). The files of a folder are put together in the order of their
    names, those of its subfolders too. The text is cut into a train, a validation and a test part, in this order; the
    last two are fractions of it, or numbers of tokens.

    With `tokens` "bytes" there are 256 tokens; with "characters" those of the train part. A .npy or .bin file has the
    tokens of your own tokenizer, `vocabulary` of them, by default one more than the largest in the train part: a .npy
    integers [T], a .bin integers of the type `dtype` and nothing else. Such a file, or a single one of bytes, is
    mapped, so that it may be larger than memory.

    A sample is a window of `context` tokens, its targets the token behind each. In training, the windows of an epoch
    follow each other from a start that is drawn for each epoch, so that an epoch is one pass over the train part.

    Raises:
        DataError: there is no text, or it cannot be trained on.
    """
    if not isinstance(path, str):
        _refuse(f"path = {short_repr(path)} must be a text")
    if type(context) is not int or context < 1:
        _refuse(f"context = {short_repr(context)} must be an integer >= 1 (tokens)")
    if tokens not in (BYTES, CHARACTERS):
        _refuse(f'tokens = {short_repr(tokens)} must be "{BYTES}" or "{CHARACTERS}"')
    if dtype not in TYPES:
        _refuse(f"dtype = {short_repr(dtype)} must be one of {', '.join(TYPES)}")
    place, sizes = root / user_path(path), {"validation": validation, "test": test}
    if place.suffix in NUMBERS:
        numbers = _numbers(place, dtype)
        parts = _parts(len(numbers), sizes, context)
        return _windows(numbers, parts, context, _vocabulary(numbers, parts, vocabulary))
    if vocabulary is not None:
        _refuse("vocabulary is for tokens in a .npy or .bin file; a text has its own")
    contents = [_content(file) for file in _files(place)]
    if tokens == BYTES:
        whole = contents[0] if len(contents) == 1 else np.concatenate(contents)
        return _windows(whole, _parts(len(whole), sizes, context), context, 256, bytes_per_token=1.0)
    codes = np.concatenate([_code_points(*each) for each in zip(_files(place), contents, strict=True)])
    parts = _parts(len(codes), sizes, context)
    letters = np.unique(codes[parts.train.start : parts.train.stop])
    ids = _encoded(codes, letters, parts)
    held_out = codes[parts.validation.start : parts.validation.stop]
    in_bytes = 1 + sum(float((held_out > last).mean()) for last in (0x7F, 0x7FF, 0xFFFF))
    return _windows(ids, parts, context, len(letters), bytes_per_token=in_bytes)


def _windows(
    tokens: Tokens, parts: _Parts, context: int, vocabulary: int, bytes_per_token: float | None = None
) -> RawData:
    train, val = (frequencies(tokens, part, vocabulary) for part in parts[:2])
    if np.count_nonzero(train) < 2:
        _refuse("the train part has a single token, over and over, so that there is nothing to predict")
    language = Language(vocabulary, unigram_loss(train, val), bytes_per_token)
    splits = [consecutive(tokens, part, context, shifted=part is parts.train) for part in parts]
    return RawData(splits[0], splits[2], None, splits[1], language=language)


def _files(place: Path) -> list[Path]:
    """List the files of a text in the order of their names; hidden ones are none."""
    if place.is_dir():
        inside = (file.relative_to(place) for file in sorted(place.rglob("*")) if file.is_file())
        files = [place / file for file in inside if not any(part.startswith(".") for part in file.parts)]
        if not files:
            _refuse(f"the folder {place} has no files")
        return files
    if not place.is_file():
        what = "is neither a file nor a folder" if place.exists() else "does not exist"
        _refuse(f"{place} {what}: give the path of a text file or of a folder of them, or another --data-root")
    return [place]


def _content(file: Path) -> Tokens:
    """Map the bytes of a file; refuse one that is empty or no text."""
    if not file.stat().st_size:
        _refuse(f"{file} is empty")
    content = np.memmap(file, np.uint8, "r")
    assert isinstance(content.base, mmap.mmap)
    zero = content.base.find(b"\0")
    if zero >= 0:
        other = "save a text in UTF-16 as UTF-8, and give tokens as a .npy or .bin file"
        _refuse(f"{file} is binary, no text: its byte {zero:,} is 0; {other}")
    return content


def _code_points(file: Path, content: Tokens) -> Tokens:
    try:
        return np.frombuffer(content.tobytes().decode("utf-8").encode("utf-32-le"), np.uint32)
    except UnicodeDecodeError as error:
        value = content[error.start]
        _refuse(f'{file} is not UTF-8: its byte {error.start:,} is 0x{value:02x}; save it as UTF-8, or give "{BYTES}"')


def _encoded(codes: Tokens, letters: Tokens, parts: _Parts) -> Tokens:
    """Return the places of characters among `letters`, sorted; refuse one that is not among them."""
    ids = np.searchsorted(letters, codes).clip(max=len(letters) - 1)
    foreign = np.flatnonzero(letters[ids] != codes)
    if len(foreign):
        first = int(foreign[0])
        character, part = chr(codes[first]), "validation" if first in parts.validation else "test"
        _refuse(
            f"the {part} part has the character {character!a} (at {first - getattr(parts, part).start:,}), which is "
            f'nowhere in the train part of {len(parts.train):,}: give more to train, or tokens = "{BYTES}"'
        )
    return ids.astype(np.min_scalar_type(len(letters) - 1))


def _numbers(place: Path, dtype: str) -> Tokens:
    """Map tokens from a file; refuse what is none."""
    if place.suffix == ".npy":
        numbers = opened(place, "tokens")
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            _refuse(f"{place} has {numbers.dtype} {list(numbers.shape)}, and tokens are integers [T]")
    else:
        _files(place)
        size, each = place.stat().st_size, np.dtype(dtype).itemsize
        if size % each:
            _refuse(f"{place} has {size:,} bytes, which are no whole number of {dtype}: give its dtype")
        numbers = np.memmap(place, dtype, "r") if size else np.empty(0, dtype)
        if len(numbers) > 1 and not numbers[1::2].any():
            _refuse(f"{place} has 0 as every second token: its dtype is another than {dtype}, with more bytes a token")
    if not len(numbers):
        _refuse(f"{place} is empty")
    if int(numbers.min()) < 0:
        _refuse(f"{place} has the token {int(numbers.min())}, and tokens begin at 0")
    return numbers


def _vocabulary(numbers: Tokens, parts: _Parts, given: int | None) -> int:
    """Return the number of tokens: the one that is given, or what the train part has; refuse tokens beyond it."""
    if given is not None and (type(given) is not int or not 2 <= given <= MOST_TOKENS):
        _refuse(f"vocabulary = {short_repr(given)} must be an integer from 2 to {MOST_TOKENS:,}")
    largest = {name: int(numbers[part.start : part.stop].max()) for name, part in parts._asdict().items()}
    vocabulary = largest["train"] + 1 if given is None else given
    if vocabulary > MOST_TOKENS:
        _refuse(
            f"the largest token is {vocabulary - 1:,}, and a vocabulary has at most {MOST_TOKENS:,}: is dtype right?"
        )
    beyond = next((name for name, token in largest.items() if token >= vocabulary), None)
    if beyond is not None:
        whose = "that of the train part" if given is None else "as given"
        _refuse(
            f"the {beyond} part has the token {largest[beyond]:,}, and the vocabulary has {vocabulary:,} from 0 on, "
            f"{whose}: give vocabulary = {largest[beyond] + 1} or more"
        )
    return vocabulary


def _parts(tokens: int, sizes: Mapping[str, Any], context: int) -> _Parts:
    """Cut a text into parts, of which all but the first have these sizes: fractions, or numbers of tokens."""
    counts = {}
    for name, size in sizes.items():
        number = read_number(size) if isinstance(size, int | float) else None
        if number is None or not (0 < number < 1 if isinstance(size, float) else number >= 1):
            _refuse(f"{name} = {short_repr(size)} must be a fraction between 0 and 1 or a number of tokens")
        counts[name] = round(size * tokens) if isinstance(size, float) else size
    counts = {"train": tokens - sum(counts.values()), **counts}
    for name, count in counts.items():
        fewest = fewest_tokens(context, shifted=name == "train")
        if count < fewest:
            _refuse(
                f"the {name} part has {max(0, count):,} of {tokens:,} tokens, and windows of context = {context} need "
                f"{fewest:,}: give more text, other parts or a shorter context"
            )
    ends = np.cumsum(list(counts.values())).tolist()
    return _Parts(*map(range, [0, *ends[:-1]], ends))


def _refuse(reason: str) -> NoReturn:
    raise DataError(f"dataset 'text': {reason}")
