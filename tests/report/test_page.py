"""The report in a real browser: headless Chromium, without a network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import Browser, Dialog, Page

import lrbench
from lrbench.policy import parse, torch_code
from lrbench.report.frames import Frames, study_frames
from lrbench.report.page import report_page
from lrbench.report.plots.search import SearchFrames
from lrbench.store import Store
from lrbench.tasks import TrainingFunction
from tests.report.made_studies import FIVE, LONG, MISSING, SCORES, Place

HOSTILE = "<script>alert(1)</script>"

Study = Callable[..., Frames]
Open = Callable[[Frames], Page]


@contextmanager
def pages(browser: Browser, folder: Path) -> Iterator[Open]:
    """Open reports offline; in the end none of them may have asked for anything, nor said anything on the console."""
    noise: list[str] = []
    with browser.new_context(offline=True, viewport={"width": 1200, "height": 800}) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(20_000)

        def dismissed(dialog: Dialog) -> None:
            noise.append(dialog.message)
            dialog.dismiss()

        context.on("console", lambda message: noise.append(message.text))
        context.on("weberror", lambda error: noise.append(str(error.error)))
        context.on("dialog", dismissed)
        context.on("request", lambda request: noise.append(request.url))

        def open_report(frames: Frames) -> Page:
            file = folder / "report.html"
            file.write_text(report_page(frames))
            page = context.new_page()
            page.goto(file.as_uri())
            return page

        yield open_report
    own = ((folder / "report.html").as_uri(), "data:", "blob:")
    assert [line for line in noise if not line.startswith(own)] == []


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    with pages(browser, tmp_path) as open_report:
        yield open_report


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory, five: Frames) -> Iterator[Page]:
    """The report of five policies; the tests share it, and set what they depend on."""
    with pages(browser, tmp_path_factory.mktemp("page")) as open_report:
        yield open_report(five)


def names(page: Page) -> list[str]:
    return page.locator("table.policies tbody summary").all_inner_texts()


def sort_by(page: Page, title: str) -> None:
    page.get_by_role("button", name=title, exact=True).click()


def test_all_of_it_is_reached_by_keyboard(page: Page) -> None:
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent || document.activeElement.id"))

    assert reached[0] == "Skip to the answer"
    for stop in ("Copy PyTorch", "verdict", "task-0-filter"):
        assert stop in reached
    page.get_by_role("button", name="policy", exact=True).focus()
    page.keyboard.press("Enter")
    assert names(page)[1] == "flat"


def test_the_answer_comes_first(page: Page) -> None:
    use, avoid = (page.get_by_role("region", name=verdict) for verdict in ("Use", "Avoid"))

    assert use.locator("strong").all_inner_texts() == ["falling", "wave", "steps"]
    assert avoid.locator("strong").all_inner_texts() == ["flat", "wild"]
    assert "diverged on 3 of 3 seeds" in avoid.inner_text()


def test_curves_are_drawn_and_each_can_be_switched_off(page: Page) -> None:
    lines = page.locator("#task-0-lr .scatterlayer .trace")
    before = lines.count()

    page.get_by_role("checkbox", name="falling").uncheck()

    assert (before, lines.count()) == (5, 4)


def test_the_table_is_sorted_by_a_click_on_a_title_and_turned_round_by_another(page: Page) -> None:
    sort_by(page, "verdict")
    sort_by(page, "#")
    assert names(page) == ["falling", "wave", "steps", "flat", "wild"]

    sort_by(page, "policy")
    assert names(page) == ["falling", "flat", "steps", "wave", "wild"]

    sort_by(page, "policy")
    assert names(page) == ["wild", "wave", "steps", "flat", "falling"]
    assert page.locator("th[aria-sort=descending]").inner_text() == "policy"


def test_what_is_unknown_is_sorted_last_either_way(page: Page) -> None:
    for _ in range(2):
        sort_by(page, "AC")
        assert names(page)[-1] == "wild"


def test_the_table_is_filtered_by_words_and_by_verdict(page: Page) -> None:
    page.get_by_label("Filter").fill("fix")
    assert sorted(names(page)) == ["flat", "wild"]

    page.get_by_label("Filter").fill("")
    page.get_by_label("Verdict", exact=True).select_option("good")
    assert sorted(names(page)) == ["falling", "steps", "wave"]


def test_a_policy_is_copied_as_text_and_as_code_that_runs(page: Page) -> None:
    page.get_by_role("button", name="Copy policy").first.click()
    page.get_by_text("Policy copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == FIVE["falling"]

    page.get_by_role("button", name="Copy PyTorch").first.click()
    page.get_by_text("PyTorch code copied").wait_for()
    code = page.evaluate("navigator.clipboard.readText()")
    exec(compile(code, "copied", "exec"), {})
    assert code == torch_code(parse(FIVE["falling"]))


def test_no_width_makes_the_page_scroll_sideways(opened: Open, study: Study) -> None:
    page = opened(study({LONG: "FIX(k0=0.1)", **FIVE}, lambda place: 0.5 + 0.01 * place.seed))

    for width in (1200, 375, 320):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_phone_shows_name_verdict_and_score_of_a_policy_without_scrolling(opened: Open, study: Study) -> None:
    grid = [f"FIX(k0=0.2).then(COSINE(k0=0.2, l=0.{part}dur), at=0.{10 - part}dur)" for part in range(1, 6)]
    page = opened(study({text: text for text in grid}, lambda place: 0.5 + 0.01 * place.seed))

    page.set_viewport_size({"width": 375, "height": 800})

    row = page.locator("table.policies tbody tr").first
    for column in (row.locator("th"), row.locator("td.verdict"), row.locator("td.verdict + td")):
        box = column.bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 375


def test_where_not_all_seeds_reach_the_target_the_table_says_how_many_did(page: Page) -> None:
    page.get_by_label("Filter").fill("flat")
    page.get_by_label("Verdict", exact=True).select_option("")

    assert page.get_by_role("cell", name="0 of 3", exact=True).count() == 1
    page.get_by_label("Filter").fill("")


def test_columns_functions_and_units_are_explained(page: Page) -> None:
    page.get_by_text("What the columns say").click()
    assert page.get_by_text("test loss minus train loss").is_visible()

    page.get_by_text("How to read a policy").click()
    assert page.get_by_text("dur: the budget, here 100 iterations").is_visible()
    assert page.get_by_text("FIX: A constant LR.").is_visible()


def test_names_stay_text(opened: Open, study: Study) -> None:
    texts = (HOSTILE, "<img src=x onerror=alert(2)>", "</script><b>", "%{x} &amp;")
    hostile = {name: f"FIX(k0={number}.0)" for number, name in enumerate(texts, start=1)}
    frames = study(hostile, lambda place: 0.5 + 0.01 * place.seed, name=HOSTILE, tasks=(HOSTILE,))

    page = opened(frames)

    assert page.locator("h1").inner_text() == HOSTILE
    assert sorted(names(page)) == sorted(hostile)
    assert page.title().startswith(HOSTILE)
    for curve in range(len(hostile)):
        page.evaluate(f"Plotly.Fx.hover('task-0-lr', [{{curveNumber: {curve}, pointNumber: 0}}])")
        assert page.locator("#task-0-lr .hoverlayer .name").text_content() in hostile


def test_a_study_without_a_run_says_so(opened: Open, study: Study) -> None:
    page = opened(study(FIVE, lambda place: MISSING))

    assert "nothing is known" in page.inner_text("main")
    assert "15 not begun" in page.inner_text("header")


def test_a_study_that_asks_for_nothing_says_so(study: Study) -> None:
    assert "This study asks for no run." in report_page(study({}, lambda place: None, seeds=(), tasks=()))


def test_a_study_of_one_run_shows_its_one_score(opened: Open, study: Study) -> None:
    page = opened(study({"only": "FIX(k0=0.1)"}, lambda place: 0.5, seeds=(7,)))

    assert names(page) == ["only"]
    assert page.locator("table.policies td").nth(2).inner_text() == "0.500"


def test_a_study_in_which_all_diverged_says_what_to_avoid(opened: Open, study: Study) -> None:
    page = opened(study(FIVE, lambda place: None))

    assert page.get_by_role("region", name="Avoid").locator("strong").count() == 5
    assert "15 runs of 15 diverged" in page.inner_text("header")


def test_scores_that_are_not_known_are_dashes(opened: Open, study: Study) -> None:
    page = opened(study(FIVE, lambda place: None, objective="R2", chance=None))

    assert page.locator("table.policies td").nth(2).inner_text() == "–"


def test_two_thousand_policies_are_all_in_the_table_and_a_few_in_the_curves(opened: Open, two_thousand: Frames) -> None:
    page = opened(two_thousand)

    assert len(page.content()) < 8_000_000
    assert "The best 24 of 2,000 policies are here" in page.inner_text("main")
    assert len(names(page)) == 100
    page.get_by_label("Filter").fill("k0=0.07 l=33")
    assert names(page) == ["STEP(k0=0.07, gamma=0.1, l=33)"]


def data_of(page: str) -> Any:
    """What the script of a page reads."""
    start = page.index('id="data">') + len('id="data">')
    return json.loads(page[start : page.index("</script>", start)])


def test_the_data_in_the_page_is_the_store_s(five: Frames) -> None:
    row = data_of(report_page(five))["tasks"][0]["rows"][0]
    falling = SCORES["falling"]
    assert isinstance(falling, float)
    assert row["val"][0] == pytest.approx(falling + 0.001)
    assert {key for *_, key in row["runs"]} == set(five.runs.loc[five.runs["name"] == "falling", "run"])


def test_the_curves_of_losses_have_the_training_loss_of_the_same_evaluations(five: Frames) -> None:
    curve = data_of(report_page(five))["tasks"][0]["curves"][0]
    falling = five.curves[five.curves["label"] == curve["name"]]
    means = falling.groupby("step")[["val_loss", "train_loss"]].mean()

    assert curve["train_loss"]["x"] == curve["loss"]["x"] == means.index.tolist()
    assert curve["train_loss"]["y"] == pytest.approx(means["train_loss"].tolist(), rel=1e-4)


def test_the_loss_of_training_is_a_thin_line_beside_that_of_validation(page: Page) -> None:
    widths = page.locator("#task-0-loss .scatterlayer .trace .js-line").evaluate_all(
        "lines => lines.map(line => getComputedStyle(line).strokeWidth)"
    )

    assert widths.count("1px") == widths.count("2px") > 0


def test_the_headline_names_the_winner_on_fresh_seeds_with_its_fresh_score(study: Study) -> None:
    def outcome(place: Place) -> float:
        lucky = place.name == "falling" and place.stage == "main"
        return (0.71 if lucky else 0.66 if place.name == "falling" else 0.70) + 0.001 * (place.seed % 3)

    policies = {name: FIVE[name] for name in ("falling", "wave")}
    page = report_page(study(policies, outcome, finalists=("falling", "wave")))

    assert "Use <strong>falling</strong>: 0.651 ±0.002 test top-1 accuracy over 3 fresh seeds." in page
    assert "As good, as far as can be told: wave." in page
    assert "<td>0.661 ±0.002</td><td>0.651 ±0.002</td><td>0.661 ±0.004</td><td>0.711 ±0.002</td>" in page
    assert "The first was chosen without these seeds; for one that is chosen by them" in page


def test_of_a_single_policy_nothing_is_claimed(study: Study) -> None:
    page = report_page(study({"falling": FIVE["falling"]}, lambda place: 0.7 + 0.001 * place.seed))

    assert "The only policy is <strong>falling</strong>" in page
    assert "There is no other policy to compare it with" in page
    assert "More seeds are needed" not in page


def test_the_page_says_how_a_divergence_counts_where_chance_is_not_known(study: Study) -> None:
    policies = {name: FIVE[name] for name in ("falling", "wave")}
    tables = study(policies, lambda place: 0.7 + 0.001 * place.seed, objective="loss", better="lower", chance=None)

    page = report_page(tables)
    assert "it is in no mean, since chance is not known, and its policy is to be avoided." in page
    assert "counts as chance" not in page


def test_the_page_of_a_search_answers_with_fresh_seeds_and_shows_how_it_went(study: Study) -> None:
    policies = {name: FIVE[name] for name in ("falling", "wave")}
    tables = study(policies, lambda place: (0.7 if place.name == "falling" else 0.69) + 0.001 * place.seed)
    confirmed = study(
        policies,
        lambda place: (0.5 if place.name == "falling" and place.stage != "main" else 0.68) + 0.001 * place.seed,
        name="hunt: confirmed",
        finalists=tuple(policies),
    ).results.tasks[0]
    trials = pd.DataFrame(
        {"iterations": 40, "budget": [40.0, 40.0, 10.0], "whole": [True, True, False], "diverged": [0.0, 0.0, 0.5]}
        | {"accuracy": [0.7, 0.69, 0.3]}
    )
    search = SearchFrames("hunt", ("accuracy",), "top-1 accuracy", trials, pd.DataFrame(), confirmed.confirmed)

    page = report_page(tables, search)

    (best, _) = confirmed.confirmed
    assert best.card.name == "wave"
    assert f"<strong>wave</strong>: {best.card.test.mean:.3f} ±" in page
    assert f"over {best.card.n} fresh seeds" in page
    assert "A search asked for 3 policies, of which 2 were trained for the whole budget" in page
    assert "On some seed 1 policy diverged or failed." in page
    assert "The best policy so far, against what it cost" in page
    assert "How the search went" not in report_page(tables)


@pytest.mark.parametrize(("variant", "noun"), [("EMA(decay=0.9)", "modifier"), ("batch_size=32", "setting")])
def test_variants_have_their_effects_and_how_far_these_depend_on_the_policy(
    study: Study, variant: str, noun: str
) -> None:
    frames = study(
        {"flat": "FIX(k0=0.1)", "wave": "TRI(k0=0.001, k1=0.2, l=0.25dur)"},
        lambda place: (
            0.5 + 0.01 * place.seed + (0.1 + 0.01 * place.seed) * (place.variant != "" and place.name == "flat")
        ),
        variants=(variant,),
    )

    page = report_page(frames)

    assert f"2 policies, with and without 1 {noun}, on a-task" in page
    # The effects are .10, .11, .12 for one policy and 0 for the other: t = .11 / (.01 / sqrt 3) = 19.05, p = .0027.
    # One-sided, at the look of 3 seeds with its share .8 of the error rate, and the least of 4 hypotheses: p = .0069.
    assert f"{variant}</th><td>flat</td><td></td><td>wave</td><td>0.003</td><td>3</td>" in page
    assert f"Which policies does a {noun} help?" in page
    assert "What modifiers and settings change, policy by policy" in page


def test_what_is_claimed_of_a_variant_by_each_goal_is_on_the_page(study: Study) -> None:
    policies = {"flat": "FIX(k0=0.1)", "wave": "TRI(k0=0.001, k1=0.2, l=0.25dur)"}

    def outcome(place: Place) -> float:
        return 0.5 + 0.01 * place.seed + 0.1 * (place.variant != "" and place.name == "flat")

    both, one = (
        report_page(study(policies, outcome, name=name, variants=("EMA(decay=0.9)",), by=by))
        for name, by in (("both", ("top1:0.05", "ac")), ("one", ()))
    )

    assert '<th scope="col">by top1</th><th scope="col">by ac</th>' in both
    assert "<td>helps: flat; no gain: wave</td>" in both
    assert "no gain" not in one


@pytest.mark.parametrize("variant", ["EMA(decay=0.9)", "two\nlines = not_python"])
def test_code_says_that_a_training_method_is_not_in_it(study: Study, variant: str) -> None:
    frames = study({"flat": "FIX(k0=0.1)"}, lambda place: 0.5, variants=(variant,))

    (task,) = data_of(report_page(frames))["tasks"]
    for row in task["rows"]:
        which, policy = row["code"]
        before, after = task["codes"][which]
        compile(before + policy + after, "copied", "exec")
        assert before.startswith("# This is the policy alone") == (row["label"] != "flat")


def test_two_tasks_have_an_answer_each(opened: Open, study: Study) -> None:
    page = opened(study({"flat": "FIX(k0=0.1)"}, lambda place: 0.5, tasks=("one", "two"), seeds=(0,)))

    assert page.locator("section.task h2").all_inner_texts() == ["one", "two"]
    assert page.get_by_role("navigation").get_by_role("link").count() == 2


def test_a_study_of_several_tasks_begins_with_what_to_use_on_each(opened: Open, study: Study) -> None:
    better = {"one": "falling", "two": "flat"}
    page = opened(
        study(
            {name: FIVE[name] for name in better.values()},
            lambda place: (0.6 if better[place.task] == place.name else 0.4) + 0.001 * place.seed,
            tasks=tuple(better),
        )
    )

    said = page.get_by_role("navigation").get_by_role("listitem").all_inner_texts()

    assert [line.split(",")[0] for line in said] == ["one: Use falling", "two: Use flat"]


def test_the_page_says_what_must_be_known_of_the_scores_and_which_way_they_are_better(study: Study) -> None:
    losses = {"falling": 0.4, "flat": float("nan"), "wave": 0.5}
    asked = {"objective": "mse", "chance": 1.0, "better": "lower"}
    frames = study({name: FIVE[name] for name in losses}, lambda place: losses[place.name], **asked)

    page = report_page(frames)

    assert "mse is NaN or infinite at the end of 3 of 9 runs" in page
    assert "the last validation score (mse; lower mse is better)" in page
    (task,) = data_of(page)["tasks"]
    assert task["better"] == -1
    assert [row["name"] for row in task["rows"]] == ["falling", "wave", "flat"]
    assert task["rows"][2]["val"][0] == 1.0


def test_a_click_on_the_score_shows_the_lowest_first_where_lower_is_better(opened: Open, study: Study) -> None:
    losses = {"falling": 0.4, "flat": 0.9, "wave": 0.5}
    asked = {"objective": "mse", "chance": 1.0, "better": "lower"}
    page = opened(study({name: FIVE[name] for name in losses}, lambda place: losses[place.name], **asked))

    sort_by(page, "validation")

    assert names(page) == ["falling", "wave", "flat"]


def test_a_race_shows_the_seeds_of_each_policy_and_the_looks_of_its_verdicts(opened: Open, study: Study) -> None:
    def outcome(place: Place) -> float | str:
        if place.seed >= {"falling": 5, "wave": 5, "flat": 3}[place.name]:
            return MISSING
        return {"falling": 0.7, "wave": 0.66, "flat": 0.3}[place.name] + 0.01 * (place.seed % 2) * (
            place.name != "wave"
        )

    policies = {name: FIVE[name] for name in ("falling", "wave", "flat")}
    looks = ((3, 0.4), (5, 0.4), (6, 0.1))
    page = opened(study(policies, outcome, seeds=range(6), until_decided=3, looks=looks))

    assert "3 policies on a-task, 3 to 6 seeds each, until decided" in page.inner_text("header")
    assert "verdicts were made with 3 and 5 seeds" in page.inner_text("main")
    assert "claimed with 3 seeds" in page.get_by_role("region", name="Avoid").inner_text()
    titles = page.locator("table.policies thead th").all_inner_texts()
    seeds = page.locator(f"table.policies tbody tr > :nth-child({titles.index('seeds') + 1})").all_inner_texts()
    assert dict(zip(names(page), seeds, strict=True)) == {"falling": "5", "wave": "5", "flat": "3"}


def test_before_the_first_look_a_page_claims_nothing(study: Study) -> None:
    policies = {"falling": FIVE["falling"], "flat": FIVE["flat"]}
    asked = {"seeds": range(5), "looks": ((5, 0.8),)}

    early = report_page(study(policies, lambda place: MISSING if place.seed > 2 else SCORES[place.name], **asked))
    late = report_page(
        study(policies, lambda place: (SCORES[place.name] or 0.0) + 0.001 * place.seed, name="late", **asked)
    )

    assert "Nothing is claimed yet" in early
    assert "Avoid <strong>" not in early
    assert "Nothing is claimed yet" not in late
    assert "verdicts were made with 5 seeds" in late


def test_the_cost_of_a_study_is_training_and_evaluating_and_its_part(study: Study) -> None:
    frames = study({"flat": FIVE["flat"]}, lambda place: 0.9, seeds=range(4))

    assert "4 runs, shared ones counted in each: 2 seconds of compute (20% of it evaluating)" in report_page(frames)
    older = replace(frames, runs=frames.runs.assign(evaluating=[math.nan, 0.125, 0.125, 0.125]))
    assert "2 seconds of compute, 4 MFLOP" in report_page(older)


def test_an_interval_that_was_clipped_is_shown_by_its_ends(opened: Open, study: Study) -> None:
    scores = {0: 0.80, 1: 0.90, 2: 0.94}
    page = opened(study({"flat": FIVE["flat"]}, lambda place: scores[place.seed]))

    assert "0.880 [0.701, 1.000]" in page.locator("tbody tr").first.inner_text()
    assert "0.880 [0.701, 1.000] validation" in page.locator(".answer").inner_text()


def test_the_page_answers_by_the_first_goal_and_has_a_table_of_verdicts_by_each(study: Study, opened: Open) -> None:
    policies = {"fast": "FIX(k0=0.1)", "slow": "FIX(k0=0.2)"}
    scores = {"fast": 0.6, "slow": 0.58}

    def outcome(place: Place) -> float:
        return scores[place.name] + place.seed / 1e4

    page = opened(study(policies, outcome, seeds=range(10), better="higher", by=["steps_to_target:10", "top1:0.1"]))

    table = page.get_by_role("region", name="By goal").locator("tr")
    assert [row.split("\t") for row in table.all_inner_texts()] == [
        ["policy", "steps_to_target", "top1"],
        ["fast", "good", "good"],
        ["slow", "good", "good"],
    ]
    assert "to target 80 " in page.locator(".headline").inner_text()
    sure = page.locator(".sure").last.inner_text()
    assert "within 10 of the best policy's 'to target' on more than half of the seeds" in sure
    assert "by each goal for itself" in sure
    assert "paired sign tests and t tests with Holm's correction" in page.locator("body").inner_text()
    assert page.get_by_alt_text("Every policy with its interval and its verdict").count() == 1


def test_a_page_claims_nothing_that_a_training_function_did_not_report(store: Store) -> None:
    def train(run: lrbench.TrainingRun) -> None:
        run.report(10, val=run.lr(1) + run.seed / 1000)

    task = TrainingFunction(name="own", function=train, steps=10, eval_every=10)
    lrbench.compare(["FIX(k0=0.1)", "FIX(k0=0.2)"], task, seeds=3, name="own", store=store, workers=1)

    page = report_page(study_frames("own", store))

    assert "0.101 ±0.002 validation loss over 3 seeds" in page
    assert "every policy was trained for 10 iterations and evaluated every 10 iterations." in page
    assert "FLOP" not in page.partition("</main>")[0].partition("<main")[2].partition("What the columns say")[0]
