"""Where values stand, what is written beside them, and what is left of many."""

from __future__ import annotations

import math
import random

import pytest

from holdfast.chaos.report.amounts import listed, milliseconds, moment, seconds, short
from holdfast.chaos.report.labels import apart, shown_in
from holdfast.chaos.report.scales import Linear, Log
from holdfast.chaos.report.thinning import m4, unbroken
from holdfast.chaos.report.time_axis import WIDTH, TimeAxis, during
from tests.support.chaos_runs import Shape, empty_run, valid_run


@pytest.mark.parametrize("highest", [0.003, 0.7, 1.0, 7.5, 99.0, 2040.0, 1e7])
def test_a_linear_scale_ends_at_a_round_number_that_no_value_exceeds(highest: float) -> None:
    scale = Linear.over([0.0, highest])
    assert scale.ticks()[0] == 0
    assert scale.ticks()[-1] == pytest.approx(scale.top)
    assert highest <= scale.top * (1 + 1e-9) <= highest * 2.6
    assert 2 <= len(scale.ticks()) <= 6


def test_a_linear_scale_of_nothing_is_still_one() -> None:
    assert Linear.over([]).share(0.0) == Linear.over([0.0, math.nan]).share(0.0) == 0.0


def test_a_log_scale_has_the_powers_of_ten_around_its_values() -> None:
    scale = Log.over([25.0, 6400.0, math.inf])
    assert scale.ticks() == (10.0, 100.0, 1000.0, 10_000.0)
    assert scale.share(1000.0) == pytest.approx(2 / 3)
    assert scale.share(0.0) == scale.share(-1.0) == 0.0
    assert Log.over([]).ticks() == (1.0, 10.0)


def test_thinning_keeps_every_peak_and_every_hole() -> None:
    rng = random.Random(1)
    points = [(i / 100, rng.random()) for i in range(100_000)]
    points[34_567] = (345.67, 99.0)
    points[70_001] = (700.01, -99.0)
    thin = m4(points, 1000, 1000)
    assert len(thin) <= 4 * 1000
    assert {(345.67, 99.0), (700.01, -99.0), points[0], points[-1]} <= set(thin)
    assert thin == sorted(thin)


def test_few_points_stay_as_they_are() -> None:
    points = [(1.0, 2.0), (5.0, 1.0), (900.0, 7.0)]
    assert m4(points, 1000, 1000) == points


def test_nothing_is_drawn_across_a_time_of_which_nothing_is_known() -> None:
    values = [(0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, math.nan), (4.0, 5.0)]
    assert list(unbroken(values)) == [[(0.0, 1.0), (1.0, 2.0)], [(4.0, 5.0)]]


def test_everything_of_a_run_has_its_place_on_the_time_axis() -> None:
    run = valid_run()
    axis = TimeAxis.of(run)
    assert axis.begin <= min(span.began for span in run.owners)
    assert axis.end >= max(sample.at for sample in run.samples)
    assert (axis.x(axis.begin), axis.x(axis.end)) == (0, WIDTH)


@pytest.mark.parametrize("load", [1.0, 30.0, 120.0, 600.0, 3600.0, 86_400.0])
def test_times_are_round_and_few(load: float) -> None:
    ticks = TimeAxis(-12.0, load).ticks()
    assert 2 <= len(ticks) <= 12
    assert (0.0, "0 min" if load >= 600 else "0 s") in ticks


def test_an_axis_of_no_length_is_given_one() -> None:
    axis = TimeAxis.of(empty_run())
    assert axis.end - axis.begin == 1


def test_an_instant_is_wide_enough_to_be_seen_and_stays_on_the_plot() -> None:
    axis = TimeAxis(0.0, 3600.0)
    assert axis.span(10.0, 10.0, least=2.0)[1] == 2.0
    assert axis.span(3600.0, 3600.0, least=2.0) == (998.0, 2.0)
    assert axis.span(1800.0, None) == (500.0, 500.0)


def test_labels_do_not_touch_and_the_first_one_wins() -> None:
    places, texts = [0.1, 0.105, 0.13, 0.5, 0.99], ["1", "2", "3", "4", "5"]
    assert apart(places, texts) == ("", None, "wide", "", "")


def test_a_bar_has_its_name_where_there_is_room_for_it() -> None:
    assert [shown_in(share, "worker-1") for share in (0.5, 0.1, 0.01)] == ["", "wide", None]


def test_amounts_have_units_and_no_false_digits() -> None:
    assert [seconds(it) for it in (0.0, 0.04, 6.14, 119.0, 725.0, 720.0, None)] == [
        *("0 s", "40 ms", "6.1 s", "119.0 s", "12 min 5 s", "12 min", "–"),
    ]
    assert [milliseconds(it) for it in (0.54, 38.2, 6100.0, math.nan)] == ["0.5 ms", "38 ms", "6.1 s", "–"]
    assert [short(it) for it in (0.0, 0.5, 2000.0, 1.5e6)] == ["0", "0.5", "2k", "1.5M"]
    assert moment(-3.0) == "\N{MINUS SIGN}3.0 s"
    assert during(15.0, 25.2) == "15.0 s to 25.2 s"
    assert during(15.0, None) == "15.0 s to the end"
    assert listed(["a", "b", "c"], "or") == "a, b or c"


def test_a_run_of_an_hour_is_told_in_minutes() -> None:
    assert TimeAxis.of(valid_run(Shape(load_s=3600, faults=2, every_s=60))).ticks()[1][1] == "10 min"
