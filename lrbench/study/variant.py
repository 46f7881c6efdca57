"""The variants of a study: the modifiers, or the settings of a task, that each policy is trained with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lrbench.engine import Modifier, Watcher, in_order
from lrbench.errors import TaskError
from lrbench.tasks.remembered import once_per_task

if TYPE_CHECKING:
    from lrbench.tasks import AnyTask, Task


@dataclass(frozen=True)
class Variant:
    """The modifiers, or the settings of an axis, that every policy of a study is trained with.

    Attributes:
        name: its name in results; empty without modifiers.
        modifiers: those that change training, in any order.
        watcher: one that only watches; its run shares the training of the same variant without it.
        lr_scale: a factor on the policy's learning rates, for a control.
        settings: of the task or its optimizer, by name, in place of the task's own.
    """

    name: str = ""
    modifiers: tuple[Modifier, ...] = ()
    watcher: Watcher | None = None
    lr_scale: float = 1.0
    settings: tuple[tuple[str, Any], ...] = field(default=(), hash=False)

    @classmethod
    def of(cls, parts: Iterable[Watcher], name: str = "") -> Variant:
        """Combine modifiers into a variant, whose name is made of their texts unless one is given.

        Raises:
            TaskError: two of them exclude each other, or two only watch: each of those needs a run of its own.
        """
        parts = tuple(parts)
        modifiers = in_order([part for part in parts if isinstance(part, Modifier)])
        watchers = [part for part in parts if not isinstance(part, Modifier)]
        if len(watchers) > 1:
            raise TaskError(f"{watchers[0]} and {watchers[1]} both only watch: give each a [[modifiers]] of its own")
        return cls(name or " + ".join(map(str, [*modifiers, *watchers])), modifiers, watchers[0] if watchers else None)

    @property
    def parts(self) -> tuple[Watcher, ...]:
        """All modifiers of the variant, the watcher last."""
        return (*self.modifiers, *(() if self.watcher is None else (self.watcher,)))

    def task_of(self, task: AnyTask) -> AnyTask:
        """Return the task at the settings of the variant, under the same name.

        Raises:
            TaskError: it has no such setting, or cannot be trained at a value.
        """
        from lrbench.tasks import Task

        if not self.settings:
            return task
        if not isinstance(task, Task):
            raise TaskError(f"task '{task.name}' is a training function, whose settings are its own")
        return _at_settings(task, self)

    def check(self, task: AnyTask) -> None:
        """Check that all modifiers can be used on a task.

        Raises:
            TaskError: one of them cannot.
        """
        from lrbench.tasks import Task

        for part in self.parts:
            if not isinstance(task, Task):
                raise TaskError(f"task '{task.name}' is a training function and takes no modifiers: leave out {part}")
            if not part.takes_modes and task.built_optimizer.has_modes:
                raise TaskError(
                    f"{part} cannot be used on task '{task.name}': its optimizer {task.optimizer} has other weights "
                    "evaluated than trained, and it would mix the two"
                )
            part.check(task)


@once_per_task
def _at_settings(task: Task, variant: Variant) -> Task:
    return task.at_settings(dict(variant.settings))


UNMODIFIED = Variant()


def with_controls(variants: Iterable[Variant]) -> tuple[Variant, ...]:
    """List training without modifiers, and the variants, each followed by the controls of its modifiers."""
    return (UNMODIFIED, *(each for variant in variants for each in (variant, *_controls(variant))))


def _controls(variant: Variant) -> Iterator[Variant]:
    for modifier in variant.modifiers:
        rest = replace(variant, modifiers=tuple(other for other in variant.modifiers if other is not modifier))
        for control in modifier.controls:
            parts = in_order([*rest.modifiers, *filter(None, [control.modifier])])
            name = " + ".join([control.name, *map(str, rest.parts)])
            yield replace(rest, name=name, modifiers=parts, lr_scale=control.lr_scale)
