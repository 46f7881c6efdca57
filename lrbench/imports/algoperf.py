"""The folders of AlgoPerf: SUBMISSION/study_K/WORKLOAD_FRAMEWORK/trial_T/eval_measurements.csv.

A submission is a policy and a workload a task. The trials of a study are settings that are tuned over: the best one is
the study's result, and studies are the independent runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lrbench.errors import StudyError
from lrbench.imports.table import Runs, runs_of

METRICS = {
    "criteo1tb": "loss",
    "fastmri": "ssim",
    "imagenet": "accuracy",
    "librispeech": "wer",
    "ogbg": "mean_average_precision",
    "wmt": "bleu",
}
"""By what a workload is judged, by the beginning of its name, on the validation split."""

PLACE = re.compile(r"study_(\d+)/([^/]+)_(?:jax|pytorch)/trial_(\d+)")


def algoperf_runs(folder: Path, files: Sequence[Path]) -> Runs:
    """Read the evaluations of submissions.

    Raises:
        StudyError: a file is not where AlgoPerf puts it, or has not what AlgoPerf writes.
    """
    import pandas

    from lrbench.imports.read import read_table

    frames = []
    for file in files:
        parts = file.absolute().parts[-5:-1]
        match = PLACE.fullmatch("/".join(parts[1:]))
        if match is None:
            raise StudyError(f"{file} is not in a folder SUBMISSION/study_K/WORKLOAD_FRAMEWORK/trial_T of AlgoPerf")
        study, workload, trial = match.groups()
        metric = next((name for start, name in METRICS.items() if workload.startswith(start)), None)
        frame = read_table(file)
        column = f"validation/{metric}"
        if metric is None or column not in frame or "global_step" not in frame:
            what = (
                f"no workload of {', '.join(METRICS)}" if metric is None else f"no columns 'global_step' and '{column}'"
            )
            raise StudyError(f"{file} is of {what}")
        place = {"task": workload, "policy": parts[0], "run": f"study {study}/trial {trial}"}
        frames.append(frame[["global_step", column]].assign(**place).rename(columns={column: metric}))
    table = pandas.concat(frames, ignore_index=True).fillna("")
    runs = runs_of(table, str(folder))
    by_task = {
        task: next(name for start, name in METRICS.items() if task.startswith(start)) for task in table["task"].unique()
    }
    remark = (
        "AlgoPerf: of the trials of a study the best one counts, studies are the runs, framework names are left out"
    )
    return Runs(runs.table, runs.metrics, False, (remark,), best_of="study", metric_by_task=by_task)
