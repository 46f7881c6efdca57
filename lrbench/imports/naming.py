"""The names of runs in trackers: which policy and which seed a name such as `cosine/seed_3` means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lrbench.errors import StudyError
from lrbench.imports.pattern import compiled

NAMES = ("task", "policy", "seed", "run")
SEED = re.compile(r"(?P<policy>.+?)[\s_./-]*\bseed[\s_=:-]*(?P<seed>\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Naming:
    """How runs are named: by a pattern such as "{policy}_s{seed}", or by their folders and a word "seed"."""

    pattern: str | None = None

    def place_of(self, name: str) -> dict[str, str]:
        """Return the policy and the seed or run of a name.

        >>> Naming().place_of("cosine/seed_3"), Naming("{policy}_s{seed}").place_of("wsd_s4")
        ({'policy': 'cosine', 'seed': '3'}, {'policy': 'wsd', 'seed': '4'})
        >>> Naming().place_of("adam/lr 0.1/fluffy-sunset-12")
        {'policy': 'adam/lr 0.1', 'run': 'fluffy-sunset-12'}

        Raises:
            StudyError: it does not look like the pattern.
        """
        if self.pattern is not None:
            match = compiled(self.pattern, NAMES).fullmatch(name)
            if match is None:
                raise StudyError(f"the run '{name}' is not named as {self.pattern!r} says")
            return match.groupdict()
        if match := SEED.fullmatch(name):
            return match.groupdict()
        policy, slash, run = name.rpartition("/")
        return {"policy": policy, "run": run} if slash else {"policy": name, "run": "0"}
