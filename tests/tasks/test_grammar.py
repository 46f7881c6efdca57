"""The generated language, against an enumeration of all of its sentences."""

import itertools
import math
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import lrbench
from lrbench.errors import DataError
from lrbench.tasks.data import Data
from lrbench.tasks.datasets.grammar import Grammar

SMALL = {"symbols": 3, "rules": 2, "branching": 2, "depth": 2}


def derivations(grammar: Grammar) -> list[tuple[int, ...]]:
    """List the sentence of each derivation, all of which are as probable."""

    def expanded(symbol: int, level: int) -> list[tuple[int, ...]]:
        if level == len(grammar.rules):
            return [(symbol,)]
        sentences = []
        for side in grammar.rules[level, symbol]:
            parts = (expanded(int(part), level + 1) for part in side)
            sentences += [sum(chosen, ()) for chosen in itertools.product(*parts)]
        return sentences

    return [sentence for symbol in range(grammar.symbols) for sentence in expanded(symbol, 0)]


def probabilities(grammar: Grammar) -> dict[tuple[int, ...], float]:
    found = derivations(grammar)
    return {sentence: times / len(found) for sentence, times in Counter(found).items()}


def load(**options: Any) -> Data:
    sizes = {"train": 500, "validation": 200, "test": 100}
    return lrbench.tasks.load_data({"kind": "grammar", **sizes, **options})


@pytest.mark.parametrize(
    ("symbols", "rules", "branching", "depth"), [(3, 2, 2, 2), (2, 2, 2, 3), (4, 3, 2, 2), (2, 4, 3, 2), (5, 1, 2, 2)]
)
def test_the_entropy_is_that_of_all_sentences_by_enumeration(
    symbols: int, rules: int, branching: int, depth: int
) -> None:
    grammar = Grammar.drawn(symbols, rules, branching, depth, seed=3)
    known = probabilities(grammar)

    assert sum(known.values()) == pytest.approx(1)
    assert grammar.entropy == pytest.approx(-sum(p * math.log(p) for p in known.values()))
    assert all(len(sentence) == grammar.length for sentence in known)


def test_sentences_are_drawn_as_often_as_they_are_probable() -> None:
    grammar = Grammar.drawn(**SMALL, seed=0)
    known = probabilities(grammar)

    drawn = Counter(map(tuple, grammar.sentences(48_000, seed=1).tolist()))

    assert drawn.keys() == known.keys()
    expected = 48_000 / len(known)
    statistic = sum((drawn[sentence] - expected) ** 2 / expected for sentence in known)
    assert statistic < len(known) + 5 * math.sqrt(2 * len(known))


def test_no_model_beats_the_floor_and_the_one_that_knows_all_sentences_reaches_it() -> None:
    data = load(**SMALL)
    known = probabilities(Grammar.drawn(**SMALL, seed=0))
    assert data.language is not None
    batch, vocabulary = data.val.first(200), data.language.vocabulary

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        """Predict each token by the probabilities of the sentences that begin like this."""
        rows = []
        for said in tokens.tolist():
            heads = [tuple(said[1 : place + 1]) for place in range(len(said))]
            share = torch.full((vocabulary, len(said)), 1e-9)
            for sentence, probability in known.items():
                for place, head in enumerate(heads):
                    if sentence[:place] == head:
                        share[sentence[place], place] += probability
            rows.append(share.log())
        return torch.stack(rows)

    loss = float(F.cross_entropy(logits(batch.inputs), batch.targets))

    # All rules are as probable: the best model has the same loss on every sentence.
    assert loss == pytest.approx(data.language.entropy, abs=1e-4)


def test_a_sample_is_a_sentence_behind_the_token_that_begins_it() -> None:
    data = load(symbols=4, rules=2, depth=3)
    sentences = Grammar.drawn(4, 2, 2, 3, seed=0).sentences(800, seed=1)

    for split, first in ((data.train, 0), (data.val, 500), (data.test, 700)):
        batch = split.first(50)
        assert batch.targets.tolist() == sentences[first : first + 50].tolist()
        assert (batch.inputs[:, 0] == 4).all()
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])


def test_the_language_is_the_same_on_every_machine() -> None:
    """The first numbers of NumPy's PCG64 of seed 0, whose stream is fixed, decide the first rules."""
    raw = [int(number) for number in np.random.PCG64(np.random.SeedSequence(0)).random_raw(9)]
    order = sorted(range(9), key=raw.__getitem__)

    rules = Grammar.drawn(3, 2, 2, 1, seed=0).rules

    assert rules.reshape(-1, 2).tolist() == [[side // 3, side % 3] for side in order[:6]]


def test_another_seed_is_another_language() -> None:
    assert load(seed=1).checksum != load(seed=0).checksum == load().checksum


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"symbols": 1}, "symbols = 1 must be an integer >= 2"),
        ({"train": 0}, "train = 0 must be an integer >= 1"),
        ({"rules": 2.5}, "rules = 2.5 must be an integer >= 1"),
        ({"seed": -1}, "seed = -1 must be an integer >= 0"),
        ({"symbols": 4, "rules": 5}, "rules = 5 must be at most symbols^(branching-1) = 4"),
        ({"depth": 13}, "a sentence of 2^13 tokens is longer than 4,096"),
        ({"train": 10**8}, "there are more than 268,435,456 tokens or right-hand sides: ask for fewer"),
    ],
)
def test_what_is_no_language_is_refused_in_a_sentence(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"dataset 'grammar': {reason}")):
        load(**options)
