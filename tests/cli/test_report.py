import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import Result

Command = Callable[..., Result]


@pytest.fixture
def trained(lrbench: Command, tiny_study: Path) -> Path:
    assert lrbench("run", tiny_study).exit_code == 0
    return tiny_study


def texts(file: Path) -> set[str]:
    return {element.text for element in ElementTree.parse(file).iter() if element.text}


@pytest.mark.usefixtures("trained")
def test_a_report_holds_what_the_ranking_says(lrbench: Command, tmp_path: Path) -> None:
    result = lrbench("report", "tiny", "-o", "tiny.html")

    ranking = json.loads(lrbench("run", "tiny.toml", "--json").stdout)["policies"]
    page = (tmp_path / "tiny.html").read_text()
    start = page.index('id="data">') + len('id="data">')
    (task,) = json.loads(page[start : page.index("</script>", start)])["tasks"]
    assert (result.exit_code, result.stdout) == (0, "")
    assert [row["label"] for row in task["rows"]] == [card["name"] for card in ranking]
    assert [row["test"][0] for row in task["rows"]] == [card["metrics"]["test_top1"]["mean"] for card in ranking]


def test_one_picture_and_all_of_them(lrbench: Command, trained: Path, tmp_path: Path) -> None:
    assert lrbench("plot", "ranking", trained, "-o", "ranking.svg").exit_code == 0
    assert lrbench("plot", "all", "tiny", "-o", "figures").exit_code == 0

    assert {"1. flat", "1. stepped"} & texts(tmp_path / "ranking.svg")
    drawn = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert drawn == {"ranking", "training", "lr", "confidence", "reliability", "tree"}
    assert (tmp_path / "figures" / "ranking.svg").read_bytes() == (tmp_path / "ranking.svg").read_bytes()


@pytest.mark.usefixtures("trained")
def test_the_ranking_is_drawn_by_another_goal(lrbench: Command, tmp_path: Path) -> None:
    assert lrbench("plot", "ranking", "tiny", "--by", "flops:20%", "-o", "flops.svg").exit_code == 0
    drawn = texts(tmp_path / "flops.svg")
    assert {"FLOPs (lower is better)", "within 20% of the best"} <= drawn
    assert "test" not in drawn
    refused = lrbench("plot", "ranking", "tiny", "--by", "speed")
    assert (refused.exit_code, "there is no goal named 'speed'" in refused.stderr) == (2, True)


@pytest.mark.usefixtures("trained")
def test_a_plot_of_a_plugin_is_drawn_alone_and_among_all(lrbench: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from matplotlib.figure import Figure\n"
        "from lrbench.report.plot import register_plot\n\n"
        "@register_plot('names', 'Names', needs='few policies', applies=lambda f: len(f.policies) < 10)\n"
        "def names(frames):\n"
        "    figure = Figure()\n"
        "    figure.suptitle(' and '.join(sorted(frames.policies['name'])))\n"
        "    return figure\n"
    )

    alone = lrbench("plot", "names", "tiny", "--plugin", "mine.py")
    lrbench("plot", "all", "tiny", "-o", "figures", "--plugin", "mine.py")

    assert alone.exit_code == 0, alone.stderr
    assert "flat and stepped" in texts(tmp_path / "names.svg") & texts(tmp_path / "figures" / "names.svg")


def test_the_landscape_takes_no_study(lrbench: Command, tmp_path: Path) -> None:
    assert lrbench("plot", "landscape").exit_code == 0

    assert any(text.startswith("TRIEXP") for text in texts(tmp_path / "landscape.svg"))


def in_one_sentence(result: Result) -> str:
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("plot", "rankin", "tiny"), "there is no plot named 'rankin' (did you mean 'ranking'?)"),
        (("plot", "ranking"), "the plot 'ranking' is drawn of a study"),
        (("plot", "ranking", "tiny", "-o", "ranking.jpg"), "the name must end in .svg or .png or .pdf"),
        (("plot", "landscape", "-o", "landscape.mp4"), "the name must end in .svg or .png or .pdf or .gif"),
        (("report", "tiny", "-o", "report.txt"), "the name must end in .html"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_store_is_read(
    lrbench: Command, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in in_one_sentence(lrbench(*arguments))


@pytest.mark.usefixtures("trained")
def test_what_a_study_has_not_is_said_in_one_sentence(lrbench: Command) -> None:
    for arguments, sentence in (
        (("plot", "map", "tiny"), "it takes two values of two parameters of a function"),
        (("plot", "ranking", "tiny", "--task", "mnist"), "study 'tiny' has no task 'mnist'"),
        (("report", "tinny"), "no study 'tinny' (did you mean 'tiny'?)"),
    ):
        assert sentence in in_one_sentence(lrbench(*arguments))


@pytest.mark.usefixtures("trained")
def test_a_terminal_shows_the_shape_of_each_policy_and_a_pipe_none(lrbench: Command) -> None:
    terminal = lrbench("run", "tiny.toml", color=True).stdout
    plain = [lrbench("run", "tiny.toml").stdout, lrbench("run", "tiny.toml", "--no-color", color=True).stdout]

    assert "█████▂▂▂▂▂" in terminal
    assert not any(set(text) & set("▁▂▃▄▅▆▇█\x1b") for text in plain)
