"""The text of policies: `SINEXP(k0=0.01, k1=0.06, gamma=0.99994, l=2000).warmup(0.05dur)`, read by a parser.

policy   = NAME "(" [argument ("," argument)*] ")" ("." METHOD "(" [argument ("," argument)*] ")")*
argument = [NAME "="] value
value    = policy | number | length | number "per" length | "[" value ("," value)* "]" | quoted text
length   = whole number | number ("ep" | "dur" | "tok" | "tok/param")
METHOD   = "then" | "warmup" | "scaled" | "repeated"
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

from lrbench.errors import PolicyError, did_you_mean
from lrbench.policy.budget import LONGEST_TEXT, NUMBER, UNIT, UNITS, unknown_unit
from lrbench.policy.function import FUNCTIONS, build
from lrbench.policy.kind import short_repr
from lrbench.policy.policy import MAX_DEPTH, MAX_TEXT, Policy

METHODS: dict[str, Callable[..., Policy]] = {
    "then": Policy.then,
    "warmup": Policy.warmup,
    "scaled": Policy.scaled,
    "repeated": Policy.repeated,
}

_TOKEN = re.compile(
    rf"""\s*(?:
        (?P<number>{NUMBER}|[+-](?:inf|nan)\b)(?P<unit>(?:{UNIT})\b)?(?![\w./])
      | (?P<name>[A-Za-z_]\w*)
      | (?P<quoted>"[^"]*"|'[^']*')
      | (?P<mark>[()\[\],=.])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)
_BLANK = re.compile(r"\s*")
_CONSTANTS = {"True": True, "False": False, "true": True, "false": False, "None": None}
_WORD = re.compile(r"\s*([\w.+-]*)", re.ASCII)


def parse(text: str) -> Policy:
    """Parse the text of a policy; `parse(str(policy)) == policy`. Nothing in the text is executed.

    Raises:
        PolicyError: the text is no policy, names an unknown function or parameter, or gives a value that is not
            allowed.
    """
    if not isinstance(text, str):
        raise PolicyError(f"a policy is described by text, not {short_repr(text)}")
    if len(text) > MAX_TEXT:
        raise PolicyError(f"a policy's text has at most {MAX_TEXT} characters, not {len(text)}")
    reader = _Reader(text)
    policy = reader.policy()
    reader.expect_end()
    return policy


class _Reader:
    """A recursive-descent parser over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._start = 0
        self._depth = 0
        self._advance()

    def policy(self) -> Policy:
        name = self._name("the name of an LR function")
        FUNCTIONS.find(name)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PolicyError(f"at most {MAX_DEPTH} policies may lie inside one another in a policy's text")
        policy: Policy = build(name, self._named_arguments(name))
        while self._take("."):
            policy = self._method(policy)
        self._depth -= 1
        return policy

    def expect_end(self) -> None:
        if self._kind != "end":
            raise self._surprise("the end, or a '.' and then, warmup, scaled or repeated")

    def _method(self, policy: Policy) -> Policy:
        name = self._name("then, warmup, scaled or repeated")
        if name not in METHODS:
            raise PolicyError(
                f"a policy has no method {name!r}{did_you_mean(name, METHODS)}: it has {', '.join(METHODS)}"
            )
        positional, named = self._arguments(name)
        try:
            bound = inspect.signature(METHODS[name]).bind(policy, *positional, **named)
        except TypeError as error:
            raise PolicyError(f"{name}: {error}") from None
        return METHODS[name](*bound.args, **bound.kwargs)

    def _named_arguments(self, function: str) -> dict[str, Any]:
        positional, named = self._arguments(function)
        if positional:
            raise PolicyError(f"{function}: write every parameter by its name, not just {short_repr(positional[0])}")
        return named

    def _arguments(self, owner: str) -> tuple[list[Any], dict[str, Any]]:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        self._expect("(", f"'(' after {owner}")
        while not self._take(")"):
            if self._kind == "name" and self._is_followed_by("="):
                name = self._name("a parameter")
                self._expect("=", "'='")
                if name in named:
                    raise PolicyError(f"{owner}: {name} is given twice")
                named[name] = self._value()
            elif named:
                raise self._surprise(f"a parameter's name and '=', as in the rest of {owner}")
            else:
                positional.append(self._value())
            if not self._take(","):
                self._expect(")", f"',' or ')' in {owner}")
                break
        return positional, named

    def _value(self) -> Any:
        if self._take("["):
            return self._list()
        token, kind = self._token, self._kind
        if kind == "number":
            return self._number()
        if kind == "quoted":
            self._advance()
            return token[1:-1]
        if kind == "name" and token in _CONSTANTS:
            self._advance()
            return _CONSTANTS[token]
        if kind == "name" and token.lower() in ("nan", "inf", "infinity"):
            self._advance()
            return float(token)
        if kind == "name" and self._is_followed_by("("):
            return self.policy()
        raise self._surprise("a number, a length, a list or a policy")

    def _list(self) -> list[Any]:
        items: list[Any] = []
        while not self._take("]"):
            if self._kind == "mark" and self._token == "[":
                raise self._surprise("a number, a length or a policy")
            items.append(self._value())
            if not self._take(","):
                self._expect("]", "',' or ']'")
                break
        return items

    def _number(self) -> float | int | str:
        token = self._token
        if len(token) > LONGEST_TEXT:
            raise PolicyError(f"a number has at most {LONGEST_TEXT} characters, not {len(token)}")
        self._advance()
        if self._kind == "name" and self._token == "per":
            self._advance()
            if self._kind != "number":
                raise self._surprise("a length after 'per'")
            per = self._token
            self._advance()
            return f"{token} per {per}"
        if token.endswith(UNITS):
            return token
        return int(token) if token.lstrip("+-").isdecimal() else float(token)

    def _name(self, wanted: str) -> str:
        if self._kind != "name":
            raise self._surprise(wanted)
        name = self._token
        self._advance()
        return name

    def _is_followed_by(self, mark: str) -> bool:
        ahead = _BLANK.match(self._text, self._start)
        return ahead is not None and self._text.startswith(mark, ahead.end())

    def _take(self, mark: str) -> bool:
        if self._kind != "mark" or self._token != mark:
            return False
        self._advance()
        return True

    def _expect(self, mark: str, wanted: str) -> None:
        if not self._take(mark):
            raise self._surprise(wanted)

    def _advance(self) -> None:
        match = _TOKEN.match(self._text, self._start)
        if match is None:
            word = _WORD.match(self._text, self._start)
            if word is not None and (mistake := unknown_unit(word[1])):
                raise PolicyError(f"{mistake} in {short_repr(word[1])}: a length is iterations, '3ep' or '0.25dur'")
            self._kind, self._token = "other", self._text[self._start :].lstrip()[:1]
            return
        self._kind = "number" if match.lastgroup == "unit" else str(match.lastgroup)
        self._token = match.group().lstrip()
        self._start = match.end()

    def _surprise(self, wanted: str) -> PolicyError:
        at = self._start - (len(self._token) if self._kind != "other" else 0)
        before = self._text[:at]
        found = "the text ends" if self._kind == "end" else f"there is {short_repr(self._token)}"
        after = f" after {short_repr(before[-30:])}" if before.strip() else ""
        return PolicyError(f"a policy's text needs {wanted} where {found}{after}")
