"""Files: what is read has bounds, and what is no file or no TOML is named as such."""

import os
from pathlib import Path

import pytest

from lrbench.errors import LRBenchError
from lrbench.files import read_regular, toml_tables, user_path, utf8_text, write_atomically
from tests.permissions import permissions_bind


def test_a_file_is_read_up_to_its_bound_and_not_further(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")

    assert read_regular(file, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(file, 4)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pipe", "no regular file"),
        ("endless", "no regular file"),
        (".", "Is a directory"),
        ("none", "No such file"),
        ("a\0b", "null byte"),
        ("x" * 300, "File name too long"),
        ("unreadable", "Permission denied"),
    ],
)
def test_what_is_no_readable_file_is_an_error_at_once(tmp_path: Path, name: str, says: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "unreadable").touch(mode=0)

    if name == "unreadable":
        with permissions_bind(), pytest.raises(OSError, match=says):
            read_regular(tmp_path / name, 10)
    else:
        with pytest.raises(OSError, match=says):
            read_regular(tmp_path / name, 10)


@pytest.mark.parametrize(
    "content",
    [
        "a" + ".a" * 20_000 + " = 1",
        "[" + "a . " * 20_000 + "a]",
        '"a".' * 20_000 + "a = 1",
        "x = " + "[" * 20_000,
        "x = " + "{a = " * 20_000,
    ],
    ids=["dotted key", "header", "quoted key", "arrays", "tables"],
)
def test_toml_that_is_nested_without_end_is_refused_before_it_takes_memory(content: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        toml_tables(content.encode())


def test_dots_in_a_text_are_no_deep_key() -> None:
    text = "see a.b.c, and so on" + "." * 1000

    assert toml_tables(f'a.b.c = "{text}"'.encode()) == {"a": {"b": {"c": text}}}


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" * 5000, f"0x{'f' * 90_000}"])
def test_an_integer_beyond_64_bits_is_refused_wherever_it_stands(number: str) -> None:
    with pytest.raises(ValueError, match=r"integer .* from -2\^63 to 2\^63 - 1"):
        toml_tables(f"[[tables]]\nkey = [1, [{number}]]".encode())


def test_the_largest_integers_of_toml_are_read() -> None:
    tables = toml_tables(b"low = -9223372036854775808\nhigh = 9223372036854775807")

    assert tables == {"low": -(2**63), "high": 2**63 - 1}


@pytest.mark.parametrize("path", ["~nosuchuser/data", "a\0b"])
def test_a_path_that_cannot_be_is_named(path: str) -> None:
    with pytest.raises(LRBenchError, match=r"~nosuchuser/data begins with|'a\\x00b' has a NUL"):
        user_path(path)


def test_a_name_in_an_encoding_of_the_system_is_read_as_utf8() -> None:
    assert utf8_text("größe") == "größe"
    with pytest.raises(LRBenchError, match=r"'st\\udcff' is not UTF-8"):
        utf8_text("st\udcff")


def test_a_file_with_the_longest_name_there_is_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / ("ü" * 127)

    write_atomically(file, b"content")

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"content"]
