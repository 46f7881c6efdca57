"""How many training iterations a search needs: ours, random search and plain Optuna TPE on one table of runs.

A finite space of policies is trained once, at every budget that a search may try it at, and kept as a CSV file.
Searches are then replayed on it: each sees the runs that it asks for and pays for their iterations, so that a repeat
costs seconds. What a policy is truly worth is its mean over seeds that no search sees.

    python tests/benchmarks/search_regret.py train     trains the table (resumes; about 1.4 million iterations)
    python tests/benchmarks/search_regret.py replay    replays the searches, and writes down regret against iterations
    python tests/benchmarks/search_regret.py draw      draws what the replay wrote down
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

import lrbench
from lrbench.metrics import t_interval
from lrbench.policy import parse
from lrbench.search import Between, Search, Space
from lrbench.search.bench import Bench
from lrbench.search.driver import find
from lrbench.study.plan import PlannedRun
from lrbench.study.results import Evidence
from lrbench.study.store import NewRun, Score, Segment, Store, open_store
from lrbench.study.study import Entry, Study

HERE = Path(__file__).parent
TABLE = HERE / "search_regret_table.csv"
ANSWER = HERE / "search_regret.json"
FIGURE = HERE.parents[1] / "figures" / "search" / "regret.svg"

SPACE = Space(
    functions=("FIX", "STEP", "EXP", "POLY", "TRI", "SIN", "COSINE"),
    lr=Between(0.0075, 0.5, log=True),  # from `lrbench range-test --task mnist1d-mlp`
    levels=5,
)
TASK = "mnist1d-mlp"
SEEN = (0, 1, 2)
UNSEEN = (100, 101, 102, 103, 104)
CONTENDERS = 80
"""So many of the best policies of the table are trained with the unseen seeds; no other is within reach of the best."""

CHANCE = 0.1
MOST_TRIALS = 300
REPEATS = 10
WITHIN = 0.005
GRID = np.geomspace(3_000, 900_000, 60)


def question(**changes: object) -> Search:
    usual = {"seeds": SEEN, "policies": 120, "batch": 8, "confirm": 1, "rungs": 3, "reduction": 3}
    return Search(**{"name": "regret", "task": lrbench.load_task(TASK), "space": SPACE, **usual, **changes})


def every_policy() -> list[str]:
    """The texts of all policies of the space."""
    study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
    texts: dict[str, None] = {}

    def note(trial: optuna.Trial) -> float:
        texts[str(SPACE.policy(trial))] = None
        return 0.0

    study.optimize(note)
    return list(texts)


def train(location: Path) -> None:
    """Train the table into a store, and write it down."""
    search, policies = question(), every_policy()
    entries = tuple(Entry(text, parse(text)) for text in policies)
    with open_store(location) as store:
        bench = Bench(store, {"device": "cpu"})
        frames = []
        for rung, budget in enumerate(search.budgets):
            study = Study(
                name=f"table at {budget}", tasks=(search.task_at(rung),), entries=entries, seeds=search.seeds_at(rung)
            )
            bench.train(study)
            frames.append(rows_of(study.name, budget, store))
        means = frames[-1].groupby("policy")["val"].mean().sort_values(ascending=False)
        best = tuple(Entry(text, parse(text)) for text in means.index[:CONTENDERS])
        study = Study(name="unseen", tasks=(search.task,), entries=best, seeds=UNSEEN)
        bench.train(study)
        frames.append(rows_of(study.name, search.budgets[-1], store))
    pd.concat(frames).to_csv(TABLE, index=False)


def rows_of(study: str, budget: int, store: Store) -> pd.DataFrame:
    evidence = Evidence.of(study, store)
    rows = []
    for member in evidence.members:
        run = evidence.runs[member.run]
        last = run.scores[-1] if run.status == "finished" else None
        values = (None, None) if last is None else (last.val_score, last.test_score)
        rows.append((member.entry, budget, member.seed, run.status, *values))
    return pd.DataFrame(rows, columns=["policy", "steps", "seed", "status", "val", "test"]).sort_values("policy")


def stored(table: pd.DataFrame, location: Path) -> None:
    """A store that has the runs of the table, so that a search finds all that it asks for."""
    search = question()
    with open_store(location) as store, store.lease() as lease:
        for row in table[table["seed"].isin(SEEN)].itertuples():
            task = search.task_at(search.budgets.index(row.steps))
            policy = parse(row.policy)
            key = PlannedRun(task, Entry(row.policy, policy), row.seed).key
            lease.claim([key])
            lease.begin([NewRun(key, task.name, task.key, row.policy, "", row.seed, row.steps, {})])
            if row.status == "finished":
                score = Score(row.steps, 0.0, 0.0, row.val, 0.0, row.test)
                segment = Segment(row.steps, 0.0, 0, (score,), "finished", final={})
            else:
                segment = Segment(row.steps, 0.0, 0, (), "diverged", diverged_at=row.steps)
            lease.append({key: segment})


def worths(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What each policy is worth: by the table that the searches see, and by seeds that none of them sees.

    Policies that were not trained with the unseen seeds are out of reach, and count as they were seen.
    """
    whole = table[(table["steps"] == table["steps"].max())].fillna({"val": CHANCE})
    seen = whole[whole["seed"].isin(SEEN)].groupby("policy")["val"].mean()
    unseen = whole[whole["seed"].isin(UNSEEN)].groupby("policy")["val"].mean()
    floor = float(unseen.min())
    others = {policy: min(value, floor) for policy, value in seen.items()}
    return {"by the table": seen.to_dict(), "by unseen seeds": {**others, **unseen.to_dict()}}


Trace = list[tuple[float, str]]
"""Iterations spent, and the policy that the search would then have given."""


def ours(location: Path, repeat: int, **changes: object) -> Trace:
    """The real search, which finds every run in the store that the table was written into."""
    search = question(name=f"ours {repeat} {sorted(changes)}", seed=repeat, **changes)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(location, folder))
        with open_store(copy) as store:
            found = find(replace(search, confirm=1), Bench(store, {"device": "cpu"}))
    trace: Trace = []
    spent, best, value = 0.0, "", -1.0
    budgets = list(search.budgets)
    for start in range(0, len(found.tried), search.batch):
        for one in found.tried[start : start + search.batch]:
            spent += sum(
                budget * len(search.seeds_at(rung)) for rung, budget in enumerate(budgets) if budget <= one.steps
            )
            if one.whole and not one.diverged and one.values["accuracy"] > value:
                best, value = one.policy, one.values["accuracy"]
        if best:
            trace.append((spent, best))
    return trace


def plain(table: pd.DataFrame, sampler: optuna.samplers.BaseSampler) -> Trace:
    """Optuna as its tutorial has it: one policy after another at the whole budget; a known one costs nothing."""
    whole = table[(table["steps"] == table["steps"].max()) & table["seed"].isin(SEEN)]
    seen = whole.groupby("policy")["val"].mean().fillna(CHANCE).to_dict()
    known: dict[str, None] = {}
    trace: Trace = []
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(MOST_TRIALS):
        trial = study.ask()
        policy = str(SPACE.policy(trial))
        known[policy] = None
        study.tell(trial, seen[policy])
        spent = len(known) * len(SEEN) * float(table["steps"].max())
        trace.append((spent, max(known, key=lambda text: seen[text])))
    return trace


def regrets(trace: Trace, value: Mapping[str, float]) -> np.ndarray:
    """What is lost against the best policy of the table after so many iterations of the grid; nan before the first."""
    best = max(value.values())
    steps = np.array([spent for spent, _ in trace])
    losses = np.array([best - value[policy] for _, policy in trace])
    places = np.searchsorted(steps, GRID, side="right") - 1
    return np.where(places >= 0, losses[np.maximum(places, 0)], np.nan)


def needed(trace: Trace, value: Mapping[str, float]) -> float:
    """The iterations after which the search's policy is, and stays, within half a point of the best."""
    best = max(value.values())
    beyond = [spent for spent, policy in trace if best - value[policy] > WITHIN]
    within = [spent for spent, policy in trace if best - value[policy] <= WITHIN and spent > max(beyond, default=0.0)]
    return min(within, default=float("inf"))


def traces(table: pd.DataFrame, location: Path, repeats: int) -> Iterator[tuple[str, list[Trace]]]:
    random, tpe = optuna.samplers.RandomSampler, optuna.samplers.TPESampler
    yield "random search", [plain(table, random(seed)) for seed in range(repeats)]
    yield "plain Optuna TPE", [plain(table, tpe(seed=seed)) for seed in range(repeats)]
    yield "lrbench search", [ours(location, seed) for seed in range(repeats)]
    yield "lrbench search, one budget", [ours(location, seed, rungs=1) for seed in range(repeats)]


def replay(repeats: int) -> None:
    table = pd.read_csv(TABLE)
    answer: dict[str, object] = {"steps": GRID.tolist(), "repeats": repeats}
    with tempfile.TemporaryDirectory() as folder:
        location = Path(folder) / "table.db"
        stored(table, location)
        for name, found in traces(table, location, repeats):
            for measure, value in worths(table).items():
                answer[f"{name}, {measure}"] = told(f"{name}, {measure}", found, value)
    ANSWER.write_text(json.dumps(answer))


def told(name: str, found: list[Trace], value: Mapping[str, float]) -> dict[str, object]:
    """The regret curve of a search over its repeats, with 95% intervals, and how soon it was near the best."""
    curves = np.array([regrets(trace, value) for trace in found])
    spent = [needed(trace, value) for trace in found]
    bands = [t_interval(column[np.isfinite(column)]) for column in curves.T]
    print(f"{name}: median iterations to within half a point {np.median(spent):,.0f}", flush=True)
    for steps in (10_000, 30_000, 100_000, 300_000):
        band = bands[int(np.searchsorted(GRID, steps))]
        if band.low is not None:
            print(f"    regret after {steps:>7,}: {band.mean:.4f} [{band.low:.4f}, {band.high:.4f}], n = {band.n}")
    return {
        "needed": [None if np.isinf(one) else one for one in spent],
        "mean": [band.mean for band in bands],
        "low": [band.low for band in bands],
        "high": [band.high for band in bands],
    }


def draw() -> None:
    from matplotlib.figure import Figure

    from lrbench.report.style import FILL, INK, LINE, PALETTE, WIDTH, save_figure, tidy, titled

    answer = json.loads(ANSWER.read_text())
    measure = ", by unseen seeds"
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    axes = figure.subplots()
    curves = {name.removesuffix(measure): curve for name, curve in answer.items() if name.endswith(measure)}
    for color, (name, curve) in zip(PALETTE, curves.items(), strict=False):
        mean, low, high = (np.array(curve[key], dtype=np.float64) for key in ("mean", "low", "high"))
        axes.plot(answer["steps"], mean, color=color, linewidth=LINE, label=name)
        axes.fill_between(answer["steps"], np.maximum(low, 0), high, color=color, alpha=FILL, linewidth=0)
    axes.axhline(WITHIN, color=INK, linestyle=":", linewidth=1.0)
    axes.set_xscale("log")
    axes.set_ylim(0, None)
    axes.set_xlabel("training iterations", color=INK)
    axes.set_ylabel("lost accuracy beside the best policy", color=INK)
    titled(axes, f"{TASK}: mean of {answer['repeats']} repeats with 95% intervals")
    tidy(axes)
    axes.legend(frameon=False, labelcolor=INK)
    FIGURE.parent.mkdir(exist_ok=True)
    save_figure(figure, FIGURE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "replay", "draw"))
    parser.add_argument("--store", type=Path, default=Path("search_regret.db"))
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    match given.what:
        case "train":
            train(given.store)
        case "replay":
            replay(given.repeats)
        case _:
            draw()


if __name__ == "__main__":
    main()
