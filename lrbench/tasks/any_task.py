"""AnyTask: what studies need of a task, whatever trains it."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from lrbench.display.readable import Readable
from lrbench.errors import PolicyError, TaskError
from lrbench.policy.budget import Budget, Length, read_length, round_iterations
from lrbench.policy.kind import short_repr
from lrbench.tasks.fingerprint import text_digest
from lrbench.tasks.limits import A_BUDGET, check_budget, eval_every_for, rescaled_eval_every

if TYPE_CHECKING:
    import torch

    from lrbench.policy import Policy
    from lrbench.tasks.metric import Better, Bounds


class AnyTask(Readable):
    """A task: what is trained, for a budget of `steps` iterations, and the number that it is judged by.

    Attributes:
        name: the name of the task in results.
        steps: the budget, in iterations.
        eval_every: the iterations between two evaluations.
        forks: whether the state of a run can be copied at any iteration, so that runs share what they have in common,
            are stacked, go on from checkpoints and take modifiers.
    """

    name: str
    steps: int
    eval_every: int
    forks: ClassVar[bool]

    @property
    @abstractmethod
    def objective(self) -> str:
        """The name of the number that the task is judged by."""

    @property
    @abstractmethod
    def better(self) -> Better:
        """Which way that number is better."""

    @property
    @abstractmethod
    def bounds(self) -> Bounds:
        """The lowest and the highest value that the number can have, None for an end that is open or not known."""

    @property
    def margin(self) -> float | None:
        """The difference of that number that does not matter; None: that of the metric of its name, or of its range."""
        return None

    @property
    @abstractmethod
    def chance(self) -> float | None:
        """The number for a model that has learnt nothing; None where it is not known."""

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """The iterations of an epoch."""

    @property
    def tokens_per_step(self) -> int | None:
        """The tokens of an iteration, where the task is one on a text."""
        return None

    @property
    def parameters(self) -> int | None:
        """The parameters of the model, where the task is one on a text."""
        return None

    @cached_property
    def budget(self) -> Budget:
        """The length of a run."""
        return Budget(self.steps, self.steps_per_epoch, self.tokens_per_step, self.parameters)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, where there are any."""
        return None

    @property
    def val_samples(self) -> int | None:
        """The number of validation samples; None where it is not known."""
        return None

    @property
    def test_samples(self) -> int | None:
        """The number of test samples; None where it is not known, or there need be none."""
        return None

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """32 hex digits of everything that determines the numbers except `steps` and `eval_every`.

        Raises:
            TaskError: the user's code holds something without an identity, and there is no `version`.
        """

    @cached_property
    def key(self) -> str:
        """32 hex digits of everything that determines the numbers of a whole run, except policy and seed."""
        return text_digest(self.fingerprint, str(self.steps), str(self.eval_every))

    @cached_property
    def trunk(self) -> str:
        """32 hex digits of everything that determines the numbers of a run before its end, except policy and seed.

        They are equal for budgets of one task that are evaluated at the same iterations.
        """
        return text_digest(self.fingerprint, str(self.eval_every))

    @abstractmethod
    def with_(self, **changes: Any) -> Self:
        """Return this task with other settings, checked like a new one."""

    @abstractmethod
    def to(self, device: torch.device | str) -> Self:
        """Return the task on a device."""

    @abstractmethod
    def evaluated_on(self, samples: int) -> Self:
        """Return the task with evaluations on about that number of samples at most, where lrbench chooses them."""

    def bind(self, policy: Policy) -> Policy:
        """Bind a policy to the budget and the epochs of the task.

        Raises:
            PolicyError: the policy does not fit them.
        """
        return policy.for_run(self.budget)

    def iterations(self, epochs: float) -> int:
        """Convert a length in epochs, also a fraction of one, to iterations: rounded, and at least one."""
        return max(1, round(epochs * self.steps_per_epoch))

    def with_budget(self, steps: Length | None, *, evaluations: int | None = None) -> Self:
        """Change the budget to `steps` iterations, evaluated as often as the task is over its own; None: its own.

        A portable length is one of the task as it is: "2e6tok", "3ep", or "0.5dur" for half of its budget.
        This is what another budget means everywhere: on the command line, in Python, in study files and in searches.
        `evaluations` asks for at least so many of them in place of the task's own number.

        Raises:
            TaskError: `steps` is no integer >= 1, or a length that the task does not have.
        """
        if isinstance(steps, str):
            steps = self.in_iterations(steps)
        steps = self.steps if steps is None else steps
        check_budget(f"task '{self.name}'", steps=steps, eval_every=None)
        own = rescaled_eval_every(self.eval_every, self.steps, steps)
        eval_every = own if evaluations is None else eval_every_for(steps, evaluations)
        unchanged = (steps, eval_every) == (self.steps, self.eval_every)
        return self if unchanged else self.with_(steps=steps, eval_every=eval_every)

    def evaluated_every(self, length: Length) -> Self:
        """Return the task with so many iterations between two evaluations; a portable length is at most the budget."""
        every = min(self.in_iterations(length), self.steps) if isinstance(length, str) else length
        return self.with_(eval_every=every)

    def in_iterations(self, length: str) -> int:
        """Return a budget that is written as a length in iterations.

        Raises:
            TaskError: it is no length, or one that the task does not have.
        """
        read = read_length(length)
        if read is None:
            raise TaskError(f"task '{self.name}': steps = {short_repr(length)} must be {A_BUDGET}")
        try:
            return round_iterations(read, self.budget)
        except PolicyError as error:
            raise TaskError(f"task '{self.name}': steps: {error}") from error
