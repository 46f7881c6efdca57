import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas
import pytest

from lrbench.api import import_runs
from lrbench.errors import StudyError
from lrbench.imports.judge import judge
from lrbench.imports.read import read
from lrbench.imports.reading import Reading
from lrbench.imports.table import Curve, runs_of
from lrbench.store import Store, open_store

LONG = "policy,seed,step,val_loss\n" + "".join(
    f"{policy},{seed},{step},{base + 0.01 * seed - step / 1000}\n"
    for policy, base in (("a", 1.0), ("b", 2.0))
    for seed in range(3)
    for step in (0, 50, 100)
)


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def curves(source: Path, metric: str = "val_loss", **options: str) -> list[Curve]:
    return read(source, Reading(**options)).curves(metric)[0]  # type: ignore[arg-type]


def as_dict(found: list[Curve]) -> dict[tuple[str, str], list[float]]:
    return {(curve.policy, curve.seed): curve.values.tolist() for curve in found}


@pytest.mark.parametrize(
    "text",
    [
        "policy;seed;step;val_acc\na;0;10;0,75\na;1;10;,5\n",
        "sep=;\npolicy;seed;step;val_acc\na;0;10;75,0 %\na;1;10;50 %\n",
        "policy\tseed\tstep\tval_acc\na\t0\t10\t75.0%\na\t1\t10\t50%\n",
        '# a comment; not a header\npolicy,seed,step,val_acc\na,0,10,0.75\na,1,10,"0.5"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_read_as_a_spreadsheet_writes_it(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "runs.csv").write_bytes(text.encode(encoding))
    found = read(tmp_path / "runs.csv")
    curves, _ = found.curves("val_acc")
    assert [(curve.policy, curve.seed, curve.steps.tolist(), curve.values.tolist()) for curve in curves] == [
        ("a", "0", [10], [0.75]),
        ("a", "1", [10], [0.5]),
    ]
    assert ("a comma was read as the decimal point" in found.remarks) == ("75,0" in text or "0,75" in text)


def test_a_comma_beside_decimal_points_is_no_decimal_point(tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", "policy;seed;step;val_acc\na;0;1,000;0.75\na;1;1,000;0.5\n")
    with pytest.raises(StudyError, match="row 1 has '1,000' in column 'step'"):
        read(source)


def test_where_no_column_names_policies_this_is_a_remark(tmp_path: Path) -> None:
    found = read(put(tmp_path / "runs.csv", "run,step,val_loss\nadam_0,1,0.5\nsgd_0,1,0.6\n"))
    assert any("no column names policies" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("runs.csv", lambda text: text),
        ("runs.tsv", lambda text: text.replace(b",", b"\t")),
        ("runs.csv.gz", gzip.compress),
        ("runs.csv.bz2", bz2.compress),
        ("runs.csv.xz", lzma.compress),
    ],
)
def test_a_table_is_read_the_same_in_every_format(name: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    found = as_dict(curves(put(tmp_path / name, pack(LONG.encode()))))
    assert found[("b", "2")] == pytest.approx([2.02, 1.97, 1.92])
    assert len(found) == 6


def test_json_lines_and_parquet_hold_the_same_runs(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    wanted = as_dict(curves(put(tmp_path / "runs.csv", LONG)))
    frame = pandas.read_csv(tmp_path / "runs.csv")
    put(tmp_path / "runs.jsonl", "\n".join(map(json.dumps, frame.to_dict(orient="records"))))
    frame.to_parquet(tmp_path / "runs.parquet")
    assert as_dict(curves(tmp_path / "runs.jsonl")) == wanted
    assert as_dict(curves(tmp_path / "runs.parquet")) == wanted
    assert as_dict(runs_of(frame, "the table").curves("val_loss")[0]) == wanted


def test_which_columns_were_taken_is_in_the_remarks(tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", "Optimizer,run-id,global step,loss\nadam,x,1,0.5\nadam,y,1,0.4\n")
    assert read(source).remarks == ("read policies from 'Optimizer', runs from 'run-id', steps from 'global step'",)


def test_a_policy_may_be_named_by_several_columns(tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", "name,modifier,seed,loss\na,,0,1\na,EMA,0,2\n")
    found = read(source, Reading(columns={"policy": ["name", "modifier"]})).curves("loss")[0]
    assert [curve.policy for curve in found] == ["a", "a + EMA"]


def test_a_resumed_log_counts_by_its_later_rows(tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", "policy,seed,step,loss\na,0,0,9\na,0,50,5\na,0,100,4\na,0,50,3\na,0,150,2\n")
    found, remarks = read(source).curves("loss")
    assert (found[0].steps.tolist(), found[0].values.tolist()) == ([0, 50, 100, 150], [9, 3, 4, 2])
    assert remarks == ("1 run repeated 1 step: the later row counts.",)


def test_a_restarted_log_is_one_run_and_whole_runs_of_one_name_are_several(tmp_path: Path) -> None:
    head = "policy,run,step,loss\n"
    restarted = put(tmp_path / "restarted.csv", head + "a,x,0,9\na,x,50,5\na,x,0,8\na,x,50,4\na,x,100,3\n")
    several = put(tmp_path / "several.csv", head + "a,x,0,9\na,x,50,5\na,x,0,8\na,x,50,4\n")
    assert as_dict(curves(restarted, "loss")) == {("a", "x"): [8, 4, 3]}
    assert as_dict(curves(several, "loss")) == {("a", "x"): [9, 5], ("a", "x (2)"): [8, 4]}


def test_a_copy_of_a_run_counts_once(tmp_path: Path) -> None:
    rows = "".join(f"a,{run},{step},{1 / (step + 1)}\n" for run in "xy" for step in range(6))
    found, remarks = read(put(tmp_path / "runs.csv", "policy,run,step,loss\n" + rows)).curves("loss")
    assert len(found) == 1
    assert remarks[0].startswith("1 run had the values of another run")


def test_an_empty_cell_is_no_value_and_nan_is_a_divergence(tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", "policy,seed,step,loss\na,0,0,2\na,0,5,\nb,0,0,2\nb,0,5,nan\n")
    found = as_dict(curves(source, "loss"))
    assert found == {("a", "0"): [2.0], ("b", "0"): [2.0, np.inf]}


def test_nan_in_a_frame_is_a_divergence_only_where_no_metric_has_a_number() -> None:
    frame = pandas.DataFrame({"policy": ["a", "a"], "seed": [0, 0], "step": [1, 2], "loss": [1.0, np.nan]})
    sparse = frame.assign(acc=[0.5, 0.6])
    assert as_dict(runs_of(frame, "it").curves("loss")[0]) == {("a", "0"): [1.0, np.inf]}
    assert as_dict(runs_of(sparse, "it").curves("loss")[0]) == {("a", "0"): [1.0]}


def test_a_wide_table_has_a_column_for_each_run(tmp_path: Path) -> None:
    source = put(tmp_path / "runs.csv", "Step,adam_s0 - loss,adam_s1 - loss,sgd_s0 - loss\n0,3,4,5\n10,1,2,\n")
    found = as_dict(read(source, Reading(wide="{policy}_s{seed} - loss", metric="loss")).curves("loss")[0])
    assert found == {("adam", "0"): [3, 1], ("adam", "1"): [4, 2], ("sgd", "0"): [5]}


def test_log_lines_fit_a_pattern_and_a_folder_is_a_policy(tmp_path: Path) -> None:
    line = "print(f'step:{step}')\nstep:{0}/20 val_loss:{1} train_time:5s\nstep:{0}/20 train_time:5s\n"
    for policy, run, loss in (("muon", "x", "3.5"), ("muon", "y", "3.25"), ("adam", "x", "nan")):
        put(tmp_path / policy / f"{run}.txt", line.replace("{0}", "20").replace("{1}", loss))
    found = as_dict(curves(tmp_path, pattern="step:{step}/{steps} val_loss:{val_loss}"))
    assert found == {("adam", "x"): [np.inf], ("muon", "x"): [3.5], ("muon", "y"): [3.25]}


def test_a_folder_of_tables_has_a_run_in_each(tmp_path: Path) -> None:
    for policy, run in (("wsd", "0"), ("wsd", "1"), ("cosine", "0")):
        put(tmp_path / policy / f"{run}.csv", f"step,lr,loss\n1,0.1,4\n2,0.1,3.{run}\n")
    assert as_dict(curves(tmp_path, "loss"))[("wsd", "1")] == [4, 3.1]


def test_the_best_trial_of_a_study_of_algoperf_counts(tmp_path: Path) -> None:
    for policy, framework, add in (("baseline", "jax", 0.0), ("mine", "pytorch", 0.1)):
        for study in range(3):
            for trial in (1, 2):
                place = tmp_path / "logs" / policy / f"study_{study}" / f"wmt_{framework}" / f"trial_{trial}"
                bleu = 30 + add + 0.01 * study - trial
                content = f"global_step,validation/bleu,validation/loss\n100,1.0,4\n200,{bleu},3\n"
                put(place / "eval_measurements.csv", content)
    put(tmp_path / "logs" / "mine" / "events.out.tfevents.1", "beside them, as in AlgoPerf's own logs")
    (task,) = judge(tmp_path / "logs").tasks
    assert (task.task, task.metric, task.paired) == ("wmt", "bleu", False)
    assert [(policy.name, policy.n, policy.verdict.label) for policy in task.policies] == [
        ("mine", 3, "good"),
        ("baseline", 3, "avoid"),
    ]
    assert task.policies[0].score.mean == pytest.approx(29.11)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that stays empty."""
    with open_store(str(tmp_path_factory.mktemp("store") / "runs.db")) as store:
        yield store


MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", "is empty"),
    "header.csv": ("policy,seed,loss\n", "there are no rows"),
    "ragged.csv": ("policy,seed,loss\na,0,1\na,1\n", "line 3 has 2 cells, the first line has 3"),
    "longer.csv": ("policy,seed,loss\na,0,1,9\n", "line 2 has 4 cells, the first line has 3"),
    "word.csv": ("policy,seed,loss\na,0,1\na,1,x1\n", "row 2 has 'x1' in column 'loss', where a number is needed"),
    "twice.csv": ("policy,loss,loss\na,0,1\n", "the column 'loss' is there 2 times"),
    "quote.csv": ('policy,loss\n"a,1\n', "line 2 is not valid CSV"),
    "stray.csv": ('policy,loss\n"a"b,1\n', "line 2 is not valid CSV"),
    "wide.csv": ("policy,loss\n" + "x" * 200_000 + ",1\n", "is not valid CSV"),
    "latin.csv": (b"policy,loss\n\xe9,1\n", "line 2 has the byte 0xe9"),
    "utf16.csv": ("policy,löss\na,1\n".encode("latin-1"), "is not UTF-8 text"),
    "negative.csv": ("policy,seed,step,loss\na,0,-1,1\n", "row 1 has '-1' in column 'step'"),
    "half.csv": ("policy,seed,step,loss\na,0,0.5,1\n", "row 1 has '0.5' in column 'step'"),
    "nostep.csv": ("policy,seed,step,loss\na,0,,1\n", "row 1 has '' in column 'step'"),
    "huge.csv": ("policy,seed,step,loss\na,0,1e300,1\n", "where a step is needed"),
    "nanstep.csv": ("policy,seed,step,loss\na,0,nan,1\n", "where a step is needed"),
    "noname.csv": ("policy,seed,loss\n,0,1\n", "row 1 has nothing in column 'policy'"),
    "noseed.csv": ("policy,seed,loss\na,,1\n", "row 1 has nothing in column 'seed'"),
    "norun.csv": ("policy,step,loss\na,0,1\na,0,2\n", "no column names runs; name one as in --column run=COLUMN"),
    "again.csv": ("policy,seed,loss\na,0,1\na,0,2\n", "is one of several of run"),
    "words.csv": ("policy,note\na,fine\n", "no column has numbers that could be a metric"),
    "many.csv": ("policy,x,y\na,1,2\n", "several columns could be the metric, name one of them: x, y"),
    "two.csv": ("policy,val_loss,val_acc\na,1,2\n", "several columns could be the metric"),
    "way.csv": ("policy,thing\na,1\n", "does not say which way it is better"),
    "blank.csv": ("policy,seed,loss\na,0,\n", "no column has numbers that could be a metric"),
    "list.jsonl": ("[1, 2]\n", "line 1 is no JSON object"),
    "torn.jsonl": ('{"policy": "a", "loss": 1}\n{"policy": "a", "lo', "line 2 is not valid JSON"),
    "nested.jsonl": ('{"policy": "a", "loss": [1]}\n', "line 1 has more than one value in 'loss'"),
    "deep.jsonl": ("[" * 100_000, "line 1 is not valid JSON"),
    "digits.jsonl": ('{"policy": "a", "loss": ' + "9" * 5000 + "}\n", "line 1 is not valid JSON"),
    "bool.jsonl": ('{"policy": "a", "loss": true}\n', "no column has numbers that could be a metric"),
    "empty.jsonl": ("\n", "there are no rows"),
    "torn.csv.gz": (gzip.compress(b"policy,loss\na,1\n" * 99)[:30], "cannot be unpacked"),
    "plain.csv.xz": ("policy,loss\na,1\n", "cannot be unpacked"),
    "plain.csv.bz2": ("policy,loss\na,1\n", "cannot be unpacked"),
    "torn.parquet": (b"PAR1 no more", "is not valid Parquet"),
    "card.csv": ("policy,seed,loss,lrbench\na,0,1,{}\n", "row 1 has no card of a run that lrbench exported"),
    "chart.csv": ("Step,a - loss,a - loss__MIN,a - loss__MAX\n0,x,0,0\n", "no column has numbers"),
    "runs.db": ("no database", "is no database of SQLite"),
    "runs.tfevents.1": (b"no events", "has no scalars in its event files"),
    "runs.pkl": (b"\x80\x04", "is no table that can be read: allowed are .csv"),
    "runs.xlsx": (b"PK", "is no table that can be read"),
    "runs": ("policy,loss\na,1\n", "is no table that can be read"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_read_is_refused_in_one_sentence_and_nothing_is_imported(
    name: str, tmp_path: Path, empty: Store
) -> None:
    content, sentence = MALFORMED[name]
    source = put(tmp_path / name, content)
    for use in (judge, lambda file: import_runs(file, "mine", store=empty)):
        with pytest.raises(StudyError) as refused:
            use(source)
        assert sentence in str(refused.value)
        assert "\n" not in str(refused.value)
    assert (empty.studies(), empty.statuses()) == ((), {})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metric": "val_los"}, "no column named 'val_los' (did you mean 'val_loss'?)"),
        ({"columns": {"policy": "polic"}}, "no column named 'polic' (did you mean 'policy'?)"),
        ({"columns": {"polcy": "policy"}}, "no role of a column named 'polcy' (did you mean 'policy'?)"),
        ({"against": "c"}, "no policy named 'c'; there are a, b"),
        ({"task": "c"}, "no task named 'c'"),
        ({"margin": "-1"}, "must be a finite number from 0 on"),
        ({"margin": "x%"}, "must be a finite number from 0 on"),
        ({"target": float("nan")}, "the target must be a finite number"),
        ({"wide": "{policy}:{seed}"}, "no column is named as '{policy}:{seed}' says"),
        ({"wide": "no places"}, "has no places such as {step}"),
        ({"pattern": "{a b}"}, "whose name must be a word"),
        ({"pattern": "{a}{a}"}, "has {a} 2 times"),
        ({"pattern": "x" * 600 + "{a}"}, "at most 500 are allowed"),
        ({"pattern": "step:{step} loss:{loss}"}, "has no line that looks like"),
    ],
)
def test_what_is_asked_for_and_not_there_is_refused_in_one_sentence(
    options: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    source = put(tmp_path / "runs.csv", LONG)
    with pytest.raises(StudyError) as refused:
        judge(source, **options)  # type: ignore[arg-type]
    assert sentence in str(refused.value)


def test_a_missing_file_and_a_folder_without_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be read: No such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(StudyError, match="has no tables"):
        read(tmp_path)
    put(tmp_path / "x" / "eval_measurements.csv", "global_step\n1\n")
    with pytest.raises(StudyError, match="is not in a folder SUBMISSION/study_K"):
        read(tmp_path)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrbench.imports.read.MOST_BYTES", 1000)
    with pytest.raises(StudyError, match="has more than 1,000 bytes when it is unpacked"):
        read(put(tmp_path / "runs.csv.xz", lzma.compress(b"0" * 5000)))


def test_of_tables_with_one_name_the_folder_is_the_run(tmp_path: Path) -> None:
    for place in ("adam/seed_0", "adam/seed_1", "sgd/seed_0"):
        (tmp_path / place).mkdir(parents=True)
        put(tmp_path / place / "metrics.csv", "step,val_loss\n1,0.5\n")
    found = read(tmp_path)
    assert found.have_seeds
    assert [(one.policy, one.seed) for one in found.curves("val_loss")[0]] == [
        ("adam", "0"),
        ("adam", "1"),
        ("sgd", "0"),
    ]
    for place in ("adam/version_0", "sgd/version_0"):
        (tmp_path / "versions" / place).mkdir(parents=True)
        put(tmp_path / "versions" / place / "metrics.csv", "step,val_loss\n1,0.5\n")
    curves, _ = read(tmp_path / "versions").curves("val_loss")
    assert [(one.policy, one.seed) for one in curves] == [("adam", "version_0"), ("sgd", "version_0")]
