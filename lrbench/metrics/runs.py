"""A run as metrics see it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lrbench.metrics.curves import steps_to_target
from lrbench.metrics.direction import Better, as_gain, is_worthless
from lrbench.metrics.metric import metrics_of_run
from lrbench.metrics.statistics import Bounds

TOP1 = "top1"
"""The name of the objective of a task that brings no metric of its own."""


@dataclass(frozen=True)
class Curve:
    """A run's evaluations on the validation split."""

    steps: Sequence[int]
    """Iterations done, rising."""
    scores: Sequence[float]
    """The task's objective; a gap where it is not finite."""

    def __str__(self) -> str:
        """Write the curve in one cell of a table, scores to six digits.

        >>> str(Curve((50, 100), (0.25, 0.5)))
        '50:0.25 100:0.5'
        """
        return " ".join(f"{step}:{score:.6g}" for step, score in zip(self.steps, self.scores, strict=True))

    @classmethod
    def parse(cls, text: str) -> "Curve":
        """Read what `str` writes.

        Raises:
            ValueError: the text is no curve.
        """
        points = [point.split(":") for point in text.split()]
        return cls(tuple(int(step) for step, _ in points), tuple(float(score) for _, score in points))


@dataclass(frozen=True)
class RunRecord:
    """One policy trained with one seed."""

    seed: int
    status: Literal["finished", "diverged"]
    steps: int
    """Iterations done, fewer than the budget for a run that diverged."""
    curve: Curve
    final: Mapping[str, float | None]
    """The stored metrics of the trained network by name: `val_<objective>`, `test_<objective>`, and others. Names that
    are not registered are averaged over seeds too."""
    diverged_at: int | None = None
    seconds: float | None = None
    evaluating: float | None = None
    flops: float | None = None
    chance: float | None = None
    """The objective's value for guessing, as which a diverged run counts; None: such a run is left out."""
    objective: str = TOP1
    """Name of the score by which policies are compared."""
    better: Better = "higher"
    """Which way that score is better."""
    bounds: Bounds | None = None
    """The lowest and the highest possible score, where the task gives them."""

    @property
    def diverged(self) -> bool:
        return self.status == "diverged"

    @property
    def is_finite(self) -> bool:
        """Whether the final objective is finite on both splits; True for a run that diverged, which has none."""
        scores = (self.final.get(f"{split}_{self.objective}") for split in ("val", "test"))
        return self.diverged or all(score is None or math.isfinite(score) for score in scores)

    def score(self, split: Literal["val", "test"]) -> float | None:
        """Return the final objective on a split; chance where the run diverged, or it is NaN or infinitely bad."""
        score = self.final.get(f"{split}_{self.objective}")
        worthless = self.diverged or (score is not None and is_worthless(score, self.better))
        return self.chance if worthless else score

    def steps_to(self, target: float) -> int | None:
        """Return the first evaluated step whose score is as good as `target`; None where there is none."""
        return steps_to_target(self.curve.steps, self.gains, as_gain(target, self.better))

    def figures(self) -> dict[str, float | None]:
        """Return the metrics of a finished run by name; of a diverged run its two scores alone."""
        scores = {f"{split}_{self.objective}": self.score(split) for split in ("val", "test")}
        if self.diverged:
            return scores
        return {**self.final, **scores, **metrics_of_run(self)}

    @property
    def gains(self) -> list[float]:
        """The scores of the curve as gains."""
        scores = self.curve.scores
        return list(scores) if self.better == "higher" else [as_gain(score, self.better) for score in scores]
