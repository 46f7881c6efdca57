"""The quickstart's runs by Ray Tune, two at a time on a core each, each a plain PyTorch loop that reports as it goes.

Tune is spared what it can be: its log files, and a new process for each trial.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from typing import Any

import ray
from ray import tune

from baselines.answer import parse_runs, say
from baselines.plain_loop import Data, train
from baselines.schedules import SCHEDULES


def trial(config: dict[str, Any], data: Data) -> None:
    def report(val: float, test: float) -> None:
        tune.report({"val": val, "test": test, "at": time.time()})

    name, seed = config["run"]
    train(data, SCHEDULES[name], seed, report=report)


def main() -> None:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(trial, data=Data.made()), {"cpu": 1}),
            param_space={"run": tune.grid_search(parse_runs(sys.argv[1]))},
            tune_config=tune.TuneConfig(metric="val", mode="max", reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        last = [results[place].metrics or {} for place in range(len(results))]
    say([metrics["at"] for metrics in last], [metrics["test"] for metrics in last])


if __name__ == "__main__":
    main()
