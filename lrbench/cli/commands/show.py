"""`lrbench show`: learning-rate curves, in the terminal or in a file, without training."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrbench.cli.commands.list import function_document
from lrbench.cli.completion import complete_shown, complete_task
from lrbench.cli.errors import Session, say_error, session_of
from lrbench.cli.options import (
    DataOptions,
    OutputOptions,
    Plugins,
    load_plugins,
    shown,
    task_or_file,
    whole_number,
    with_groups,
)
from lrbench.cli.output import console_for, line_width, print_blocks, print_json
from lrbench.cli.policies import budgets, named_policies
from lrbench.cli.stdout import say, stdout
from lrbench.errors import PolicyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lrbench.policy import Policy
    from lrbench.policy.budget import Budget

budget = partial(typer.Option, rich_help_panel="The budget")

DEFAULT_STEPS = 10_000
MOST_RATES = 50_000_000
"""More learning rates than this, of all policies together, are not worth the memory."""

EXAMPLE_STEPS, EXAMPLE_STEPS_PER_EPOCH = 1_000, 50
"""The budget that the example of a function is drawn for, unless another is given."""

POINTS = 1_000
"""How many iterations of a curve `--json` gives."""


@with_groups
def show(
    context: typer.Context,
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY",
            help="A function such as TRI, a policy as text, an entry of a catalog such as lrbench13/TRI, a whole "
            "catalog, or a study.",
            autocompletion=complete_shown,
        ),
    ],
    *,
    steps: Annotated[
        int | None,
        budget(
            "--steps",
            metavar="N",
            parser=whole_number(1),
            help=f"The budget in iterations; a study's own, or {DEFAULT_STEPS} where no policy depends on it.",
        ),
    ] = None,
    steps_per_epoch: Annotated[
        int | None,
        budget(
            "--steps-per-epoch",
            metavar="N",
            parser=whole_number(1),
            help="How many iterations make an epoch, for lengths such as 3ep.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        budget(
            "--task",
            metavar="TASK",
            help="Take the budget and the length of an epoch from this task, or from that of a study file, FILE.toml.",
            autocompletion=complete_task,
        ),
    ] = None,
    file: Annotated[
        Path | None, shown("-o", "--output", metavar="FILE", help="Draw into this file instead, .svg, .png or .pdf.")
    ] = None,
    log: Annotated[bool, shown("--log", help="A logarithmic learning-rate axis.")] = False,
    data: DataOptions,
    plugin: Plugins = None,
    output: OutputOptions,
) -> None:
    """Draw the learning rates of policies, without training, or explain a function and draw a policy of it.

    \b
    Examples:
      lrbench show TRI
      lrbench show quickstart
      lrbench show lrbench13 --steps 2000
      lrbench show "FIX(k0=0.1)" lrbench13/TRI --task mnist1d-mlp
      lrbench show modern --steps 10000 --steps-per-epoch 500 -o modern.svg
    """
    if file is not None:
        from lrbench.report.output_file import check_output
        from lrbench.report.style import SUFFIXES

        check_output(file, SUFFIXES)
    load_plugins(plugin)
    session = session_of(context)
    explained = _functions_named(policies)
    if explained:
        chosen = _examples(explained)
        steps, steps_per_epoch = steps or _example_steps(chosen), steps_per_epoch or EXAMPLE_STEPS_PER_EPOCH
    else:
        chosen = _drawable(policies)
    of_task = None
    if task is not None:
        from lrbench.tasks import task_of

        of_task = task_of(task_or_file(task), data_root=data.data_root, download=data.download).budget
        steps = steps or of_task.steps
        steps_per_epoch = steps_per_epoch or of_task.steps_per_epoch
    steps = steps or _common_budget(policies)
    bound = _bound(chosen, steps, steps_per_epoch, of_task)
    ends = max(policy.ends for policy in bound.values()) if bound else math.inf
    steps = steps or (int(ends) if math.isfinite(ends) else DEFAULT_STEPS)
    if steps * len(bound) > MOST_RATES:
        raise PolicyError(f"{len(bound)} policies of {steps:,} steps are more than {MOST_RATES:,} learning rates")
    curves = {name: policy.lrs(0, steps) for name, policy in bound.items()}
    if file is not None and curves:
        from lrbench.report.plots.lr_curves import lr_figure
        from lrbench.report.style import save_figure

        save_figure(lr_figure(curves, log=log), file)
    if output.json:
        functions = {"functions": [*map(function_document, explained)]} if explained else {}
        print_json({**functions, **_document(chosen, bound, curves, steps)})
    elif explained:
        _print_functions(explained, chosen, curves, session, log=log)
    elif file is None:
        _print_panels(curves, session, log=log)


def _functions_named(texts: list[str]) -> list[str]:
    """Return the arguments if they name functions, and nothing if they name policies.

    Raises:
        PolicyError: some name functions and others policies.
    """
    from lrbench.policy import functions

    named = [text for text in texts if text in functions()]
    if named and len(named) < len(texts):
        other = next(text for text in texts if text not in named)
        raise PolicyError(f"'{named[0]}' is a function and '{other}' is none: show functions and policies one by one")
    return named


def _examples(functions: list[str]) -> dict[str, Policy]:
    """Make a policy of each function to draw, by the function's name; none of those that react to training."""
    from lrbench.policy import functions as known
    from lrbench.policy.explain import example_of

    examples = {name: example_of(known()[name]) for name in functions}
    return {name: policy for name, policy in examples.items() if policy is not None and not policy.reacts}


def _example_steps(examples: dict[str, Policy]) -> int:
    """Choose the budget to draw examples for."""
    from lrbench.policy.curve import horizon

    if all(policy.is_bound for policy in examples.values()):
        return max(map(horizon, examples.values()), default=EXAMPLE_STEPS)
    return EXAMPLE_STEPS


def _print_functions(
    functions: list[str],
    examples: dict[str, Policy],
    curves: dict[str, NDArray[np.float64]],
    session: Session,
    *,
    log: bool,
) -> None:
    """Explain each function, and draw its example."""
    from lrbench.policy import functions as known
    from lrbench.policy.explain import explained

    for place, name in enumerate(functions):
        if place:
            say()
        print_blocks(explained(known()[name], line_width(session)), session)
        if name in curves:
            say()
            _print_panels({str(examples[name]): curves[name]}, session, log=log)


def _drawable(texts: list[str]) -> dict[str, Policy]:
    """Collect the named policies, but for those of catalogs whose learning rates training decides."""
    found: dict[str, Policy] = {}
    left_out = []
    for text in texts:
        named = named_policies(text)
        reacting = [name for name, policy in named.items() if policy.reacts]
        if len(reacting) == len(named):
            raise PolicyError(
                f"{reacting[0]} reacts to the validation score, so it has no learning rates before training"
            )
        left_out += reacting
        for name, policy in named.items():
            if name not in reacting:
                own_name = name if found.get(name, policy) == policy else f"{text.partition('/')[0]}/{name}"
                found[own_name] = policy
    if left_out:
        say_error(f"Left out, for they react to the validation score in training: {', '.join(left_out)}.")
    return found


def _common_budget(texts: list[str]) -> int | None:
    """Return the budget of all studies among the arguments; None where there is no study, or budgets differ."""
    known = frozenset[int]().union(*map(budgets, texts))
    return next(iter(known)) if len(known) == 1 else None


def _bound(
    policies: dict[str, Policy], steps: int | None, steps_per_epoch: int | None, of_task: Budget | None
) -> dict[str, Policy]:
    """Resolve the portable lengths of policies; a budget is assumed only where none of them depends on it.

    Args:
        of_task: the budget of a task, whose tokens count.
    """
    from lrbench.policy.budget import Budget

    for name, policy in policies.items():
        waiting = ", ".join(policy.relative)
        if waiting and steps is None:
            raise PolicyError(f"{name} depends on the budget ({waiting}): give it by --steps or --task")
        if steps_per_epoch is None and any(part.endswith("ep") for part in policy.relative):
            raise PolicyError(
                f"{name} depends on the length of an epoch ({waiting}): give it by --steps-per-epoch or --task"
            )
    tokens = (None, None) if of_task is None else (of_task.tokens_per_step, of_task.parameters)
    budget = Budget(steps or DEFAULT_STEPS, steps_per_epoch or 1, *tokens)
    if steps is None:
        return {name: policy.bind_to(budget) for name, policy in policies.items()}
    return {name: policy.for_run(budget) for name, policy in policies.items()}


def _document(
    policies: dict[str, Policy], bound: dict[str, Policy], curves: dict[str, NDArray[np.float64]], steps: int
) -> dict[str, Any]:
    import numpy as np

    shown = np.unique(np.linspace(0, steps - 1, min(steps, POINTS)).round().astype(int))
    return {
        "steps": steps,
        "iterations": shown.tolist(),
        "policies": [
            {"name": name, "policy": str(policies[name]), "bound": str(bound[name]), "lr": lrs[shown].tolist()}
            for name, lrs in curves.items()
        ],
    }


def _print_panels(curves: dict[str, NDArray[np.float64]], session: Session, *, log: bool) -> None:
    from lrbench.report.terminal_plot import lr_panels

    console = console_for(stdout(), session)
    if console is None:
        say(lr_panels(curves, log=log))
        return
    from rich.text import Text

    text = Text(lr_panels(curves, width=console.width, log=log), no_wrap=True)
    text.highlight_regex(r"[\u2801-\u28ff]+", "cyan")
    console.print(text)
