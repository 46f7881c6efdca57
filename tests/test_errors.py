import pickle

import pytest

from lrbench.errors import LONGEST_SENTENCE, PolicyError, StudyError
from lrbench.policy import parse


@pytest.mark.parametrize("length", [1, LONGEST_SENTENCE])
def test_a_sentence_that_is_not_over_long_is_whole(length: int) -> None:
    assert str(StudyError("x" * length)) == "x" * length


def test_an_over_long_sentence_keeps_its_beginning_and_its_end() -> None:
    error = pickle.loads(pickle.dumps(StudyError(f"seeds = {'9' * 100_000} must be a number")))
    assert str(error).startswith("seeds = 99")
    assert str(error).endswith("99 must be a number")
    assert len(str(error)) <= LONGEST_SENTENCE + 3


@pytest.mark.parametrize("text", [f"{'X' * 5000}(k0=0.1)", f"FIX({'k' * 5000}=0.1)", f"FIX(k0='{'1' * 5000}')"])
def test_a_long_name_or_value_is_not_quoted_whole(text: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        parse(text)
    assert len(str(refusal.value)) <= LONGEST_SENTENCE + 3
