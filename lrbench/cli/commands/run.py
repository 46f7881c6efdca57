"""`lrbench run`: train what a study asks for, and rank its policies."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from lrbench.cli.completion import complete_study
from lrbench.cli.errors import INTERRUPTED, RUNS_FAILED, Session, say_error, session_of
from lrbench.cli.options import By, LabOptions, OutputOptions, Steps, StudySeeds, how, whole_number, with_groups
from lrbench.cli.output import console_for, print_json, print_what_next
from lrbench.cli.stdout import say
from lrbench.display.names import many
from lrbench.garbage import without_collection

if TYPE_CHECKING:
    from lrbench.api import Lab
    from lrbench.store import Store as StudyStore
    from lrbench.store import StoredRun
    from lrbench.study.study import Study
    from lrbench.training.engine_choice import Engine as EngineName
    from lrbench.training.listener import Listener


@with_groups
def run(
    context: typer.Context,
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="A study file, or the name of a study that ships.", autocompletion=complete_study
        ),
    ],
    *,
    steps: Steps = None,
    at: Annotated[
        str | None,
        how(
            "--at",
            metavar="N,N,...",
            help="Train for these budgets, shares, iterations or lengths, in place of the file's horizons; what has a "
            "constant part goes on from a shorter budget that was trained before.",
        ),
    ] = None,
    seeds: StudySeeds = None,
    confirm: Annotated[
        int | None,
        how(
            "--confirm",
            metavar="N",
            parser=whole_number(0),
            help="Train the winner and its closest rivals again on N fresh seeds, in place of the file's number.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        how(
            "--budget",
            metavar="N",
            help='End before the round of seeds that would go over N, "200 runs" or "90000 steps", in place of the '
            "file's budget.",
        ),
    ] = None,
    by: By = None,
    to: Annotated[
        list[str] | None,
        how(
            "--to",
            metavar="KIND:PLACE",
            help="Write the runs to tensorboard:DIR or mlflow:STORE too, as they are trained; may repeat.",
        ),
    ] = None,
    dry_run: Annotated[bool, how("--dry-run", help="Say what would be trained, and train nothing.")] = False,
    options: LabOptions,
    output: OutputOptions,
) -> None:
    """Train what a study asks for, and rank its policies.

    What the store has is not trained again, in this study or another; a run that was cut off goes on where it stood.
    The command exits with 1 where some runs failed; they are tried again when it is called again.

    \b
    Examples:
      lrbench run quickstart
      lrbench run my_study.toml --steps 500 --seeds 2
      lrbench run my_study.toml --seeds 5..40 --confirm 5
      lrbench run my_study.toml --seeds 5..40 --budget "200 runs"
      lrbench run my_study.toml --by top1 --by steps_to_target:50
      lrbench run my_study.toml --at 200% --dry-run
      lrbench run mnist_lenet_1k --data-root ~/data --json > ranking.json
    """
    session = session_of(context)
    with options.lab() as lab:
        from lrbench.training.tracking import Tracking

        lab.listeners = tuple(map(Tracking, to or ()))
        horizons = None if at is None else at.split(",")
        wanted = lab.study(study, steps=steps, at=horizons, seeds=seeds, confirm=confirm, budget=budget, by=by or ())
        more = [("report", wanted.name, "-o", "report.html"), ("compare", wanted.name, "A", "B")]
        if dry_run:
            print_plan(wanted, options.store, options.engine, as_json=output.json)
        else:
            train_and_show(wanted, lab, more, options, output, session)


def train_and_show(
    study: Study,
    lab: Lab,
    more: Sequence[Sequence[str]],
    options: LabOptions,
    output: OutputOptions,
    session: Session,
) -> None:
    """Train a study, show what came out and `more` commands to go on with, and exit with 1 where runs failed."""
    with training(session) as lab.listener:
        outcome = lab.run(study)
    output.show(outcome, session)
    if output.json and outcome.kept is not None:
        print(outcome.kept_sentence, file=sys.stderr)
    if not output.json:
        print_what_next(lab.store, options.store, more, session)
    if outcome.tally.failed:
        report_failures(outcome.results.study, lab.store, session)
        raise typer.Exit(RUNS_FAILED)


@without_collection()
def print_plan(study: Study, store: str | None, engine: EngineName, *, as_json: bool) -> None:
    """Print how many runs and iterations a study takes and how many the store has; nothing is written."""
    from lrbench.progress import plan_sentence
    from lrbench.store import open_store, store_exists
    from lrbench.training.engine_choice import Engines
    from lrbench.training.plan import plan
    from lrbench.training.runner import backlog

    with open_store(store) if store_exists(store) else nullcontext() as opened:
        if study.auto_peaks and opened is not None:
            study = _with_known_peaks(study, opened, engine)
        planned = plan(study)
        planned = planned.first_round
        planned.check_budget()
        ahead = backlog(planned, opened, Engines.chosen(engine, planned.runs))
    if as_json:
        print_json({"study": study.name, **ahead.to_json()})
        return
    say(plan_sentence(ahead))
    trunks = [run for run in ahead.missing.values() if run.row.kept_at and run.key not in ahead.stored]
    if ahead.kept:
        going_on = many(len(ahead.kept), "run")
        say(
            f"{going_on} go on from states kept by a shorter horizon, which saves {many(ahead.steps_kept, 'iteration')}"
        )
    if trunks:
        say(f"{many(len(trunks), 'run')} on trunks begin anew, as no state of these is kept; theirs will be")
    if study.until_decided is not None:
        within = "" if study.budget is None else f", within {study.budget}"
        say(f"then up to {len(study.seeds)} seeds for the policies that more can help, until all are decided{within}")
    if study.confirm:
        say(f"then its finalists on {study.confirm} fresh seeds, which depend on how these runs end")


def _with_known_peaks(study: Study, store: StudyStore, engine: EngineName) -> Study:
    """Give a study the peaks of a range test that the store has; it stays as it is where the test has to be trained."""
    from lrbench.lr_range.auto_peak import with_auto_peaks
    from lrbench.training.trainer import NotTrainedError, ReadOnlyTrainer

    try:
        return with_auto_peaks(study, ReadOnlyTrainer(store, engine=engine))
    except NotTrainedError:
        return study


@contextmanager
def training(session: Session) -> Iterator[Listener]:
    """Show on stderr how training goes; say after Ctrl-C how to go on, and exit."""
    from lrbench.progress import progress_on

    try:
        with progress_on(console_for(sys.stderr, session)) as listener:
            yield listener
    except KeyboardInterrupt:
        again = shlex.join(["lrbench", *sys.argv[1:]])
        print(f"Interrupted; what was trained so far is stored. To go on: {again}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def report_failures(study: str, store: StudyStore, session: Session) -> None:
    """Print a line on stderr for each error of runs that failed, and with --debug the traceback of each run."""
    by_error: dict[str, list[StoredRun]] = {}
    for run in sorted(store.study_runs(study).values(), key=lambda run: (run.task, run.policy, run.seed)):
        if run.status == "failed" and run.error:
            if session.debug:
                print(run.error, file=sys.stderr)
            by_error.setdefault(run.error.strip().splitlines()[-1], []).append(run)
    for error, (first, *others) in by_error.items():
        more = f", and {many(len(others), 'more run')}" if others else ""
        where = f"{first.policy} on {first.task}, seed {first.seed}, after iteration {first.step}"
        say_error(f"Failed: {where}{more}: {error}")
    say_error("The other runs are stored; call the same command again to try the failed ones again.")
