"""The quickstart's runs as trials of an Optuna study, each a plain PyTorch loop."""

from __future__ import annotations

import argparse

import optuna

from baselines.answer import parse_runs, say
from baselines.plain_loop import Data, by_index, by_loader, train
from baselines.schedules import SCHEDULES

BATCHES = {"loader": by_loader, "index": by_index}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=parse_runs)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--batches", choices=BATCHES, default="loader")
    arguments = parser.parse_args()
    data, batches = Data.made(), BATCHES[arguments.batches]

    def objective(trial: optuna.Trial) -> float:
        name, seed = trial.suggest_categorical("policy", list(SCHEDULES)), trial.suggest_int("seed", 0, 4)
        val, test = train(data, SCHEDULES[name], seed, batches)
        trial.set_user_attr("test", test)
        return val

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for name, seed in arguments.runs:
        study.enqueue_trial({"policy": name, "seed": seed})
    study.optimize(objective, n_trials=len(arguments.runs), n_jobs=arguments.jobs)
    ended = [trial.datetime_complete.timestamp() for trial in study.trials if trial.datetime_complete is not None]
    say(ended, [trial.user_attrs["test"] for trial in study.trials])


if __name__ == "__main__":
    main()
