"""The policies that a command line names: a catalog, an entry of one, or a policy as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrbench.errors import PolicyError, did_you_mean

if TYPE_CHECKING:
    from lrbench.policy import Policy


def named_policies(text: str) -> dict[str, Policy]:
    """The policies that one argument stands for, by the name they are shown under.

    Args:
        text: `lrbench13` or `my_catalog.toml` for a whole catalog, `lrbench13/TRI` for one of its entries, else a
            policy as text.

    Raises:
        PolicyError: it is none of these.
    """
    from lrbench.policy import catalog, catalogs, load_catalog, parse

    if text.endswith(".toml"):
        return {key: entry.policy for key, entry in load_catalog(text).items()}
    name, slash, key = text.partition("/")
    if text in catalogs():
        return {key: entry.policy for key, entry in catalog(text).items()}
    if slash and "(" not in name:
        known = catalog(name)
        if key not in known:
            hint = did_you_mean(key, known) or f"; it has {', '.join(known)}"
            raise PolicyError(f"catalog '{name}' has no entry '{key}'{hint}")
        return {key: known[key].policy}
    if "(" not in text:
        hint = did_you_mean(text, catalogs()) or f"; there are {', '.join(catalogs())}"
        raise PolicyError(
            f"'{text}' is neither a catalog{hint}, nor an entry such as 'lrbench13/TRI', "
            "nor a policy such as 'FIX(k0=0.1)'"
        )
    policy = parse(text)
    return {str(policy): policy}


def one_policy(text: str) -> Policy:
    """The one policy that an argument stands for.

    Raises:
        PolicyError: it is none, or a whole catalog.
    """
    found = named_policies(text)
    if len(found) != 1:
        raise PolicyError(
            f"'{text}' has {len(found)} policies and one is wanted: name it as '{text}/{next(iter(found))}'"
        )
    return next(iter(found.values()))
