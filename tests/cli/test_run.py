import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from lrbench.api import Outcome, run
from lrbench.metrics.metric import METRICS
from lrbench.progress import seconds_left
from lrbench.store import open_store
from lrbench.study.file import load_study
from lrbench.study.results import results
from lrbench.training import coordinator
from lrbench.training.plan import plan
from lrbench.training.runner import RunCounts
from tests.report.made_studies import write_study

Command = Callable[..., Result]


def strict_json(text: str) -> Any:
    """The one document that `text` is, in which NaN and Infinity have no place."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_run_ends_with_a_ranking_and_what_it_cost(lrbench: Command, tiny_study: Path) -> None:
    result = lrbench("run", tiny_study)

    assert result.exit_code == 0, result.stderr
    assert re.search(r"^policy +verdict +val top1 +test top1 +AC +loss diff +to target +seconds$", result.stdout, re.M)
    assert {line.split()[0] for line in result.stdout.splitlines()[2:4]} == {"flat", "stepped"}
    assert "4 runs: 4 trained, 0 from the store; 160 of 160 iterations trained" in result.stdout


def test_python_prints_what_the_command_line_prints(lrbench: Command, tiny_study: Path) -> None:
    told = lrbench("run", tiny_study)

    with open_store() as store:
        outcome = run(tiny_study, store=store)

    *table, last = str(outcome).splitlines()
    assert table == told.stdout.splitlines()[:-1]
    assert last == "4 runs: 0 trained, 4 from the store; 0 of 160 iterations trained"
    assert len(repr(outcome)) < 100
    assert outcome._repr_html_().count("<polyline") == 2


def test_the_numbers_of_the_last_line_add_up() -> None:
    counts = RunCounts(total=9, trained=5, cached=3, diverged=2, failed=1, steps_nominal=9000, steps_trained=500)

    said = "9 runs: 5 trained, 3 from the store, 1 failed; 2 of them diverged; 500 of 9,000 iterations trained"
    assert counts.sentence == said


def test_no_line_of_the_ranking_is_longer_than_a_hundred_characters(lrbench: Command, tmp_path: Path) -> None:
    grid = '[[policies]]\nfunction = "TRI"\nk0 = [0.001, 0.000123456789]\nk1 = 0.123456789\nl = "0.123456789dur"\n'
    (tmp_path / "grid.toml").write_text(f'task = "mnist1d-mlp"\nseeds = 2\ntarget = 0.2\n{grid}')

    table = lrbench("run", "grid.toml", "--steps", "20").stdout.split("\nundecided")[0]

    assert "TRI(k0=" in table
    assert max(map(len, table.splitlines())) <= 100


def test_a_second_call_trains_nothing(lrbench: Command, tiny_study: Path) -> None:
    first = lrbench("run", tiny_study, "--json")
    second = lrbench("run", tiny_study, "--json")

    documents = [strict_json(result.stdout) for result in (first, second)]
    assert documents[1].pop("runs") == {"total": 4, "trained": 0, "cached": 4, "diverged": 0, "failed": 0}
    assert documents[1].pop("steps") == {"nominal": 160, "trained": 0}
    assert documents[0].pop("runs")["trained"] == 4
    assert documents[0].pop("steps")["trained"] == 160
    assert documents[0] == documents[1]


def test_another_content_of_a_study_keeps_the_earlier_one_and_says_where(lrbench: Command, tiny_study: Path) -> None:
    kept = "Another study 'tiny' was in the store: it is kept as tiny@1.\n"
    whole = lrbench("run", tiny_study, "--workers", "1").stdout
    trial = lrbench("run", tiny_study, "--steps", "20", "--seeds", "1", "--workers", "1").stdout
    assert (kept in whole, kept in trial) == (False, True)
    assert len(lrbench("export", "tiny").stdout.splitlines()) == 1 + 2
    assert len(lrbench("export", "tiny@1").stdout.splitlines()) == 1 + 4
    again = lrbench("run", tiny_study, "--workers", "1", "--json")
    assert again.stderr.splitlines()[-1] == kept.strip().replace("@1", "@2")
    assert len(lrbench("export", "tiny").stdout.splitlines()) == 1 + 4
    names = [
        item["name"] for item in json.loads(lrbench("list", "studies", "--json").stdout)["studies"] if item["stored"]
    ]
    assert names == ["tiny", "tiny@2"]


def test_json_has_every_metric_of_every_policy(lrbench: Command, tiny_study: Path) -> None:
    document = strict_json(lrbench("run", tiny_study, "--json").stdout)

    assert (document["study"], document["task"]) == ("tiny", "mnist1d-mlp")
    assert {policy["policy"] for policy in document["policies"]} == {"FIX(k0=0.1)", "STEP(k0=0.1, gamma=0.1, l=0.5dur)"}
    for policy in document["policies"]:
        assert policy["n"] == 2
        assert policy["verdict"] in ("good", "avoid", "undecided")
        assert policy["metrics"].keys() >= {name for name, metric in METRICS.items() if metric.expected}
        assert all({"mean", "low", "high"} <= metric.keys() for metric in policy["metrics"].values())


def test_one_seed_has_no_interval_and_an_unreached_target_no_steps(lrbench: Command, tiny_study: Path) -> None:
    tiny_study.write_text(tiny_study.read_text().replace("target = 0.2", "target = 0.99"))

    document = strict_json(lrbench("run", tiny_study, "--seeds", "1", "--json").stdout)

    metrics = document["policies"][0]["metrics"]
    assert metrics["val_top1"]["mean"] is not None
    assert (metrics["val_top1"]["low"], metrics["val_top1"]["high"]) == (None, None)
    assert (metrics["steps_to_target"]["mean"], metrics["steps_to_target"]["reached"]) == (None, 0)


def test_a_diverged_run_is_a_result_and_no_error(lrbench: Command, tmp_path: Path) -> None:
    policies = '[[policies]]\npolicy = "FIX(k0=1e30)"\nname = "wild"\n[[policies]]\npolicy = "FIX(k0=0.1)"\n'
    (tmp_path / "wild.toml").write_text(f'task = "mnist1d-mlp"\nseeds = 2\n{policies}')

    result = lrbench("run", "wild.toml", "--steps", "20", "--json")

    document = strict_json(result.stdout)
    wild = next(policy for policy in document["policies"] if policy["name"] == "wild")
    assert result.exit_code == 0
    assert document["runs"]["diverged"] == 2
    assert (wild["verdict"], wild["metrics"]["divergence_rate"]["mean"]) == ("avoid", 1.0)
    assert wild["metrics"]["val_top1"]["mean"] == pytest.approx(0.1)


def test_progress_goes_to_stderr_as_plain_lines_in_a_pipe(lrbench: Command, tiny_study: Path) -> None:
    result = lrbench("run", tiny_study, "--json")

    assert "tiny: 4 runs, 0 cached, 4 to train (160 of 160 iterations)\n" in result.stderr
    assert re.search(r"training: 4 of 4 runs, 0:00:\d\d, 0:00:00 left", result.stderr)
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("done", "left"), [(0, None), (1, None), (200, None), (2_500, 30.0), (10_000, 0.0), (10_500, 0.0)]
)
def test_the_time_left_is_told_once_enough_is_done_to_tell(done: int, left: float | None) -> None:
    assert seconds_left(10.0, done, 10_000) == left


def test_the_time_left_of_a_stage_that_begins_with_one_long_trunk_is_told_by_its_first_iterations() -> None:
    assert seconds_left(20.0, 0, 900_000) is None
    assert seconds_left(20.0, 500, 900_000) == 20 * 1799


def test_a_terminal_gets_a_bar_with_the_leader_and_coloured_verdicts(lrbench: Command, tiny_study: Path) -> None:
    result = lrbench("run", tiny_study, color=True)

    assert re.search(r"4/4 runs.*(flat|stepped) 0\.\d{4}", result.stderr)
    assert re.search(r"\x1b\[[\d;]+m(good|undecided|avoid)", result.stdout)


@pytest.mark.parametrize("color", [False, True], ids=["lines", "bar"])
def test_progress_names_the_process_that_one_waits_for(
    lrbench: Command, tiny_study: Path, monkeypatch: pytest.MonkeyPatch, color: bool
) -> None:
    monkeypatch.setattr(coordinator, "SECONDS_BEFORE_WAITING_IS_REPORTED", 0.0)
    held = [run.key for run in plan(load_study(str(tiny_study))).runs]
    with open_store("lrbench.db") as store, store.lease() as other:
        other.claim(held)

        def release() -> None:
            while not other.others_are_at_work():
                time.sleep(0.1)
            time.sleep(1.5)
            other.release(held)

        releasing = threading.Thread(target=release)
        releasing.start()
        result = lrbench("run", tiny_study, color=color)
        releasing.join()

    waiting = f"waiting for 4 runs that others are training: process {os.getpid()} on {platform.node()} (4)"
    assert " ".join(result.stderr.split()).count(waiting) == 1
    assert "4 trained" in result.stdout


@pytest.mark.parametrize("how", ["--no-color", "NO_COLOR"])
def test_no_color_is_plain_text_on_a_terminal_too(
    lrbench: Command, tiny_study: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    lrbench("run", tiny_study)
    piped = lrbench("run", tiny_study)
    if how == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    plain = lrbench("run", tiny_study, *(["--no-color"] if how == "--no-color" else []), color=True)

    assert (plain.stdout, plain.stderr) == (piped.stdout, piped.stderr)


def test_the_store_is_where_it_is_said_to_be(lrbench: Command, tiny_study: Path, tmp_path: Path) -> None:
    lrbench("run", tiny_study, "--seeds", "1", "--store", "elsewhere.db")

    assert (tmp_path / "elsewhere.db").is_file()
    assert not (tmp_path / "lrbench.db").exists()


def test_the_environment_says_where_the_store_is(
    lrbench: Command, tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRBENCH_STORE", "elsewhere.db")
    assert lrbench("list", "studies").exit_code == 0

    lrbench("run", tiny_study, "--seeds", "1")

    assert (tmp_path / "elsewhere.db").is_file()
    assert not (tmp_path / "lrbench.db").exists()


def test_several_tasks_have_a_ranking_each(lrbench: Command, tmp_path: Path) -> None:
    tasks = "".join(f'[[tasks]]\nbase = "mnist1d-mlp"\nname = "{name}"\nsteps = 20\n' for name in ("one", "two"))
    (tmp_path / "both.toml").write_text(f'seeds = 1\n{tasks}[[policies]]\npolicy = "FIX(k0=0.1)"\n')

    text = lrbench("run", "both.toml").stdout
    document = strict_json(lrbench("run", "both.toml", "--json").stdout)

    assert "both on one, margin 0.01" in text
    assert "both on two, margin 0.01" in text
    assert [task["task"] for task in document["tasks"]] == ["one", "two"]


def test_the_winner_is_confirmed_on_fresh_seeds_where_the_study_asks_for_it(lrbench: Command, tiny_study: Path) -> None:
    tiny_study.write_text("confirm = 2\n" + tiny_study.read_text())

    result = lrbench("run", tiny_study)

    main, _, confirmed = result.stdout.partition("on fresh seeds, n = 2\n")
    header, *rows, explained = confirmed.split("\n\n")[0].splitlines()
    assert result.exit_code == 0
    assert "on fresh seeds to confirm the winner" in result.stderr
    titles = ["policy", "verdict", "val", "top1", "test", "top1", "val", "if", "chosen", "search", "val"]
    assert header.split() == titles
    assert len(rows) == 2
    assert explained.startswith("The first was chosen without these seeds")
    for row in rows:
        name, searched = row.split()[0], " ".join(row.split()[-2:])
        assert re.search(rf"^{name} .*{re.escape(searched)}", main, re.M)


def test_a_winner_alone_on_fresh_seeds_is_compared_with_nothing_and_has_no_verdict(
    lrbench: Command, tmp_path: Path
) -> None:
    task = '[task]\nbase = "mnist1d-mlp"\nsteps = 20\n'
    (tmp_path / "one.toml").write_text(f'seeds = 1\nconfirm = 2\n{task}[policies]\nflat = "FIX(k0=0.1)"\n')

    _, _, confirmed = lrbench("run", "one.toml").stdout.partition("on fresh seeds, n = 2\n")

    assert confirmed.splitlines()[0].split() == ["policy", "val", "top1", "test", "top1", "search", "val"]


def test_the_document_has_the_fresh_figures_beside_those_of_the_search(lrbench: Command, tiny_study: Path) -> None:
    document = strict_json(lrbench("run", tiny_study, "--confirm", "2", "--json").stdout)

    searched = {policy["name"]: policy["metrics"]["val_top1"] for policy in document["policies"]}
    for entry in document["confirmed"]:
        assert entry["n"] == 2
        assert entry["search"] == searched[entry["name"]]
        assert entry["shrinkage"] == pytest.approx(entry["search"]["mean"] - entry["metrics"]["val_top1"]["mean"])


def test_policies_of_a_grid_are_told_apart_in_the_ranking(lrbench: Command, tmp_path: Path) -> None:
    grid = '[[policies]]\nfunction = "STEP"\nk0 = [0.1, 0.2]\ngamma = 0.123456789\nl = ["0.25dur", "0.5dur"]\n'
    (tmp_path / "grid.toml").write_text(f'task = "mnist1d-mlp"\nseeds = 1\n{grid}')

    lines = lrbench("run", "grid.toml", "--steps", "5").stdout.splitlines()

    assert {line.split("  ")[0] for line in lines[2:6]} == {
        *("STEP(k0=0.1, l=0.25dur)", "STEP(k0=0.1, l=0.5dur)"),
        *("STEP(k0=0.2, l=0.25dur)", "STEP(k0=0.2, l=0.5dur)"),
    }
    assert "in full: STEP(k0=…, gamma=0.123456789, l=…)" in lines


def test_names_of_two_hundred_characters_are_shown_whole(lrbench: Command, tmp_path: Path) -> None:
    names = [("somebody wrote all that there is to know about it into its name " * 4)[:199] + end for end in "12"]
    policies = "".join(
        f'[[policies]]\nname = "{name}"\npolicy = "FIX(k0=0.{end})"\n' for end, name in enumerate(names, 1)
    )
    (tmp_path / "named.toml").write_text(f'task = "mnist1d-mlp"\nseeds = 1\n{policies}')

    text = lrbench("run", "named.toml", "--steps", "5").stdout

    column = text.splitlines()[1].index("verdict")
    said = "".join(line[:column] for line in text.splitlines()[2:])
    assert max(map(len, text.splitlines())) <= 100
    assert all("".join(name.split()) in "".join(said.split()) for name in names)


MODIFIERS = """
[[modifiers]]
modifier = "SHRINK"
share = [0.5, 0.0]
[[modifiers]]
modifier = "EMA(decay=0.9)"
"""


def test_a_plugins_modifier_is_trained_with_and_its_effect_is_shown(
    lrbench: Command, tiny_study: Path, own_modifier: Path
) -> None:
    tiny_study.write_text(tiny_study.read_text() + MODIFIERS)
    arguments = ("run", tiny_study, "--plugin", own_modifier)

    text = lrbench(*arguments)
    document = strict_json(lrbench(*arguments, "--json").stdout)

    assert text.exit_code == 0, text.stderr
    assert "Effects on mnist1d-mlp: with minus without" in text.stdout
    assert re.search(r"^SHRINK +(p . 0\.\d+)?$", text.stdout, re.M)
    assert max(map(len, text.stdout.splitlines())) <= 100
    effects = {(effect["modifier"], effect["policy"]): effect["differences"] for effect in document["effects"]}
    assert effects["SHRINK(share=0.0)", "flat"]["test_top1"]["mean"] == 0
    assert effects["SHRINK(share=0.5)", "flat"]["test_loss"]["mean"] > 0
    assert {policy["modifier"] for policy in document["policies"]} == {
        *(None, "SHRINK(share=0.5)", "SHRINK(share=0.0)"),
        "EMA(decay=0.9, recompute_bn=False)",
    }
    assert {interaction["modifier"] for interaction in document["interactions"]} <= {name for name, _ in effects}


def test_without_modifiers_there_are_no_effects(lrbench: Command, tiny_study: Path) -> None:
    assert "Effects" not in lrbench("run", tiny_study).stdout


def test_a_modifier_that_no_plugin_brings_is_one_sentence(lrbench: Command, tiny_study: Path) -> None:
    tiny_study.write_text(tiny_study.read_text() + MODIFIERS)

    result = lrbench("run", tiny_study)

    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert "[[modifiers]] 1: there is no modifier named 'SHRINK'" in result.stderr


def test_a_terminal_says_in_one_dim_line_where_the_runs_are_and_how_to_see_more(
    lrbench: Command, tiny_study: Path
) -> None:
    terminal = lrbench("run", tiny_study, "--store", "my runs.db", color=True).stdout
    piped = lrbench("run", tiny_study, "--store", "my runs.db").stdout
    document = lrbench("run", tiny_study, "--store", "my runs.db", "--json", color=True).stdout

    last = terminal.splitlines()[-1]
    assert last.startswith("\x1b[2mStored in my runs.db")
    assert "lrbench report tiny -o report.html --store 'my runs.db'" in last
    assert "lrbench compare tiny" in last
    assert "Stored in" not in piped + document


def test_the_leader_is_known_from_runs_of_other_calls_too(lrbench: Command, tiny_study: Path) -> None:
    tiny_study.write_text(tiny_study.read_text().replace("k0=0.1, gamma", "k0=1e-9, gamma"))
    lrbench("run", tiny_study, "--seeds", "1")
    with_more = tiny_study.read_text() + '[[policies]]\npolicy = "FIX(k0=1e-8)"\nname = "late"\n'
    tiny_study.write_text(with_more)

    result = lrbench("run", tiny_study, "--seeds", "1")

    assert "tiny: 3 runs, 2 cached, 1 to train" in result.stderr
    assert ", leader flat 0." in result.stderr


def test_a_policy_that_diverged_does_not_lead_by_the_seeds_that_did_not(lrbench: Command, tmp_path: Path) -> None:
    policies = '[[policies]]\npolicy = "FIX(k0=1e30)"\nname = "wild"\n[[policies]]\npolicy = "FIX(k0=0.1)"\n'
    (tmp_path / "wild.toml").write_text(f'task = "mnist1d-mlp"\nseeds = 1\n{policies}')

    result = lrbench("run", "wild.toml", "--steps", "40")

    assert ", leader FIX(k0=0.1) 0." in result.stderr


BROKEN_MODEL = """
import os
import signal

import torch
from lrbench.tasks import register_model


@register_model("{name}", version=1)
def broken(input_shape, num_classes):
    class Broken(torch.nn.Linear):
        def forward(self, inputs):
            if self.training and len(inputs) > 2 and os.environ.get("BROKEN"):
                {action}
            return super().forward(inputs.flatten(1))

    return Broken(input_shape[0], num_classes)
"""


def with_model(study: Path, name: str, action: str) -> None:
    study.with_name(f"{name}.py").write_text(BROKEN_MODEL.format(name=name, action=action))
    study.write_text(study.read_text().replace("steps = 40", f'steps = 40\nmodel = "{name}"'))


def test_failed_runs_are_named_end_with_code_1_and_are_tried_again(
    lrbench: Command, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_model(tiny_study, "failing", 'raise RuntimeError("no more memory")')
    monkeypatch.setenv("BROKEN", "1")

    broken = lrbench("run", tiny_study, "--plugin", "failing.py", "--json")
    monkeypatch.delenv("BROKEN")
    mended = lrbench("run", tiny_study, "--plugin", "failing.py", "--json")

    assert broken.exit_code == 1
    assert strict_json(broken.stdout)["runs"] == {"total": 4, "trained": 0, "cached": 0, "diverged": 0, "failed": 4}
    named = r"^Failed: FIX\(k0=0\.1\).*seed 0.*, and 3 more runs: RuntimeError: no more memory$"
    assert re.search(named, broken.stderr, re.M)
    assert "Traceback" not in broken.stderr
    assert (mended.exit_code, strict_json(mended.stdout)["runs"]["trained"]) == (0, 4)


def test_debug_shows_the_traceback_of_a_failed_run(
    lrbench: Command, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_model(tiny_study, "failing_too", 'raise RuntimeError("no more memory")')
    monkeypatch.setenv("BROKEN", "1")

    result = lrbench("run", tiny_study, "--plugin", "failing_too.py", "--debug")

    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_ctrl_c_keeps_what_was_trained_says_how_to_go_on_and_exits_with_130(
    lrbench: Command, tiny_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    press = "(os.environ.pop('BROKEN'), signal.raise_signal(signal.SIGINT))"
    count_down = "os.environ.update(BROKEN=str(int(os.environ['BROKEN']) - 1))"
    with_model(tiny_study, "interrupting", f"{press} if os.environ['BROKEN'] == '0' else {count_down}")
    arguments = ["run", str(tiny_study), "--plugin", "interrupting.py"]
    monkeypatch.setattr("sys.argv", ["lrbench", *arguments])
    monkeypatch.setenv("BROKEN", "5")
    tiny_study.write_text(tiny_study.read_text().replace("eval_every = 20", "eval_every = 1"))

    stopped = lrbench(*arguments)
    resumed = lrbench(*arguments, "--json")

    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines()[-1].endswith(f"To go on: lrbench {' '.join(arguments)}")
    assert resumed.exit_code == 0
    assert 0 < strict_json(resumed.stdout)["steps"]["trained"] < 160


def test_a_plan_knows_the_peaks_of_a_range_test_once_it_was_trained(lrbench: Command, tmp_path: Path) -> None:
    fitted = (
        'task = { base = "mnist1d-mlp", steps = 60 }\nseeds = 1\n[[policies]]\npolicy = "FIX(k0=1)"\npeak = "auto"\n'
    )
    (tmp_path / "fitted.toml").write_text(fitted)
    elsewhere = lrbench("score", "FIX(k0=0.1)", "--task", "mnist1d-mlp", "--steps", "20", "--seeds", "1")

    before = lrbench("run", "fitted.toml", "--dry-run")
    trained = lrbench("run", "fitted.toml")
    after = lrbench("run", "fitted.toml", "--dry-run", "--seeds", "2")

    assert (elsewhere.exit_code, before.exit_code, trained.exit_code, after.exit_code) == (0, 2, 0, 0)
    assert "comes from a range test, which `lrbench run` trains first" in before.stderr
    assert after.stdout == "fitted: 2 runs, 1 cached, 1 to train (60 of 120 iterations)\n"


LOSS_STUDY = """
seeds = 3
target = 1.5

[task]
base = "mnist1d-mlp"
steps = 40
eval_every = 20
metric = "loss"

[[policies]]
policy = "FIX(k0=0.1)"

[[policies]]
policy = "FIX(k0=1e-6)"
"""


def test_a_study_of_losses_ranks_the_lowest_first_and_says_so(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "losses.toml").write_text(LOSS_STUDY)

    table = lrbench("run", "losses.toml").stdout
    answer = strict_json(lrbench("run", "losses.toml", "--json").stdout)

    assert "losses on mnist1d-mlp, margin 0.02, target 1.5, lower loss is better" in table
    assert [line.split()[0] for line in table.splitlines() if line.startswith("FIX")] == [
        "FIX(k0=0.1)",
        "FIX(k0=1e-06)",
    ]
    assert (answer["objective"], answer["better"]) == ("loss", "lower")
    first, last = (entry["metrics"]["val_loss"]["mean"] for entry in answer["policies"])
    assert first < last
    assert "remarks" not in answer


@pytest.mark.parametrize(
    ("second", "chance", "remark"),
    [
        (float("nan"), 0.1, "fit is NaN or infinite at the end of 2 of 4 runs; NaN and what is infinitely bad count"),
        (0.7, 0.9, "Every score is worse than chance (0.9): no policy learnt anything, unless fit is better where it"),
    ],
)
def test_what_must_be_known_of_the_scores_stands_below_the_ranking(
    second: float, chance: float, remark: str, tmp_path: Path
) -> None:
    outcomes = {"first": 0.8, "second": second}
    asked: dict[str, Any] = {"objective": "fit", "chance": chance, "better": "higher", "seeds": (0, 1)}
    with open_store(tmp_path / "runs.db") as store:
        write_study(store, dict.fromkeys(outcomes, "FIX(k0=0.1)"), lambda place: outcomes[place.name], **asked)
        found = results("a-study", store)

    said = " ".join(str(Outcome(found, RunCounts())).split())

    assert remark in said
    assert said.index("second") < said.index(remark)


def test_a_metric_of_a_plugin_is_a_column_of_the_ranking_and_of_the_page(lrbench: Command, tiny_study: Path) -> None:
    Path("mine.py").write_text(
        "from lrbench.metrics import register_metric\n\n"
        "@register_metric('first', 'first val', column='ranking')\n"
        "def first(run):\n    'The first score.'\n    return run.curve.scores[0]\n"
    )

    lrbench("run", tiny_study)
    again = lrbench("run", tiny_study, "--plugin", "mine.py")
    page = lrbench("report", tiny_study, "--plugin", "mine.py", "-o", "page.html")

    assert page.exit_code == 0, page.stderr
    assert "first val" in again.stdout
    assert "4 runs: 0 trained" in again.stdout
    assert '"key":"first","title":"first val","help":"The first score."' in Path("page.html").read_text()


def test_a_study_is_run_by_other_goals_than_its_own(lrbench: Command, tiny_study: Path) -> None:
    once = json.loads(lrbench("run", tiny_study, "--by", "flops", "--by", "steps_to_target:20", "--json").stdout)
    again = json.loads(lrbench("run", tiny_study, "--json").stdout)

    assert [goal["goal"] for goal in once["by"]] == ["flops", "steps_to_target"]
    assert {entry["verdicts"]["flops"]["verdict"] for entry in once["policies"]} == {"good"}
    assert [goal["goal"] for goal in again["by"]] == ["top1"]
    assert again["runs"]["trained"] == 0


def test_a_study_file_names_its_goals_with_their_margins(lrbench: Command, tiny_study: Path) -> None:
    tiny_study.write_text('by = {steps_to_target = 40, seconds = "50%"}\n' + tiny_study.read_text())

    document = json.loads(lrbench("run", tiny_study, "--json").stdout)

    assert [(goal["goal"], goal["margin"], goal["of_best"]) for goal in document["by"]] == [
        ("steps_to_target", 40, False),
        ("seconds", 0.5, True),
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('by = "speed"', "by: there is no goal named 'speed'; there are top1, loss"),
        ('by = ["top1", "top1:0.1"]', "the goal 'top1' is given 2 times"),
        ("by = 3", "by = 3 must be the name of a metric, a list of them"),
        ('by = "base_lr_retention"', "by base_lr_retention: base_lr_scales are missing"),
    ],
)
def test_a_goal_that_cannot_be_used_is_refused_before_anything_is_trained(
    lrbench: Command, tiny_study: Path, line: str, error: str
) -> None:
    tiny_study.write_text(f"{line}\n{tiny_study.read_text()}")
    result = lrbench("run", tiny_study)
    assert result.exit_code == 2
    assert error in " ".join(result.stderr.split())
    assert not Path("lrbench.db").exists()
