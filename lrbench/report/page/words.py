"""What the report says in sentences: the answer, the protocol, where the numbers come from."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from lrbench.display.names import many
from lrbench.metrics.goal import TO_TARGET
from lrbench.metrics.pairs import Ranks, Signs, Test
from lrbench.metrics.statistics import Interval
from lrbench.modifiers.brief import variant_noun
from lrbench.policy import functions
from lrbench.report.frames import objective_name, records
from lrbench.study.export import RECORDED

if TYPE_CHECKING:
    import pandas as pd

    from lrbench.metrics import Confirmation
    from lrbench.metrics.goal import Criterion
    from lrbench.report.frames import Frames
    from lrbench.report.plots.search import SearchFrames
    from lrbench.store import StudyRecord, TaskRecord
    from lrbench.study.results import TaskResults

ALPHA = "5%"
"""The error rate of each kind of verdict, over a whole study."""

SPLITS = {"val": "validation", "test": "test"}

MOST_NAMED, MOST_LETTERS = 5, 250
"""A sentence names no more policies than this, and after the first none whose names make so many letters."""

SECONDS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
WORD = re.compile(r"\b[A-Z]\w*(?=\()")
"""A function's name in the text of a policy."""

PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


IMPORTED = (
    "The runs are imported: another program trained them, and their numbers are what it logged. They are not exact, "
    "and what they have in common but for the policy is not known."
)
UNPAIRED = (
    "Runs of different policies have nothing in common: means are compared by Welch's standard error, with the degrees "
    "of freedom of the policy with fewer runs."
)
COUNTED: dict[Test, str] = {Signs: "sign tests", Ranks: "rank tests"}
"""Tests that count seeds or pairs of runs; the others are t tests."""

FIXED = "numbers of seeds that were fixed when the study was first run"
ONE_LOOK = "in one look at all runs: the error rate is that of runs whose number was not chosen by what they show"


class Cost(NamedTuple):
    """What a study's runs took, each counted once however many policies share it.

    Attributes:
        seconds: of training and evaluating.
        evaluating: its part of them, in seconds; nan where some run does not know it.
    """

    runs: int
    iterations: int
    seconds: float
    evaluating: float
    flops: float


def overview(frames: Frames) -> list[str]:
    """Say what was asked, how far the study is, and what it cost: a sentence each."""
    runs, tasks = frames.runs, frames.tasks
    if not len(runs):
        return ["This study asks for no run."]
    counts = Counter(runs["status"])
    policies, seeds = len(frames.record.policies), len(frames.record.seeds)
    variants = Counter(variant_noun([variant]) for variant in frames.record.variants if variant)
    without = f", with and without {_joined(many(n, noun) for noun, n in variants.items())}," if variants else ""
    where = f"on {tasks[0]}" if len(tasks) == 1 else f"on {len(tasks)} tasks"
    first = frames.record.until_decided
    each = f"{many(seeds, 'seed')} each" if first is None else f"{first} to {many(seeds, 'seed')} each, until decided"
    said = [f"{many(policies, 'policy')}{without} {where}, {each}."]
    unfinished = [
        f"{count:,} {what}"
        for status, what in (("missing", "not begun"), ("running", "not finished"), ("failed", "failed"))
        if (count := counts[status])
    ]
    if unfinished:
        state = "This is a first look: of" if first is None else "More seeds go to policies that they can help: of"
        said.append(f"{state} {many(len(runs), 'run')}, {_joined(unfinished)}.")
    if counts["diverged"]:
        said.append(f"{many(counts['diverged'], 'run')} of {len(runs):,} diverged.")
    cost = cost_of(runs)
    if cost.iterations and cost.seconds:
        part = f" ({cost.evaluating / cost.seconds:.0%} of it evaluating)" if cost.evaluating > 0 else ""
        said.append(
            f"{many(cost.iterations, 'iteration')} in {many(cost.runs, 'run')}, shared ones counted in each: "
            f"{duration(cost.seconds)} of compute{part}" + (f", {quantity(cost.flops)}FLOP." if cost.flops else ".")
        )
    return said


def cost_of(runs: pd.DataFrame) -> Cost:
    """Add up the cost of a table's runs."""
    begun = runs[runs["run"].notna()].drop_duplicates("run")
    seconds, evaluating, flops = (begun[name].astype(float) for name in ("seconds", "evaluating", "flops"))
    return Cost(
        len(begun),
        int(begun["step"].sum()),
        float(seconds.sum() + evaluating.sum()),
        float(evaluating.sum(skipna=False)),
        float(flops.sum()),
    )


class Headline(NamedTuple):
    """A task's answer in one breath: what to do, with which policy, why, and what else there is to say."""

    verb: str
    name: str
    why: str
    more: str


def headline(
    policies: pd.DataFrame, names: Mapping[str, str], confirmed: Sequence[Confirmation], by: Criterion
) -> Headline | None:
    """Name what to do by the ranking; None where there is none.

    Where finalists were trained again with fresh seeds, the first of them is named, with its fresh score alone.

    Args:
        policies: `Frames.policies` of one task.
        names: what each label is called.
        confirmed: the finalists on fresh seeds, the winner first.
        by: the goal that ranks.
    """
    if not len(policies):
        return None
    called = {
        verdict: list(policies.loc[policies["verdict"] == verdict, "label"])
        for verdict in ("good", "undecided", "avoid")
    }
    if not called["good"] and not called["undecided"]:
        return Headline("Avoid", _some([names[label] for label in called["avoid"]]), "each diverged on a seed", "")
    able = called["good"] or called["undecided"]
    fresh = {one.card.name: one.card for one in confirmed if one.card.name in able}
    leader = next(iter(fresh), able[0])
    row = records(policies[policies["label"] == leader])[0]
    split = "val" if row["test"] is None else "test"
    score, seeds = spread(row, split), many(row["seeds"], "seed")
    if leader in fresh:
        row = {**row, **fresh[leader].row()}
        score, seeds = spread(row, split), many(row["seeds"], "fresh seed")
    others = [names[label] for label in called["good"] if label != leader]
    more = [
        *([f"As good, as far as can be told: {_some(others)}."] if others else []),
        *([f"Avoid {_some([names[label] for label in called['avoid']])}."] if called["avoid"] else []),
    ]
    undecided = "Not decided yet. In the lead is" if len(policies) > 1 else "The only policy is"
    verb = "Use" if called["good"] else undecided
    value = "" if by.of_objective(row["objective"]) else f"{goal_value(row, by)} and "
    why = f"{value}{score} {SPLITS[split]} {objective_name(row['objective'])} over {seeds}"
    return Headline(verb, names[leader], why, " ".join(more))


def goal_value(row: Mapping[str, Any], by: Criterion) -> str:
    """Show the number of a policy by which policies are ranked, by the columns of `Frames.policies`."""
    if row.get(by.figure) is not None:
        return f"{by.title} {_interval(row, by.figure):{by.form}}"
    if by.figure == TO_TARGET and row["reached"] is not None:
        return f"{by.title} {row['reached']:.0f} of {row['seeds']} seeds"
    return f"no {by.title}"


def spread(row: Mapping[str, Any], figure: str) -> str:
    """Show a mean and its interval, by the columns of `Frames.policies`."""
    return f"{_interval(row, figure)}"


def _interval(row: Mapping[str, Any], figure: str) -> Interval:
    return Interval(row[figure], row[f"{figure}_low"], row[f"{figure}_high"], row["seeds"], None)


def certainty(policies: pd.DataFrame, results: TaskResults, record: StudyRecord) -> str:
    """Say how sure the verdicts of a task are.

    Args:
        results: those of the task.
        record: of its study.
    """
    goals, looks, tolerated = results.goals, results.looks, record.tolerated_divergence
    if not len(policies):
        return "No run has ended yet, so nothing is known."
    if not looks:
        avoided = "" if tolerated else ", but that a policy which diverged on a seed is to be avoided"
        return f"Nothing is claimed yet{avoided}: no policy has the number of seeds at which verdicts are made first."
    if len(policies) == 1:
        return "There is no other policy to compare it with, so that nothing is claimed of it but divergence."
    objective = policies["objective"].iloc[0]
    if len(goals) == 1 and not policies["verdict"].isin(["good", "avoid"]).any():
        return (
            f"Nothing is decided yet: {_looked(looks, record)} More seeds are needed before any policy can be called "
            "good, or one to avoid."
        )
    each = "" if len(goals) == 1 else ", by each goal for itself"
    meanings = " ".join(_meaning(goal, objective, tolerated) for goal in goals)
    return (
        f"{meanings} The chance that any good here is wrong is at most {ALPHA}, and so it is for any avoid{each}: "
        f"{_looked(looks, record)}"
    )


def _meaning(by: Criterion, objective: str, tolerated: float) -> str:
    what = f"validation {objective_name(objective)}" if by.of_objective(objective) else f"'{by.title}'"
    where = " on more than half of the seeds" if by.is_censored else ""
    both = " Differences are those on seeds where neither policy diverges." if tolerated else ""
    diverged = f"truly diverging on more than {tolerated:.2g} of seeds" if tolerated else "diverged on a seed"
    return (
        f"Good means truly within {by.margin} of the best policy's {what}{where}, avoid truly worse by more than "
        f"{by.margin}{where} or {diverged}.{both}"
    )


def _looked(looks: Sequence[int], record: StudyRecord) -> str:
    made = f"verdicts were made with {_joined(looks)} seeds"
    if record.source is not None and not record.source.planned:
        return f"{made}, in one look, and hold for runs whose number was not chosen by what they show."
    return f"{made}, and hold however often one looks."


def _samples(task: TaskRecord) -> str:
    if task.val_samples is None or task.test_samples is None:
        return ""
    return f" on {task.val_samples:,} validation and {task.test_samples:,} test samples"


def reading(policies: pd.DataFrame) -> list[str]:
    """Explain the functions and the units in the policies of a task, a sentence each."""
    texts = list(dict.fromkeys(policies["policy"]))
    known = functions()
    named = sorted({word for text in texts for word in WORD.findall(text) if word in known})
    said = [f"{name}: {inspect.getdoc(known[name]) or ''}".partition("\n\n")[0].replace("\n", " ") for name in named]
    if any("dur" in text for text in texts):
        said.append(f"dur: the budget, here {many(int(policies['steps'].iloc[0]), 'iteration')}; 0.5dur is half of it.")
    if any(re.search(r"\dep\b", text) for text in texts):
        said.append(f"ep: an epoch, here {many(int(policies['steps_per_epoch'].iloc[0]), 'iteration')}.")
    if any(re.search(r"\dtok\b", text) for text in texts):
        said.append(f"tok: a token, of which an iteration has {int(policies['tokens_per_step'].iloc[0]):,}.")
    if any("tok/param" in text for text in texts):
        said.append(f"tok/param: tokens for each of the {int(policies['parameters'].iloc[0]):,} parameters.")
    return said


def protocol(frames: Frames) -> list[str]:
    """Say how the numbers were made, in the order in which it happened."""
    record = frames.record
    is_planned = record.source is None or record.source.planned
    if not len(frames.runs):
        return []
    said = []
    for task in record.tasks:
        every = many(task.eval_every, "iteration")
        has_epochs = task.steps_per_epoch != task.steps
        epoch = f" (an epoch has {many(task.steps_per_epoch, 'iteration')})" if has_epochs else ""
        tokens = f" of {task.tokens_per_step:,} tokens" if task.tokens_per_step else ""
        iterations = f"{many(task.steps, 'iteration')}{tokens}{epoch}"
        trained = f"every policy was trained for {iterations} and evaluated every {every}"
        logged = f"the longest run has {many(task.steps, 'iteration')}, and runs were evaluated about every {every}"
        said.append(f"On {task.name} {trained if record.source is None else logged}{_samples(task)}.")
        if record.source is not None:
            said.append("Runs of one seed are compared with each other." if task.paired else UNPAIRED)
    found = [policy.found_peak for policy in record.policies if policy.found_peak is not None]
    if found:
        which = (
            "every policy" if len(found) == len(record.policies) else f"{len(found)} of {len(record.policies)} policies"
        )
        said.append(
            f"The highest learning rate of {which} is {found[0]:g}: by a range test, the upper end of the range in "
            "which the task learns."
        )
    seeds = record.seeds
    in_a_row = len(seeds) > 1 and seeds == tuple(range(seeds[0], seeds[0] + len(seeds)))
    numbers = f"{seeds[0]} to {seeds[-1]}" if in_a_row else _joined(seeds)
    first = record.until_decided
    more = "" if first is None else f", first with {first} of them, then with more as long as these could help"
    said.append(
        IMPORTED
        if record.source is not None
        else f"Every policy was trained with the same {many(len(seeds), 'seed')} ({numbers}){more}: a seed's initial "
        "weights and batch order are the same for all, so that differences are paired."
    )
    goals = frames.results.tasks[0].goals
    if all(task.goals[0].of_objective(task.objective) and len(task.goals) == 1 for task in frames.results.tasks):
        said.append(
            f"Policies are ranked and judged by the last validation score ({_objectives(frames)}{_downwards(frames)}). "
            "The test score chose nothing and says what the chosen policy is worth."
        )
    else:
        said.append(
            f"Policies are ranked by {goals[0].name} and judged by {_joined(goal.name for goal in goals)}, by each "
            "for itself. A policy that is chosen by a number looks better in it than it is."
        )
    said.append(
        "Intervals are 95% Student t intervals over seeds, clipped to the values that a figure can have. Verdicts are "
        f"multiple comparisons with the best by {_tests(goals)} with Holm's correction, with a margin of "
        f"{_joined(goal.margin for goal in goals)}, {'made at ' + FIXED if is_planned else ONE_LOOK}."
    )
    said.append(
        "A run whose last value is not finite has diverged: it has no score, and its policy is to be avoided."
        if record.source is not None
        else "A run whose loss or weights stop being finite, or whose losses stay ten times the initial one, has "
        f"diverged: it {_counted(frames)}, and its policy is to be avoided{_tolerance(record)}. "
        "A last score that is NaN or infinitely bad counts alike."
    )
    if record.target is not None:
        said.append(
            f"The target is a validation score of {record.target:g}. A policy has a mean number of iterations "
            "to it only if all of its seeds reached it."
        )
    scales = record.base_lr_scales
    if scales:
        said.append(
            f"Every policy was also trained with its learning rates times {_joined(f'{scale:g}' for scale in scales)}: "
            "retention is the mean over these of its validation score, as a fraction of that at its own."
        )
    if record.confirm:
        said.append(
            f"The winner and its closest rivals were trained again with {many(record.confirm, 'fresh seed')}, "
            "because the best of many looks better than it is. The winner was chosen without them."
        )
    if any(record.variants):
        said.append(
            f"Every policy was trained with and without each {variant_noun(record.variants)}, with the same seeds: an "
            "effect is the paired difference."
        )
    return said


def _counted(frames: Frames) -> str:
    known = [task.chance is not None for task in frames.results.tasks]
    if not any(known):
        return "is in no mean, since chance is not known"
    return "counts as chance in scores" if all(known) else "counts as chance in scores where that is known"


def _tolerance(record: StudyRecord) -> str:
    tolerated = record.tolerated_divergence
    return f" once it is found to diverge on more than {tolerated:.2g} of seeds" if tolerated else ""


def searched(search: SearchFrames) -> list[str]:
    """Say what a search asked for, and which part is on the page: a sentence each."""
    trials = search.trials
    whole = int(trials["whole"].sum())
    said = [
        f"A search asked for {many(len(trials), 'policy')}, of which {whole:,} "
        f"{'was' if whole == 1 else 'were'} trained for the whole budget: this page is about those."
    ]
    if lost := int((trials["diverged"] > 0).sum()):
        said.append(f"On some seed {many(lost, 'policy')} diverged or failed.")
    return said


def provenance(frames: Frames) -> dict[str, Any]:
    """Count the runs by software and hardware, and name their store."""
    runs = frames.runs[frames.runs["run"].notna()].drop_duplicates("run")
    rows = []
    for name in RECORDED:
        if name in runs:
            counts = Counter(str(value) for value in runs[name].dropna())
            if counts:
                rows.append((name, [(value, f"{many(count, 'run')}") for value, count in counts.most_common()]))
    return {"store": frames.store, "rows": rows}


def duration(seconds: float) -> str:
    """Write a time in the largest unit that it has at least one and a half of."""
    for unit, length in SECONDS:
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}s"
    return many(round(seconds), "second")


def quantity(number: float) -> str:
    """Write a large number with the prefix of its unit."""
    for size, prefix in PREFIXES:
        if number >= size:
            return f"{number / size:.3g} {prefix}"
    return f"{number:,.0f} "


def _tests(goals: Sequence[Criterion]) -> str:
    tests = _joined(dict.fromkeys(COUNTED.get(goal.test, "t tests") for goal in goals))
    return f"{'paired' if all(goal.paired for goal in goals) else 'unpaired'} {tests}"


def _objectives(frames: Frames) -> str:
    return _joined(dict.fromkeys(objective_name(task.objective) for task in frames.record.tasks))


def _downwards(frames: Frames) -> str:
    """Name the objectives that are better where they are lower."""
    lower = [objective_name(task.objective) for task in frames.record.tasks if task.better == "lower"]
    return f"; lower {_joined(dict.fromkeys(lower))} is better" if lower else ""


def _some(names: Sequence[str]) -> str:
    """Name the first of many, and count the others."""
    fitting = sum(length <= MOST_LETTERS for length in accumulate(map(len, names)))
    named = names[: max(1, min(MOST_NAMED, fitting))]
    more = len(names) - len(named)
    return _joined([*named, f"{more:,} more"] if more else named)


def _joined(parts: Iterable[object]) -> str:
    *most, last = map(str, parts)
    return f"{', '.join(most)} and {last}" if most else last
