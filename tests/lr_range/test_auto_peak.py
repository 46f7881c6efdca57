"""Studies whose policies take their peak from a range test."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lrbench
from lrbench.errors import StudyError
from lrbench.lr_range.auto_peak import with_auto_peaks
from lrbench.policy import FIX, POLY, TRI
from lrbench.report import study_frames
from lrbench.report.page.words import protocol
from lrbench.study.study import Study, StudyPolicy
from lrbench.tasks import Task
from lrbench.training.trainer import NotTrainedError, ReadOnlyTrainer, Trainer


@pytest.fixture
def study(task: Task) -> Study:
    policies = (
        StudyPolicy("wave", TRI(k0=0.01, k1=0.1, l="0.25dur"), auto_peak=True),
        StudyPolicy("line", POLY(k0=1.0, p=1, l="1dur"), auto_peak=True),
        StudyPolicy("flat", FIX(k0=0.05)),
    )
    return Study(name="fitted", tasks=(task,), policies=policies, seeds=(0, 1))


def test_peaks_are_the_upper_end_of_the_range_and_other_policies_stay(study: Study, trainer: Trainer) -> None:
    fitted = with_auto_peaks(study, trainer)

    high = lrbench.range_test(study.tasks[0], seeds=3, store=trainer.store, device="cpu", engine="serial").high.value
    wave, line, flat = (entry.policy for entry in fitted.policies)
    assert isinstance(wave, TRI)
    assert isinstance(line, POLY)
    assert wave.k1 == line.k0 == float(f"{high:.2g}")
    assert wave.k0 == pytest.approx(wave.k1 / 10)
    assert flat == FIX(k0=0.05)
    assert [entry.found_peak for entry in fitted.policies] == [line.k0, line.k0, None]
    assert fitted.auto_peaks == ()
    assert with_auto_peaks(fitted, trainer) is fitted


def test_an_archive_gives_the_peaks_that_its_store_knows_and_trains_none(study: Study, trainer: Trainer) -> None:
    archive = ReadOnlyTrainer(trainer.store)
    with pytest.raises(NotTrainedError):
        with_auto_peaks(study, archive)

    fitted = with_auto_peaks(study, trainer)
    assert with_auto_peaks(study, archive) == fitted

    lrbench.range_test(study.tasks[0], seeds=1, store=trainer.store, device="cpu", engine="serial")
    assert with_auto_peaks(study, archive) == fitted


def test_a_study_finds_its_range_and_the_second_time_trains_nothing(study: Study, tmp_path: Path) -> None:
    how: dict[str, Any] = {"store": tmp_path / "runs.db", "device": "cpu", "engine": "serial"}

    first, second = lrbench.run(study, **how), lrbench.run(study, **how)

    assert (first.tally.trained, second.tally.trained) == (6, 0)
    cards = {card.name: card for card in first.results.tasks[0].scorecards}
    assert cards.keys() == {"wave", "line", "flat"}
    assert cards["wave"].policy != "TRI(k0=0.01, k1=0.1, l=0.25dur)"
    assert second.results == first.results
    with lrbench.open_store(tmp_path / "runs.db") as store:
        said = protocol(study_frames("fitted", store))
    assert [line for line in said if line.startswith("The highest learning rate of 2 of 3 policies is 0.")]


def test_of_several_tasks_each_has_its_own_range(study: Study) -> None:
    (task,) = study.tasks
    with pytest.raises(StudyError, match="the peak of 'wave' comes from a range test, and each of the 2 tasks has its"):
        replace(study, tasks=(task, task.with_(name="other")))
