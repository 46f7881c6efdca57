"""What the store knows of a run, as far as judging it goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lrbench.metrics.curves import steps_to_best, volatility

TOP1 = "top1"
"""The name of the objective of a task that brings no metric of its own."""


@dataclass(frozen=True)
class Curve:
    """A run's evaluations on the validation split."""

    steps: Sequence[int]
    """Iterations done, rising."""
    scores: Sequence[float]
    """The task's objective, higher is better; nan where it is unknown."""


@dataclass(frozen=True)
class RunRecord:
    """One policy trained with one seed."""

    seed: int
    status: Literal["finished", "diverged"]
    steps: int
    """Iterations done, fewer than the budget for a run that diverged."""
    curve: Curve
    final: Mapping[str, float | None]
    """The figures of the trained network, by metric name: `val_<objective>`, `test_<objective>`, and those of a
    scorecard that are not read off the curve. Names that lrbench does not know are averaged over seeds like them."""
    diverged_at: int | None = None
    seconds: float | None = None
    flops: float | None = None
    chance: float | None = None
    """The objective's value for guessing, which is what a diverged run counts as; None: such a run is left out."""
    objective: str = TOP1
    """Name of the score by which policies are compared."""

    @property
    def diverged(self) -> bool:
        return self.status == "diverged"

    def score(self, split: Literal["val", "test"]) -> float | None:
        """The final objective on a split; chance for a run that diverged."""
        return self.chance if self.diverged else self.final.get(f"{split}_{self.objective}")

    def figures(self) -> dict[str, float | None]:
        """Every figure of a finished run by metric name; of a diverged run only its two scores are defined."""
        scores = {f"{split}_{self.objective}": self.score(split) for split in ("val", "test")}
        if self.diverged:
            return scores
        steps, values = self.validation_curve()
        return {
            **self.final,
            **scores,
            "volatility": volatility(steps, values),
            "steps_to_best": steps_to_best(steps, values),
            "seconds": self.seconds,
            "flops": self.flops,
        }

    def validation_curve(self) -> tuple[Sequence[int], Sequence[float]]:
        """The evaluated steps and the validation scores there, nan where one is unknown."""
        return self.curve.steps, self.curve.scores
