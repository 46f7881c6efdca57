"""Patterns of text with named places, such as `step:{step}/{steps} val_loss:{val_loss}`."""

from __future__ import annotations

import re
from collections.abc import Collection

from lrbench.errors import StudyError

LONGEST_PATTERN = 500
LONGEST_LINE = 2000
"""Characters; longer lines of a log, and names of columns, fit no pattern."""

PLACE = re.compile(r"\{([^{}]*)\}")
NUMBER = r"[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?+\d++)?+|[-+]?+(?:nan|NaN|inf|Infinity)"
NAME = r"[^\s].*?"
MOST_NAMES = 3


def compiled(pattern: str, names: Collection[str]) -> re.Pattern[str]:
    """Return the regular expression of a pattern: places in `names` are text, the others are numbers.

    Spaces fit any number of spaces or tabs; everything else stands for itself.

    >>> compiled("loss: {loss}", ()).search("epoch 3, loss:   0.25")["loss"]
    '0.25'

    Raises:
        StudyError: a place has no name that Python allows, stands twice, or there is none.
    """
    places = PLACE.findall(pattern)
    if len(pattern) > LONGEST_PATTERN:
        raise StudyError(f"the pattern has {len(pattern):,} characters, at most {LONGEST_PATTERN} are allowed")
    if not places:
        raise StudyError(f"the pattern {pattern!r} has no places such as {{step}} or {{val_loss}}")
    for place in places:
        if not re.fullmatch(r"[A-Za-z_]\w{0,49}", place, re.ASCII):
            raise StudyError(
                f"the pattern {pattern!r} has a place {{{place}}}, whose name must be a word of letters, digits and _"
            )
        if places.count(place) > 1:
            raise StudyError(
                f"the pattern {pattern!r} has {{{place}}} {places.count(place)} times, each may stand only once"
            )
    if sum(place in names for place in places) > MOST_NAMES:
        raise StudyError(f"the pattern {pattern!r} has more than {MOST_NAMES} places of names")
    parts = PLACE.split(pattern)
    found = (
        f"(?P<{part}>{NAME if part in names else NUMBER})"
        if odd % 2
        else r"[ \t]++".join(map(re.escape, re.split(r"[ \t]+", part)))
        for odd, part in enumerate(parts)
    )
    return re.compile("".join(found))
