"""How many training iterations a search needs: ours, random search and plain Optuna TPE on one table of runs.

A finite space of policies is trained once, at every budget that a search may try it at, and kept as a CSV file.
Searches are then replayed on it: each sees the runs that it asks for and pays for their iterations, so that a repeat
costs seconds. What a policy is truly worth is its mean over seeds that no search sees.

    python tests/benchmarks/search_regret.py train     trains the table (resumes; about 1.4 million iterations)
    python tests/benchmarks/search_regret.py replay    replays the searches, and writes down regret against iterations
    python tests/benchmarks/search_regret.py draw      draws what the replay wrote down

Each takes the name of a task: mnist1d-mlp unless it is given, or mnist-lenet, which needs MNIST under --data-root (its
table takes about 110 thousand iterations).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

import lrbench
from lrbench.metrics import t_interval
from lrbench.policy import parse
from lrbench.policy_search import Between, Search, Space
from lrbench.policy_search.domain import OneOf
from lrbench.policy_search.loop import run_search
from lrbench.store import NewRun, Score, Segment, Store, open_store
from lrbench.study.study import Study, StudyPolicy
from lrbench.study.study_runs import StudyRuns
from lrbench.tasks import Data, Task
from lrbench.training.engine_choice import Engines
from lrbench.training.plan import PlannedRow, plan
from lrbench.training.runner import backlog
from lrbench.training.trainer import Trainer

KEPT = Path(__file__).with_suffix("")
FIGURES = Path(__file__).parents[2] / "figures" / "search"


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which searches are compared.

    Attributes:
        task: a registered one.
        settings: what of it is changed, as in the [task] table of a study.
        test: how many samples of the test split, which no search looks at, are evaluated on; None for all of them.
        seen: the seeds that searches train with.
        unseen: those that tell what a policy is worth.
        contenders: so many of the best policies of the table are trained with the unseen seeds.
    """

    task: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    test: int | None = None
    space: Space
    seen: tuple[int, ...]
    unseen: tuple[int, ...]
    contenders: int
    figure: str

    @property
    def table(self) -> Path:
        return KEPT / f"{self.task}.csv"

    @property
    def answer(self) -> Path:
        return KEPT / f"{self.task}.json"

    def search(self, data_root: Path) -> Search:
        task = lrbench.load_task(self.task, data_root=data_root, **self.settings)
        if self.test is not None:
            task = tested_on(task, self.test)
        usual: dict[str, Any] = {"policies": 120, "batch": 8, "confirm": 1, "rungs": 3, "reduction": 3}
        return Search(name="regret", task=task, space=self.space, seeds=self.seen, **usual)


def tested_on(task: Task, samples: int) -> Task:
    """The task with the first so many samples of its test split only: searches look at the validation split."""
    train, val, test = ((split.inputs, split.targets) for split in (task.data.train, task.data.val, task.data.test))
    fewer = test[0][:samples], test[1][:samples]
    return task.with_(data=Data.from_arrays(train, fewer, val, num_classes=task.data.num_classes))


QUESTIONS = {
    question.task: question
    for question in (
        Question(
            task="mnist1d-mlp",
            space=Space(
                functions=("FIX", "STEP", "EXP", "POLY", "TRI", "SIN", "COSINE"),
                lr=Between(0.0075, 0.5, log=True),  # from `lrbench range-test --task mnist1d-mlp`
                levels=5,
            ),
            seen=(0, 1, 2),
            unseen=(100, 101, 102, 103, 104),
            contenders=80,
            figure="regret.svg",
        ),
        Question(
            task="mnist-lenet",
            settings={"steps": 300, "eval_every": 300},
            test=1000,
            space=Space(
                functions=("FIX", "STEP", "POLY", "TRI", "COSINE"),
                lr=Between(0.0005, 0.5, log=True),  # from far too low to far too high
                narrowed={
                    "STEP": {"gamma": OneOf((0.1, 0.5)), "l": OneOf(("0.25dur", "0.5dur", "0.75dur"))},
                    "POLY": {"p": OneOf((1.0, 2.0)), "l": OneOf(("0.5dur", "1dur"))},
                    "TRI": {"k0": OneOf((0.0001,)), "l": OneOf(("0.125dur", "0.25dur", "0.5dur", "1dur"))},
                    "COSINE": {"l": OneOf(("0.5dur", "0.75dur", "1dur"))},
                },
                levels=7,
            ),
            seen=(0, 1),
            unseen=(2, 3, 4),  # 2 is the seed that the search confirms with, so that a replay trains nothing
            contenders=24,
            figure="regret_mnist_lenet.svg",
        ),
    )
}

CHANCE = 0.1
"""What a run that diverged counts as: both tasks have ten classes."""

MOST_TRIALS = 300
REPEATS = 10
WITHIN = (0.005, 0.002)
"""How near the best a policy is to be."""

REGRETS = (0, *sorted(WITHIN), 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""The ticks of the drawing, whose axis is linear to the larger of those and logarithmic from there on."""


def every_policy(space: Space) -> list[str]:
    """The texts of all policies of a finite space."""
    study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
    texts: dict[str, None] = {}

    def note(trial: optuna.Trial) -> float:
        texts[str(space.policy(trial))] = None
        return 0.0

    study.optimize(note)
    return list(texts)


def train(question: Question, data_root: Path, location: Path) -> None:
    """Train the table into a store, and write it down."""
    search = question.search(data_root)
    policies = tuple(StudyPolicy(text, parse(text)) for text in every_policy(search.space))
    with open_store(location) as store:
        frames = []
        for rung in search.ladder:
            name = f"table at {rung.task.steps}"
            study = Study(name=name, tasks=(rung.task,), policies=policies, seeds=rung.seeds)
            frames.append(trained(study, store))
        means = frames[-1].fillna({"val": CHANCE}).groupby("policy")["val"].mean().sort_values(ascending=False)
        best = tuple(StudyPolicy(text, parse(text)) for text in means.index[: question.contenders])
        frames.append(trained(Study(name="unseen", tasks=(search.task,), policies=best, seeds=question.unseen), store))
    pd.concat(frames).to_csv(question.table, index=False)


def trained(study: Study, store: Store) -> pd.DataFrame:
    """The runs of a study as rows of the table, trained where they were not."""
    planned = plan(study)
    ahead = backlog(planned, store, Engines.chosen("auto", planned.runs))
    left, whole = ahead.steps_to_train, ahead.steps_nominal
    print(f"{study.name}: {len(ahead.missing)} runs to train, {left:,} of {whole:,} iterations", flush=True)
    Trainer(store, device="cpu").train(study)
    evidence = StudyRuns.of(study.name, store)
    rows = []
    for slot in evidence.slots:
        run = evidence.runs[slot.run]
        last = run.scores[-1] if run.status == "finished" else None
        values = (None, None) if last is None else (last.val_score, last.test_score)
        rows.append((slot.policy, run.steps, slot.seed, run.status, *values))
    return pd.DataFrame(rows, columns=["policy", "steps", "seed", "status", "val", "test"]).sort_values("policy")


def stored(search: Search, table: pd.DataFrame, location: Path) -> None:
    """A store that has the runs of the table, so that a search finds all that it asks for."""
    runs: dict[str, NewRun] = {}
    ends: dict[str, Segment] = {}
    tasks = {rung.task.steps: rung.task for rung in search.ladder}
    columns = ["policy", "steps", "seed", "status", "val", "test"]
    for policy, steps, seed, status, val, test in table[columns].itertuples(index=False, name=None):
        task = tasks[steps]
        key = PlannedRow(task, StudyPolicy(policy, parse(policy))).training_key(seed)
        runs[key] = NewRun(key, task.name, task.key, policy, "", seed, steps, {})
        if status == "finished":
            ends[key] = Segment(steps, 0.0, 0, (Score(steps, 0.0, 0.0, val, 0.0, test),), "finished", final={})
        else:
            ends[key] = Segment(steps, 0.0, 0, (), "diverged", diverged_at=steps)
    with open_store(location) as store, store.lease() as lease:
        lease.claim(runs)
        lease.begin(runs.values())
        lease.append(ends)


def worths(search: Search, table: pd.DataFrame) -> dict[str, pd.Series]:
    """What each policy is worth: by the table that the searches see, and by seeds that none of them sees.

    Policies that were not trained with the unseen seeds count as they were seen, but as no better than the middle one
    of those that were.
    """
    whole = table[table["steps"] == search.task.steps].fillna({"val": CHANCE})
    by_search = whole["seed"].isin(search.seeds)
    seen = whole[by_search].groupby("policy")["val"].mean()
    unseen = whole[~by_search].groupby("policy")["val"].mean()
    return {
        "by the table": seen,
        "by unseen seeds": unseen.reindex(seen.index).fillna(seen.clip(upper=unseen.median())),
    }


def numbers(worth: pd.Series) -> dict[str, float]:
    return {str(policy): float(value) for policy, value in worth.items()}


def shares(worth: pd.Series) -> dict[str, float]:
    """How many policies of the table are how near the best of it."""
    return {str(within): float((worth >= worth.max() - within).mean()) for within in WITHIN}


def noise(search: Search, table: pd.DataFrame) -> dict[str, float]:
    """The standard errors of what the best policies are worth: by the validation split, and by the unseen seeds."""
    unseen = table[~table["seed"].isin(search.seeds)].fillna({"val": CHANCE}).groupby("policy")["val"]
    best, samples = float(unseen.mean().max()), search.task.val_samples
    assert samples is not None
    return {
        "of the validation split": math.sqrt(best * (1 - best) / samples),
        "of the unseen seeds": math.sqrt(float(unseen.var().mean()) / int(unseen.count().max())),
    }


Trace = list[tuple[float, str]]
"""Iterations spent, and the best policy so far."""


def ours(search: Search, table: pd.DataFrame, location: Path, repeat: int, **changes: Any) -> Trace:
    """The real search, which finds every run in the store that the table was written into.

    Its best policy so far is, after each budget of each batch, the best of those that have come furthest and have not
    diverged. Before a policy has come to the whole budget, it is an early answer.
    """
    search = replace(search, name=f"ours {repeat} {sorted(changes)}", seed=repeat, **changes)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(location, folder))
        with open_store(copy) as store:
            found = run_search(search, Trainer(store, device="cpu"))
    trace: Trace = []
    spent, furthest = 0.0, dict[str, tuple[int, float]]()
    scores = (
        table[table["seed"].isin(search.seeds)]
        .groupby(["policy", "steps"])["val"]
        .agg(lambda val: val.mean(skipna=False))
    )
    for start in range(0, len(found.trials), search.batch):
        for rung in search.ladder:
            steps = rung.task.steps
            for one in found.trials[start : start + search.batch]:
                if one.steps is not None and one.steps >= steps:
                    spent += rung.steps
                    furthest[one.policy] = steps, float(scores[one.policy, steps])
            sound = {policy: place for policy, place in furthest.items() if math.isfinite(place[1])}
            if sound:
                trace.append((spent, max(sound, key=sound.__getitem__)))
    return trace


def plain(search: Search, seen: Mapping[str, float], sampler: optuna.samplers.BaseSampler) -> Trace:
    """Optuna as its tutorial has it: one policy after another at the whole budget; a known one costs nothing."""
    known: dict[str, None] = {}
    trace: Trace = []
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(MOST_TRIALS):
        trial = study.ask()
        policy = str(search.space.policy(trial))
        known[policy] = None
        study.tell(trial, seen[policy])
        trace.append((len(known) * cost(search), max(known, key=lambda text: seen[text])))
    return trace


def cost(search: Search) -> float:
    """The iterations of a policy at the whole budget, with every seed."""
    return float(len(search.seeds) * search.task.steps)


def grid(search: Search, policies: int) -> np.ndarray:
    """The iterations at which regret is written down: from those of one policy to those of all that are tried."""
    return np.geomspace(1, min(policies, MOST_TRIALS), 60) * cost(search)


def regrets(trace: Trace, worth: Mapping[str, float], steps: np.ndarray) -> np.ndarray:
    """What is lost against the best policy of the table after so many iterations; nan before the first."""
    best = max(worth.values())
    spent = np.array([spent for spent, _ in trace])
    losses = np.array([best - worth[policy] for _, policy in trace])
    places = np.searchsorted(spent, steps, side="right") - 1
    return np.where(places >= 0, losses[np.maximum(places, 0)], np.nan)


def needed(trace: Trace, worth: Mapping[str, float], within: float) -> float:
    """The iterations after which the search's policy is, and stays, so near the best."""
    best = max(worth.values())
    beyond = [spent for spent, policy in trace if best - worth[policy] > within]
    near = [spent for spent, policy in trace if best - worth[policy] <= within and spent > max(beyond, default=0.0)]
    return min(near, default=math.inf)


def traces(
    search: Search, table: pd.DataFrame, seen: Mapping[str, float], location: Path, repeats: int
) -> Iterator[tuple[str, list[Trace]]]:
    random, tpe = optuna.samplers.RandomSampler, optuna.samplers.TPESampler
    yield "random search", [plain(search, seen, random(seed)) for seed in range(repeats)]
    yield "plain Optuna TPE", [plain(search, seen, tpe(seed=seed)) for seed in range(repeats)]
    yield "lrbench search", [ours(search, table, location, seed) for seed in range(repeats)]
    yield "lrbench search, one budget", [ours(search, table, location, seed, rungs=1) for seed in range(repeats)]


def replay(question: Question, data_root: Path, repeats: int) -> None:
    search, table = question.search(data_root), pd.read_csv(question.table)
    measures = worths(search, table)
    seen = numbers(measures["by the table"])
    steps = grid(search, len(seen))
    near = {measure: shares(worth) for measure, worth in measures.items()}
    answer: dict[str, Any] = {"repeats": repeats, "policies": len(seen), "steps": steps.tolist()}
    answer |= {"share of policies": near, "standard error": noise(search, table)}
    print(f"share of {len(seen)} policies: {near}\nstandard error: {answer['standard error']}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        location = Path(folder) / "table.db"
        stored(search, table, location)
        for name, found in traces(search, table, seen, location, repeats):
            for measure, worth in measures.items():
                answer[f"{name}, {measure}"] = told(f"{name}, {measure}", found, numbers(worth), steps)
    question.answer.write_text(json.dumps(answer))


def told(name: str, found: list[Trace], worth: Mapping[str, float], steps: np.ndarray) -> dict[str, object]:
    """The regret curve of a search, with 95% intervals, and how soon it was near the best.

    The curve begins where all repeats have an answer: the mean of those that have one early would be of the lucky ones.
    """
    curves = np.array([regrets(trace, worth, steps) for trace in found])
    bands = [t_interval(column if np.isfinite(column).all() else column[:0]) for column in curves.T]
    soon = {within: [needed(trace, worth, within) for trace in found] for within in WITHIN}
    for within, spent in soon.items():
        reached = f"{np.isfinite(spent).sum()} of {len(spent)} repeats"
        print(f"{name}: within {within} after {np.median(spent):,.0f} iterations (median; {reached})", flush=True)
    for place in range(0, len(steps), 12):
        band = bands[place]
        if band.low is not None:
            print(f"    {steps[place]:>9,.0f}: {band.mean:.4f} [{band.low:.4f}, {band.high:.4f}], n = {band.n}")
    return {
        "needed": {str(near): [None if np.isinf(one) else one for one in spent] for near, spent in soon.items()},
        "mean": [band.mean for band in bands],
        "low": [band.low for band in bands],
        "high": [band.high for band in bands],
    }


def draw(question: Question) -> None:
    from matplotlib.figure import Figure

    from lrbench.report.style import FILL, INK, LINE, PALETTE, WIDTH, save_figure, tidy, titled

    answer = json.loads(question.answer.read_text())
    measure = ", by unseen seeds"
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    curves = {name.removesuffix(measure): curve for name, curve in answer.items() if name.endswith(measure)}
    for color, (name, curve) in zip(PALETTE, curves.items(), strict=False):
        mean, low, high = (np.array(curve[key], dtype=np.float64) for key in ("mean", "low", "high"))
        axes.plot(answer["steps"], mean, color=color, linewidth=LINE, label=name)
        axes.fill_between(answer["steps"], np.maximum(low, 0), high, color=color, alpha=FILL, linewidth=0)
    axes.axhline(WITHIN[0], color=INK, linestyle=":", linewidth=1.0)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=WITHIN[0], linscale=0.8)
    axes.set_yticks(REGRETS, [f"{regret:g}" for regret in REGRETS])
    axes.set_ylim(0, REGRETS[-1])
    axes.set_xlabel("training iterations", color=INK)
    axes.set_ylabel("lost accuracy beside the best policy", color=INK)
    titled(axes, f"{question.task}: mean of {answer['repeats']} repeats with 95% intervals")
    tidy(axes)
    axes.legend(frameon=False, labelcolor=INK)
    FIGURES.mkdir(exist_ok=True)
    save_figure(figure, FIGURES / question.figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "replay", "draw"))
    parser.add_argument("task", nargs="?", choices=QUESTIONS, default="mnist1d-mlp")
    parser.add_argument("--store", type=Path, default=Path("search_regret.db"), help="where `train` keeps its runs")
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    question = QUESTIONS[given.task]
    match given.what:
        case "train":
            train(question, given.data_root, given.store)
        case "replay":
            replay(question, given.data_root, given.repeats)
        case _:
            draw(question)


if __name__ == "__main__":
    main()
