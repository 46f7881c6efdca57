"""Text in, policy out; nothing else."""

import subprocess
import sys

import pytest

from lrbench.errors import PolicyError
from lrbench.policy import COSINE, FIX, NSTEP, SINEXP, STEP, TRI, Policy, parse


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("SINEXP(k0=0.01, k1=0.06, gamma=0.99994, l=2000)", SINEXP(k0=0.01, k1=0.06, gamma=0.99994, l=2000)),
        ("NSTEP(k0=0.1, gamma=0.1, l=[5000, 0.9dur])", NSTEP(k0=0.1, gamma=0.1, l=[5000, "0.9dur"])),
        ("STEP(k0=0.1, k1=0.01, gamma=0.5, l=3ep)", STEP(k0=0.1, k1=0.01, gamma=0.5, l="3ep")),
        ("COSINE(k0=0.1, l=1dur).warmup(0.05dur)", COSINE(k0=0.1, l="1dur").warmup("0.05dur")),
        ("FIX(k0=0.1).warmup(5, start=0.01).scaled(0.1)", 0.1 * FIX(k0=0.1).warmup(5, start=0.01)),
        (
            "FIX(k0=0.1).then(TRI(k0=0.0, k1=0.2, l=9).repeated(every=30), at=100).then(FIX(k0=0.01), at=0.5dur)",
            FIX(k0=0.1).then(TRI(k0=0, k1=0.2, l=9).repeated(30), at=100).then(FIX(k0=0.01), at="0.5dur"),
        ),
    ],
)
def test_text_and_python_make_the_same_policy_and_the_same_text(text: str, policy: object) -> None:
    assert parse(text) == policy
    assert str(policy) == repr(policy) == text


@pytest.mark.parametrize(
    "text",
    [
        " FIX ( k0 = 0.1 ) ",
        "FIX(k0=0.1,)",
        "FIX(k0=.1)",
        "FIX(k0=1e-1)",
        "FIX(k0=+0.1)",
        "FIX(\n    k0=0.1,\n)",
        "FIX(k0=0.1000)",
    ],
)
def test_spacing_and_spelling_of_numbers_do_not_matter(text: str) -> None:
    assert parse(text) == FIX(k0=0.1)


def test_lengths_may_be_quoted_as_in_python() -> None:
    assert parse("STEP(k0=0.1, gamma=0.1, l='0.25dur').warmup(\"3ep\")") == parse(
        "STEP(k0=0.1, gamma=0.1, l=0.25dur).warmup(3ep)"
    )


def test_a_bound_policys_text_is_also_python() -> None:
    policy = FIX(k0=0.1).then(NSTEP(k0=0.1, gamma=0.5, l=[5, 9]), at=20).warmup(3).scaled(2.0)
    assert eval(str(policy), {"FIX": FIX, "NSTEP": NSTEP}) == policy


def test_numbers_are_written_in_their_shortest_form_that_reads_back() -> None:
    assert str(FIX(k0=0.1 + 0.2)) == "FIX(k0=0.30000000000000004)"
    assert str(FIX(k0=1)) == "FIX(k0=1.0)"
    assert str(FIX(k0=-0.0)) == "FIX(k0=0.0)"
    assert str(FIX(k0=1e-7)) == "FIX(k0=1e-07)"


def test_keys_and_hashes_are_the_same_in_every_process() -> None:
    text = "STEP(k0=0.1, gamma=0.1, l=0.25dur).warmup(0.05dur)"
    code = f"from lrbench.policy import parse; p = parse({text!r}); print(p.key, hash(p))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "12345")
    }
    policy = parse(text)
    assert seen == {f"{policy.key} {hash(policy)}\n"}


def test_the_key_of_a_policy_is_the_same_in_every_version() -> None:
    # blake2b("FIX(k0=0.1)", 16 bytes), by b2sum -l 128.
    assert FIX(k0=0.1).key == "938ef1eb2a54704884848506d7a847eb"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the name of an LR function where the text ends"),
        ("   ", "the name of an LR function where the text ends"),
        ("FIX", r"'\(' after FIX where the text ends"),
        ("FIX(", "where the text ends"),
        ("FIX(k0", "a number, a length, a list or a policy where there is 'k0'"),
        ("FIX(k0=", "a number, a length, a list or a policy where the text ends"),
        ("FIX(k0=0.1", r"',' or '\)' in FIX where the text ends"),
        ("FIX(k0=0.1))", r"the end, or a '\.' .* where there is '\)'"),
        ("FIX(k0=0.1) FIX(k0=0.1)", "the end, .* where there is 'FIX'"),
        ("FIX(k0=0.1).", "then, warmup, scaled or repeated where the text ends"),
        ("FIX(k0=0.1);import os", "the end, .* where there is ';'"),
        ("FIX(k0 0.1)", "a number, a length, a list or a policy where there is 'k0'"),
        ("FIX(k0=much)", "a number, a length, a list or a policy where there is 'much'"),
        ("STEPP", r"no LR function named 'STEPP' \(did you mean 'STEP'\?\)"),
        ("FIX(k0=0.1 k1=2)", r"',' or '\)' in FIX where there is 'k1'"),
        ("FIX(k0==0.1)", "where there is '='"),
        ("FIX(k0=0.1epoch)", r"there is no unit 'epoch' in '0\.1epoch'.*'3ep' or '0\.25dur'"),
        ("STEP(k0=0.1, gamma=0.1, l=0.1dr)", r"no unit 'dr' \(did you mean 'dur'\?\) in '0\.1dr'"),
        (f"FIX(k0={'1' * 90_000}x)", "there is no unit 'x'"),
        ("FIX(k0=$HOME)", r"where there is '\$'"),
        ("FIX(k0=0.1, 5)", "a parameter's name and '=', as in the rest of FIX"),
        ("FIX(0.1)", "FIX: write every parameter by its name, not just 0.1"),
        ("FIX(k0=0.1, k0=0.2)", "FIX: k0 is given twice"),
        ("FIX(k0=__import__('os').system('true'))", "no LR function named '__import__'"),
        ("FIX(k0=1+1)", "where there is '\\+1'"),
        ("NSTEP(k0=0.1, gamma=0.1, l=[1, [2]])", "a number, a length or a policy"),
        ("NSTEP(k0=0.1, gamma=0.1, l=[1, 2)", r"',' or '\]' where there is '\)'"),
        ("EXP(k0=0.1, gamma=0.1 per)", r"a length after 'per' where there is '\)'"),
        ("EXP(k0=0.1, gamma=0.1 per FIX)", "a length after 'per' where there is 'FIX'"),
        ("sinexp(k0=0.1)", r"no LR function named 'sinexp' \(did you mean 'SINEXP'\?\)"),
        ("TRIEX(k0=0.1)", r"no LR function named 'TRIEX' \(did you mean 'TRIEXP'\?\)"),
        ("STEP(k0=0.1, gama=0.1, l=5)", r"STEP has no parameter 'gama' \(did you mean 'gamma'\?\): it takes k0, k1"),
        ("STEP(k0=0.1, gamma=0.1)", r"STEP needs l \(from one step to the next\): iterations"),
        ("FIX(k0=0.1).sclaed(2)", r"no method 'sclaed' \(did you mean 'scaled'\?\)"),
        ("FIX(k0=0.1).bind(5, 5)", "no method 'bind'"),
        ("FIX(k0=0.1).__class__()", "no method '__class__'"),
        ("FIX(k0=0.1).then(FIX(k0=0.1))", "then: missing a required argument: 'at'"),
        ("FIX(k0=0.1).then(at=5)", "then: missing a required argument: 'policy'"),
        ("FIX(k0=0.1).warmup(5, 0.1, 7)", "warmup: too many positional arguments"),
        ("FIX(k0=0.1).warmup(5, begin=7)", "warmup: got an unexpected keyword argument 'begin'"),
        ("FIX(k0=0.1).scaled(FIX(k0=0.1))", r"scaled: factor must be .* not the policy FIX\(k0=0.1\)"),
        ("FIX(k0=0.1).then(5, at=5)", "then: policies must be a list of at least 2 policies"),
        ("FIX(k0=" + "9" * 401 + ")", "a number has at most 400 characters, not 401"),
        ("FIX(k0=" + "9" * 399 + ")", "FIX: k0 must be a finite number of at least 0, not 9999"),
        ("STEP(k0=0.1, gamma=0.1, l=" + "9" * 399 + ")", "STEP: l must be iterations"),
        ("FIX(k0=1e999)", "FIX: k0 must be a finite number of at least 0, not inf"),
        ("EXP(k0=0.1, gamma=0.1 per 1e999dur)", "EXP: gamma must be a finite number"),
    ],
)
def test_bad_text_is_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says) as caught:
        parse(text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("FIX(k0=0.1).then(" * 100_000, "at most 100000 characters, not 1700000"),
        ("FIX(k0=0.1).then(" * 2000 + "FIX(k0=0.1)" + ", at=1)" * 2000, "at most 50 policies"),
        ("FIX(k0=0.1)" + ".scaled(1.0)" * 5000, "scaled: at most 50 policies may lie inside one another"),
        ("(" * 50_000, "the name of an LR function"),
        ("FIX(k0=" + "[" * 50_000, "a number, a length or a policy"),
        ("NSTEP(k0=0.1, gamma=0.1, l=[" + "1, " * 20_000 + "2])", "a list of 1 to 1000 increasing lengths"),
    ],
)
def test_a_bomb_of_text_is_refused_at_once(text: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        parse(text)


def test_policies_that_double_inside_one_another_are_refused_before_they_fill_the_memory() -> None:
    def doubled(times: int) -> Policy:
        inner = doubled(times - 1) if times else FIX(k0=0.1)
        return inner.then(inner, at="0.5dur").scaled(2)

    with pytest.raises(PolicyError, match="at most 100000 characters"):
        doubled(20)


@pytest.mark.parametrize("value", [None, 5, b"FIX(k0=0.1)", ["FIX(k0=0.1)"], FIX(k0=0.1)])
def test_only_text_is_parsed(value: object) -> None:
    with pytest.raises(PolicyError, match="a policy is described by text, not"):
        parse(value)  # type: ignore[arg-type]
