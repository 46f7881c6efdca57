"""The sources of the documentation site are whole; `.ci/run` builds all of it, with warnings as errors."""

import re
import runpy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import api
import examples
import gallery
import pandas as pd
import pytest
import reports
import sources

from lrbench.advice.evidence import shipped
from lrbench.policy import catalog, catalogs, functions
from lrbench.report import study_frames
from lrbench.store import open_store
from lrbench.study.export import export, flat
from lrbench.study.file import study_names

DOCS = Path(sources.__file__).parent
NUMBERS = ("seconds", "flops", "val_top1", "test_top1", "val_loss", "test_loss", "ac", "ece", "loss_difference")


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    sources.lay_out(folder, {})
    return folder


def listed(document: Path) -> list[Path]:
    """The documents in the toctrees of one, those in theirs, and itself."""
    trees = re.findall(
        r"(?::::\{|\.\. )toctree.*?\n\n(.*?)\n(?::::|\Z)", document.read_text(encoding="utf-8"), re.DOTALL
    )
    files = [document.parent / name for name in "\n".join(trees).split()]
    found = [file if file.is_file() else file.with_name(f"{file.name}.rst") for file in files]
    return [document, *(below for file in found for below in listed(file))]


def test_every_page_is_in_a_toctree_once(laid_out: Path) -> None:
    pages = sorted(file for file in laid_out.rglob("*") if file.suffix in (".md", ".rst"))

    assert sorted(listed(laid_out / "index.md")) == pages


def test_a_page_of_the_guide_that_no_page_links_to_comes_last(tmp_path: Path) -> None:
    for name in ("added", "first", "second"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n")
    index = tmp_path / "README.md"
    index.write_text("First [one](first.md), then the table: [two](second.md), [one](first.md).")

    assert [page.stem for page in sources.in_order(tmp_path, index)] == ["second", "first", "added"]


def test_links_lead_to_the_places_of_the_site_and_code_stays_as_it_is() -> None:
    page = sources.ROOT / "lrbench" / "guide" / "policies.md"
    text = sources.relinked(page, sources.places())

    assert "[lr_curves.svg](../figures/quickstart/lr_curves.svg)" in text
    assert "`lr = policies[i](t);" in text
    contributing = sources.relinked(sources.ROOT / "lrbench" / "ARCHITECTURE.md", sources.places())
    assert "](contributing.md#where-things-go)" in contributing


def test_a_link_to_what_the_site_lacks_is_named(tmp_path: Path) -> None:
    page = sources.GUIDE / "policies.md"
    placed = {file: place for file, place in sources.places().items() if file.suffix != ".svg"}

    with pytest.raises(LookupError, match=r"lrbench/guide/policies.md links to .*lr_curves.svg"):
        sources.relinked(page, placed)


def test_every_public_name_is_documented_once() -> None:
    text = "\n".join(api.pages().values())
    documented = re.findall(r"^\.\. (?:autoclass|autofunction|py:data):: (\S+)$", text, re.MULTILINE)
    homes = [name.rpartition(".") for name in documented]
    found = [id(api.public(import_module(package))[name]) for package, _, name in homes]
    public = {id(value) for package in api.PACKAGES for value in api.public(import_module(package)).values()}

    assert len(found) == len(set(found))
    assert set(found) == public


def test_a_name_that_is_no_class_has_what_is_written_below_it() -> None:
    assert "training of a study's own" not in api.documented("lrbench.store", "ENDED")
    assert "final" in api.documented("lrbench.store", "ENDED")


def test_the_gallery_has_every_function_and_every_policy_of_the_catalogs() -> None:
    page = gallery.page()

    assert sorted(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == sorted(functions())
    for name in catalogs():
        for entry in catalog(name).values():
            assert page.count(f"<strong>{name}/{entry.name}</strong>") == 1


def test_an_example_has_what_it_prints_below_it_and_code_of_a_file_is_no_example(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nprint(6 * 7)\n```\n\n```csv\n# lrs.csv\n0.1\n0.2\n```\n\n"
        "```sh run\nlrbench show lrs.csv\nlrbench list plots\n```\n\n```sh run\nlrbench no-command\n```\n"
    )
    program, commands = examples.examples(page)
    text = page.read_text()
    for example in (program, commands):
        text = examples.with_output(text, example, examples.output(example))

    assert "print(6 * 7)\n```\n\n````{code-block} text\n:class: output\n\n42\n````\n" in text
    assert ":class: output\n\n$ lrbench show lrs.csv\nlrs\n0.2 │" in text
    assert text.index("│") < text.index("\n$ lrbench list plots\n") < text.index("\nranking")
    assert text.count(":class: output") == 2


@pytest.mark.parametrize("block", ["```python\n1 / 0\n```\n", "```sh run\nlrbench show NOPOLICY\n```\n"])
def test_an_example_that_fails_is_named(block: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(block)
    (example,) = examples.examples(tmp_path / "page.md")

    with pytest.raises(RuntimeError, match=r"an example of page.md fails"):
        examples.output(example)


def test_a_page_has_the_reports_of_the_tables_that_it_links_to() -> None:
    section = sources.report_section(sources.STUDIES / "fashion_lenet.md", "studies/fashion_lenet.md")

    assert re.findall(r'href="([^"]+)"', section) == [
        "../reports/fashion_lenet.html",
        "../reports/fashion_lenet_fresh.html",
    ]
    assert 'src="../reports/fashion_lenet.html"' in section
    assert sources.report_section(sources.GUIDE / "policies.md", "guide/policies.md") == ""
    others = sources.STUDIES / "algoperf.md"
    assert sources.report_section(others, "studies/algoperf.md") == "", "its table is of runs from elsewhere"
    assert {"algoperf", "nanogpt_track3"}.isdisjoint(table.stem for table in reports.tables(sources.STUDIES))


RESTORED = ["robustness", "grammar_schedules", "fine_tuning_adamw", "shakespeare_schedules"]


@pytest.mark.parametrize("name", [*RESTORED, "fashion_lenet"])
def test_a_report_is_of_the_runs_of_its_table(name: str, tmp_path: Path) -> None:
    table = sources.STUDIES / f"{name}.csv"
    with open_store(tmp_path / "runs.db") as store:
        reports.restore(table, store)
        exported = export(name, store)
    before, after = (of[of["run"].notna()].astype(object).fillna("") for of in (pd.read_csv(table), flat(exported)))

    known = [name for name in (*NUMBERS, "setting") if name in before]
    same = [*("run", "stage", "name", "policy", "scale", "seed", "status", "step", "engine", "curve"), *known]
    assert sorted(map(tuple, before[same].to_numpy())) == sorted(map(tuple, after[same].to_numpy()))


@pytest.mark.parametrize("name", RESTORED)
def test_a_report_has_the_verdicts_of_its_study(name: str, tmp_path: Path) -> None:
    with open_store(tmp_path / "runs.db") as store:
        reports.restore(sources.STUDIES / f"{name}.csv", store)
        answered = study_frames(name, store).results
    evidence, *_ = shipped(without=set(study_names()) - {name})

    verdicts = {card.name: card.verdict for card in answered.tasks[0].scorecards}
    of_plain_training = {card.name: card.verdict for card in evidence.cards}
    assert of_plain_training == {name: verdict for name, verdict in verdicts.items() if "groups=" not in name}


def test_the_configuration_names_extensions_and_styles_that_are_there() -> None:
    configuration = runpy.run_path(str(DOCS / "conf.py"))

    assert all(map(find_spec, configuration["extensions"]))
    assert all(
        (Path(configuration["html_static_path"][0]) / name).is_file() for name in configuration["html_css_files"]
    )
