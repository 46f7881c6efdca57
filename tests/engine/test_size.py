import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrbench.engine.size import byte_count, exact_size, rough_size


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (0, 0),
        (1000, 1000),
        ("0B", 0),
        ("12 B", 12),
        ("1KiB", 1024),
        ("512MiB", 512 * 1024**2),
        ("1.5 GiB", 3 * 2**29),
        ("2GiB", 2**31),
        ("1TiB", 2**40),
        ("2MB", 2_000_000),
        ("2GB", 2_000_000_000),
    ],
)
def test_a_size_is_a_number_of_bytes_or_text_with_a_unit(size: object, count: int) -> None:
    assert byte_count(size) == count


@pytest.mark.parametrize(
    "size", ["", "GiB", "2", "-1GiB", "2gib", "2 G", "1e3MiB", "nanB", "inf", 1.5, -1, True, None, 2**61, "9999999TiB"]
)
def test_anything_else_is_no_size(size: object) -> None:
    assert byte_count(size) is None


@given(st.integers(0, 2**60))
def test_the_exact_text_of_a_size_is_read_back(count: int) -> None:
    assert byte_count(exact_size(count)) == count


def test_exact_text_has_the_largest_unit_that_fits() -> None:
    assert [exact_size(n) for n in (0, 1023, 1024, 2**31, 3 * 2**29)] == ["0B", "1023B", "1KiB", "2GiB", "1536MiB"]


def test_rough_text_is_for_people() -> None:
    assert [rough_size(n) for n in (0, 1000, 2048, 64 * 32 * 32 * 50_000 * 4)] == [
        "0 bytes",
        "1000 bytes",
        "2.0 KiB",
        "12.2 GiB",
    ]
