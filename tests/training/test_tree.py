import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrbench.training.estimate
import lrbench.training.tree
from lrbench.modifiers import EMA, PLP
from lrbench.policy import FIX, parse
from lrbench.study.study import Study, StudyPolicy
from lrbench.study.variant import Variant
from lrbench.tasks import Task
from lrbench.training.plan import PlannedRun, plan
from lrbench.training.tree import Branch, forest, next_branch, shared_steps

Make = Callable[..., Study]


def beginning(run: PlannedRun) -> tuple[int, None]:
    return 0, None


def trees(study: Study) -> list[Branch]:
    return forest(plan(study).by_key.values(), beginning)


def branches(tree: Branch) -> Iterator[Branch]:
    yield tree
    for child in tree.children:
        yield from branches(child)


def shape(branch: Branch) -> tuple[object, ...]:
    """Where a branch begins and ends, and its children, in the order of their sizes."""
    return (branch.start, branch.stop, *sorted((shape(child) for child in branch.children), key=str))


def outline(branch: Branch) -> tuple[object, ...]:
    """Where a branch begins and ends, and its runs and children, in their order."""
    return (branch.start, branch.stop, [run.key for run in branch.runs], list(map(outline, branch.children)))


@pytest.fixture(autouse=True)
def _every_shared_iteration_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lrbench.training.estimate, "SECONDS_OF_A_FORK", 1e-9)


def test_steps_of_different_lengths_share_what_comes_before_the_first_one(study: Make) -> None:
    steps = [f"STEP(k0=0.1, gamma=0.1, l={length})" for length in (10, 25, 30)]
    (tree,) = trees(study(*steps, "FIX(k0=0.1)", seeds=(0,)))
    # the budget is 40; l=10 leaves at 10, l=25 at 25, l=30 at 30
    assert shape(tree) == (0, 10, (10, 25, (25, 30, (30, 40), (30, 40)), (25, 40)), (10, 40))
    assert tree.steps == 40 + 30 + 15 + 10


def test_warmups_to_different_rates_share_nothing_but_their_first_iteration(study: Make) -> None:
    (tree,) = trees(study("FIX(k0=0.1).warmup(10)", "FIX(k0=0.2).warmup(10)", seeds=(0,)))
    assert shape(tree) == (0, 1, (1, 40), (1, 40))


def test_seeds_tasks_and_modifiers_share_nothing(study: Make, task: Task) -> None:
    other = task.with_(name="other", batch_size=8)
    asked = study("FIX(k0=0.1)", tasks=(task, other), seeds=(0, 1), modifiers=(Variant.of([PLP()]),))
    # PLP brings its controls: another learning rate, and noise in place of its predictions
    assert [tree.steps for tree in trees(asked)] == [40] * (2 * 2 * 4)


def test_what_only_watches_rides_along(study: Make) -> None:
    watched = (Variant.of([EMA(decay=0.9)]), Variant.of([EMA(decay=0.5)]))
    (tree,) = trees(study("FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.1, l=20)", seeds=(0,), modifiers=watched))
    assert (len(tree.runs), tree.steps) == (6, 60)
    assert [len(child.runs) for child in tree.children] == [3, 3]


def budgets(task: Task, *steps: int) -> tuple[Task, ...]:
    """The task at other budgets, evaluated at the same iterations."""
    return tuple(task.with_(name=f"{task.name} at {each}", steps=each) for each in steps)


COOLDOWN = "FIX(k0=0.1).then(LINEAR(k0=0.1, l=0.2dur), at=0.8dur)"


def test_cooldowns_of_all_budgets_fork_from_one_trunk(study: Make, task: Task) -> None:
    asked = study(COOLDOWN, "COSINE(k0=0.2, l=1dur)", tasks=budgets(task, 40, 10, 20), seeds=(0,))
    trunk, anew = trees(asked)
    # the cooldown's first rate is that of the trunk still: it forks one iteration after it begins
    assert shape(trunk) == (0, 9, (9, 10), (9, 17, (17, 20), (17, 40)))
    # cosines differ from their second iteration on
    assert shape(anew) == (0, 1, (1, 10), (1, 20), (1, 40))


def test_a_shorter_run_leaves_the_trunk_before_its_last_iteration_at_the_latest(study: Make, task: Task) -> None:
    (tree,) = trees(study("FIX(k0=0.1)", "FIX(k0=0)", tasks=budgets(task, 40, 20), seeds=(0,)))[:1]
    assert shape(tree) == (0, 19, (19, 20), (19, 40))
    assert [len(each.runs) for each in branches(tree)] == [2, 1, 1]


def test_budgets_share_nothing_where_evaluations_groups_or_modifiers_depend_on_them(study: Make, task: Task) -> None:
    other_evaluations = (task, task.with_budget(20).with_(name="other"))
    assert [tree.steps for tree in trees(study("FIX(k0=0.1)", tasks=other_evaluations, seeds=(0,)))] == [40, 20]
    thawed = budgets(task.with_(groups={"0.*": {"frozen_until": "0.5dur"}}), 40, 20)
    assert [tree.steps for tree in trees(study("FIX(k0=0.1)", tasks=thawed, seeds=(0,)))] == [40, 20]
    ema = Variant.of([EMA(decay=0.9)])
    watched = trees(study("FIX(k0=0.1)", tasks=budgets(task, 40, 20), seeds=(0,), modifiers=(ema,)))
    assert [(tree.steps, len(tree.runs)) for tree in watched] == [(40, 2), (20, 2)]


def test_policies_that_react_to_evaluations_share_nothing_with_others(study: Make) -> None:
    reactive = [f"REDUCEONPLATEAU(k0=0.1, gamma=0.5, patience={patience})" for patience in (0, 1)]
    assert [tree.steps for tree in trees(study(*reactive, "FIX(k0=0.1)", seeds=(0,)))] == [40, 40, 40]


def test_runs_that_stand_elsewhere_are_not_trained_together(study: Make) -> None:
    runs = plan(study("FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.1, l=20)", seeds=(0,))).runs
    places = {runs[0].key: (10, "a.pt"), runs[1].key: (10, "a.pt")}
    (tree,) = forest(runs, lambda run: places[run.key])
    assert shape(tree) == (10, 20, (20, 40), (20, 40))
    places[runs[1].key] = (5, "b.pt")
    assert [shape(tree) for tree in forest(runs, lambda run: places[run.key])] == [(10, 40), (5, 40)]


def test_forks_that_would_cost_more_than_they_save_are_not_made(study: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lrbench.training.estimate, "SECONDS_AT_LEAST", 1e-3)
    monkeypatch.setattr(lrbench.training.estimate, "SECONDS_OF_A_FORK", 12e-3)
    steps = [f"STEP(k0=0.1, gamma=0.1, l={length})" for length in (11, 25, 30)]
    first, second = trees(study(*steps, seeds=(0,)))
    assert shape(first) == (0, 40)
    assert shape(second) == (0, 24, (24, 40), (24, 40))


def test_thousands_of_forks_behind_each_other(study: Make, task: Task) -> None:
    long = task.with_(steps=3000, eval_every=1000)
    steps = [f"STEP(k0=0.1, gamma=0.1, l={length})" for length in range(1, 3000)]
    (tree,) = trees(study(*steps, tasks=(long,), seeds=(0,)))
    assert tree.steps == sum(3000 - length for length in range(1, 3000)) + 2999


@settings(deadline=None, max_examples=30)
@given(
    changes=st.lists(
        st.lists(st.tuples(st.integers(1, 39), st.sampled_from([0.1, 0.2])), max_size=4), min_size=1, max_size=8
    )
)
def test_every_run_passes_through_branches_that_have_its_learning_rates(
    task: Task, changes: list[list[tuple[int, float]]]
) -> None:
    policies = {}
    for change in changes:
        places = dict(sorted(change))
        policy = parse("FIX(k0=0.3)")
        for at, rate in places.items():
            policy = policy.then(FIX(k0=rate), at=at)
        policies[str(policy)] = StudyPolicy(str(policy), policy)
    asked = Study(name="any", tasks=(task,), policies=tuple(policies.values()), seeds=(0,))
    runs = plan(asked).by_key
    forest_ = forest(runs.values(), beginning)
    covered = dict.fromkeys(runs, 0)
    trained = set()
    for tree in forest_:
        for branch in branches(tree):
            assert branch.children or branch.stop == task.steps
            assert len(branch.children) != 1
            for run in branch.runs:
                assert covered[run.key] == branch.start
                covered[run.key] = branch.stop
                trained |= {(step, run.lrs[: step + 1].tobytes()) for step in range(branch.start, branch.stop)}
            first = branch.training.lrs[: branch.stop].tobytes()
            assert all(run.lrs[: branch.stop].tobytes() == first for run in branch.runs)
    assert set(covered.values()) == {task.steps}
    # no iteration is trained twice: as many are trained as there are different prefixes of learning rates
    assert sum(tree.steps for tree in forest_) == len(trained)
    assert [(task, len(trained))] == list(shared_steps(runs.values(), beginning))
    with pytest.MonkeyPatch.context() as few_rates_at_once:
        few_rates_at_once.setattr(lrbench.training.tree, "RATES_AT_ONCE", 1)
        assert list(map(outline, forest(runs.values(), beginning))) == list(map(outline, forest_))


BUDGET = 64


RUN: Any = None
"""A run of a tree of which the lengths alone matter."""


def random_tree(leaves: int, draw: random.Random, start: int = 0) -> Branch:
    """A random tree: every fork parts its runs in two, at a random iteration of those that are left."""
    runs = (RUN,) * leaves
    if leaves == 1 or start >= BUDGET - 1:
        return Branch(runs, start, BUDGET, (), BUDGET - start)
    stop = draw.randint(start + 1, BUDGET - 1)
    left = draw.randint(1, leaves - 1)
    children = random_tree(left, draw, stop), random_tree(leaves - left, draw, stop)
    return Branch(runs, start, stop, children, stop - start + sum(child.steps for child in children))


def simulated(root: Branch, workers: int) -> tuple[int, int]:
    """Training a tree: the iterations until all is done, and the most forks that had children waiting at once."""
    busy: list[tuple[int, Branch]] = []
    ready, time, most = [root], 0, 0
    while ready or busy:
        while ready and len(busy) < workers:
            branch = ready.pop(next_branch(ready, workers, lambda branch: BUDGET - branch.start))
            busy.append((time + branch.stop - branch.start, branch))
        busy.sort(key=lambda one: one[0])
        time, done = busy.pop(0)
        ready.extend(done.children)
        most = max(most, len({branch.start for branch in ready}))
    return time, most


@settings(deadline=None)
@given(leaves=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_one_worker_never_has_more_forks_open_than_the_logarithm_of_the_runs(leaves: int, seed: int) -> None:
    _, most = simulated(random_tree(leaves, random.Random(seed)), 1)
    assert most <= math.log2(leaves) + 1


@settings(deadline=None)
@given(leaves=st.integers(1, 200), seed=st.integers(0, 10**6), workers=st.integers(1, 8))
def test_workers_are_kept_busy(leaves: int, seed: int, workers: int) -> None:
    root = random_tree(leaves, random.Random(seed))
    time, _ = simulated(root, workers)
    # Graham's bound: a schedule that leaves nobody idle while something is ready takes no longer than this
    assert time <= root.steps / workers + (1 - 1 / workers) * BUDGET


def test_where_workers_wait_the_branch_that_opens_most_comes_first() -> None:
    small, large = Branch((RUN,), 8, BUDGET, (), 56), Branch((RUN,) * 9, 8, 9, (), 300)
    early = Branch((RUN,), 0, BUDGET, (), 64)
    remaining = [lambda branch: float(BUDGET - branch.start)][0]
    assert next_branch([small, large], 2, remaining) == 1
    assert next_branch([small, large, early], 3, remaining) == 2
    assert next_branch([large, small], 1, remaining) == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_a_chain_of_forks_ends_with_its_longest_path(workers: int) -> None:
    chain = Branch((RUN,), BUDGET - 1, BUDGET, (), 1)
    for start in range(BUDGET - 2, -1, -1):
        leaf = Branch((RUN,), start + 1, BUDGET, (), BUDGET - start - 1)
        chain = Branch(chain.runs + leaf.runs, start, start + 1, (chain, leaf), 1 + chain.steps + leaf.steps)
    time, most = simulated(chain, workers)
    assert time <= chain.steps / workers + (1 - 1 / workers) * BUDGET
    assert most <= 2 * workers
