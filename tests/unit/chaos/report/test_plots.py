"""What the plots show: heat, bars, bands."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from holdfast.chaos.report.charts import lag, latency, silence, throughput
from holdfast.chaos.report.fault_lane import fault_lane
from holdfast.chaos.report.frame import Frame
from holdfast.chaos.report.gantt import BREAKERS, LEADERS, OWNERS, gantt, look_of, state_numbers
from holdfast.chaos.report.heat import lag_per_shard, level_of
from holdfast.chaos.report.rows import natural, row_labels, short_names
from holdfast.chaos.report.time_axis import TimeAxis
from holdfast.chaos.run.result import FaultSpan, Sample, Span
from tests.support.chaos_runs import Shape, huge_run, valid_run

AXIS = TimeAxis(0.0, 100.0)


def sample(at: float, committed: int = 1000, published: int = 1000, **values: object) -> Sample:
    """A sample of one second."""
    known: dict[str, object] = {"latency_ms": (20.0, 40.0, 90.0), "lag": (), "silent_s": 0.1}
    return Sample(at, 1.0, published, committed, **{**known, **values})  # type: ignore[arg-type]


def test_throughput_tells_the_longest_time_in_which_nothing_was_committed() -> None:
    samples = [sample(float(i), committed=0 if 20 < i <= 26 or i == 50 else 1000) for i in range(1, 100)]
    said = throughput(samples, AXIS).says
    assert "1,000 were published and 1,000 committed in a second" in said
    assert said.endswith("The longest time in which nothing was: 6.0 s, from 20.0 s.")


def test_nothing_committed_when_nothing_was_offered_is_no_pause() -> None:
    samples = [sample(float(i)) for i in range(1, 50)] + [sample(float(i), 0, 0) for i in range(50, 60)]
    assert "Something was committed in each of them" in throughput(samples, AXIS).says


def test_latency_tells_the_slowest_output_and_breaks_where_there_was_none() -> None:
    samples = [sample(1.0), sample(2.0, latency_ms=None), sample(3.0, latency_ms=(30.0, 60.0, 6400.0))]
    plot = latency(samples, AXIS)
    assert "The slowest output took 6.4 s, at 3.0 s." in plot.says
    assert [text for _, text in plot.beside] == ["10 ms", "100 ms", "1 s", "10 s"]
    assert len(re.findall("M", plot.drawing)) == 3 * 2


def test_latency_of_a_run_without_outputs_says_so() -> None:
    assert latency([sample(1.0, latency_ms=None)], AXIS).says == "No output was seen."


def test_lag_and_silence_tell_their_worst() -> None:
    samples = [sample(1.0, lag=(1, 2)), sample(2.0, lag=()), sample(3.0, lag=(90, 10), silent_s=7.5)]
    assert lag(samples, AXIS).says.endswith("at most 100 at 3.0 s.")
    assert silence(samples, AXIS).says.endswith("7.5 s, seen at 3.0 s.")


@pytest.mark.parametrize(
    ("waiting", "level"), [(0, 0), (1, 1), (9, 1), (10, 2), (999, 3), (10_000, 5), (10**9, 5)]
)
def test_a_step_of_the_heat_is_a_power_of_ten(waiting: int, level: int) -> None:
    assert level_of(waiting) == level


def test_a_peak_of_one_sample_among_thousands_is_seen_in_the_heat() -> None:
    samples = [sample(i / 100, lag=(0, 0)) for i in range(1, 10_000)]
    samples[5_000] = replace(samples[5_000], lag=(0, 4_321))
    plot = lag_per_shard(samples, AXIS)
    assert 'class="heat l4"' in plot.drawing
    assert "Furthest behind was shard 1, with 4,321 records" in plot.says


def test_heat_knows_a_shard_without_lag_from_one_of_which_nothing_is_known() -> None:
    plot = lag_per_shard([Sample(50.0, 50.0, 1, 1, None, (0,)), Sample(100.0, 50.0, 1, 1, None, ())], AXIS)
    assert re.findall(r'class="heat l0" d="M0 14h500v19h-500z"', plot.drawing)


def test_bars_tell_who_had_what_and_when_nobody_had() -> None:
    spans = (
        Span("0", "worker-0", 0.0, 30.0),
        Span("0", "worker-1", 36.0, None),
        Span("1", "worker-1", 0.0, None),
    )
    plot = gantt(spans, AXIS, OWNERS)
    assert plot.says == "2 shards, 2 holders, 1 change. Longest without: shard 0, for 6.0 s from 30.0 s."
    assert re.search(r'class="gap" d="M300 [\d.]+h60v', plot.drawing)
    assert [line.text for line in plot.legend] == ["worker-0", "worker-1", "nobody"]
    assert "worker-0: 0.0 s to 30.0 s; worker-1: 36.0 s to the end" in plot.more


def test_two_owners_at_once_are_told_and_both_are_seen() -> None:
    """What a zombie would look like."""
    spans = (Span("3", "worker-0", 0.0, 40.0), Span("3", "worker-1", 37.0, None))
    plot = gantt(spans, AXIS, OWNERS)
    assert "Two at once: shard 3, for 3.0 s from 37.0 s." in plot.says
    first, second = re.findall(r"v([\d.]+)h", plot.drawing)
    assert float(second) == float(first) / 2


def test_the_seventh_owner_has_stripes() -> None:
    spans = [Span(str(i), f"worker-{i}", 0.0, None) for i in range(12)]
    numbers = state_numbers(spans, {})
    assert len({look_of(number) for number in numbers.values()}) == 12
    assert look_of(numbers["worker-6"]) == "c0 striped"


def test_states_of_breakers_have_the_same_colours_in_every_run() -> None:
    closed, odd = Span("a", "closed", 0.0, None), Span("b", "forced open", 0.0, None)
    assert state_numbers([Span("a", "open", 0.0, 1.0)], BREAKERS.colours or {}) == {"open": 5}
    assert state_numbers([closed, odd], BREAKERS.colours or {}) == {"closed": 0, "forced open": 1}


def test_partitions_are_in_their_order_under_their_topic() -> None:
    plot = gantt([Span(f"orders/{i}", "broker-1", 0.0, None) for i in range(11)], AXIS, LEADERS)
    assert [text for _, text in plot.beside] == [str(i) for i in range(11)]
    assert plot.unit == "who led it, a row for each partition of orders"


def test_partitions_of_several_topics_keep_their_names() -> None:
    assert short_names(["a/0", "b/0"]) == ({"a/0": "a/0", "b/0": "b/0"}, "")
    assert sorted(["a10", "a9", "b"], key=natural) == ["a9", "a10", "b"]


def test_of_a_hundred_rows_some_have_a_label() -> None:
    labels = row_labels([str(i) for i in range(100)])
    assert 10 <= len(labels) <= 50
    assert all(after - before >= 14 for (before, _), (after, _) in itertools.pairwise(labels))


def test_every_plot_has_every_fault_as_a_band() -> None:
    run = valid_run(Shape(faults=3))
    axis = TimeAxis.of(run)
    shown = Frame(axis, run.faults).show(throughput(run.samples, axis))
    assert len(re.findall('class="band"', shown)) == 3
    assert [int(it) for it in re.findall(r'class="no[^"]*"[^>]*>(\d+)<', shown)] == [1, 2, 3]


def test_a_fault_that_went_wrong_is_drawn_otherwise() -> None:
    fault = FaultSpan("broker.kill", "leader", (), 10.0, 20.0, error="no such broker")
    assert 'class="band failed"' in Frame(AXIS, [fault]).bands(100)
    assert "went wrong: no such broker" in fault_lane([fault], (), AXIS)


def test_faults_at_once_have_lanes_of_their_own() -> None:
    faults = [FaultSpan("broker.kill", "any", (f"broker-{i}",), 10.0, 20.0) for i in (1, 2)]
    tops = re.findall(r'class="fault broker" style="top:(\d+)px', fault_lane(faults, (), AXIS))
    assert len(set(tops)) == 2


def test_two_hundred_faults_do_not_fill_the_screen() -> None:
    run = huge_run()
    lane = fault_lane(run.faults, run.recovery, TimeAxis.of(run))
    (height,) = re.findall(r'class="bars" style="height:(\d+)px', lane)
    assert int(height) <= 120
    assert len(re.findall('class="fault ', lane)) == 200
