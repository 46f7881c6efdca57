"""What is read off docstrings."""

from lrbench.display.docstring import attributes, first_sentence


class Base:
    """A base. It has more.

    Attributes:
        first, second: what both
            of them are
        third: of the base: with a colon
    """


class Derived(Base):
    """A derived one (of
    two lines). And more.

    Attributes:
        third: its own

    Raises:
        ValueError: never
    """


def test_the_first_sentence_may_fill_several_lines() -> None:
    assert first_sentence(Derived) == "A derived one (of two lines)."


def test_attributes_are_those_of_a_class_and_of_its_bases() -> None:
    both = "what both of them are"

    assert attributes(Base) == {"first": both, "second": both, "third": "of the base: with a colon"}
    assert attributes(Derived) == {"first": both, "second": both, "third": "its own"}
