"""The page over many runs."""

from __future__ import annotations

import re
from dataclasses import replace

from holdfast.chaos.report import TrendRun, trend_page, trend_verdict
from tests.support.chaos_runs import HOSTILE, Shape, hostile_run, invalid_run, unknown_run, valid_run

SHAPE = Shape(faults=4, load_s=40, kinds=("broker.kill", "worker.kill"))


def runs(count: int) -> list[TrendRun]:
    """Runs of several days, the last one first."""
    shapes = [replace(SHAPE, seed=seed) for seed in range(1, count + 1)]
    return [TrendRun(valid_run(shape), f"{shape.seed}/report.html") for shape in reversed(shapes)]


def test_the_verdict_over_runs_is_the_worst_and_names_it() -> None:
    good = [run.result for run in runs(3)]
    assert trend_verdict(good).headline.startswith("VALID: all 3 runs, ")
    assert trend_verdict([*good, unknown_run()]).headline == "UNKNOWN: 1 of 4 runs cannot be told"
    bad = [*good, unknown_run(), invalid_run()]
    assert trend_verdict(bad).headline == "INVALID: 1 of 5 runs (random-mix, seed 2)"


def test_many_wrong_runs_are_counted() -> None:
    assert trend_verdict([invalid_run()] * 6).text.endswith("random-mix, seed 2 and 3 others)")


def test_each_run_has_a_row_with_a_link_and_its_recovery_the_last_one_first() -> None:
    text = trend_page(runs(3))
    assert re.findall(r'<a href="(\d/report.html)"', text) == [
        "3/report.html",
        "2/report.html",
        "1/report.html",
    ]
    assert len(re.findall("<code>broker.kill</code> [0-9.]+ s / [0-9.]+ s / [0-9.]+ s", text)) == 3


def test_each_kind_of_fault_has_a_plot_with_a_bar_for_each_run() -> None:
    text = trend_page(runs(5))
    assert re.findall(r'<h3 id="kind-\d">([\w.]+)<', text) == ["broker.kill", "worker.kill"]
    assert all(d.count("M") == 5 for d in re.findall(r'class="range c0" d="([^"]*)"', text))
    assert "10 faults in 5 runs." in text


def test_a_run_that_did_not_become_normal_again_has_a_cross() -> None:
    text = trend_page([*runs(2), TrendRun(unknown_run())])
    assert len(re.findall('class="never"', text)) == 1
    assert "Not normal again after 1 of them." in text


def test_it_needs_no_network_and_no_script() -> None:
    text = trend_page(runs(2))
    assert "script-src &#x27;none&#x27;" in text
    assert "<script" not in text
    assert not re.search("https?://", text)


def test_runs_without_faults_or_pages_are_listed_too() -> None:
    text = trend_page([TrendRun(valid_run(Shape(faults=0, load_s=5)))])
    assert "No run tells of a recovery." in text
    assert "VALID: the only run" in text


def test_names_cannot_become_markup() -> None:
    assert "<script>" not in trend_page([TrendRun(hostile_run(), HOSTILE)])
