"""What the output was over time: throughput, latency, lag and silence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from holdfast.chaos.report.amounts import counted, milliseconds, moment, number, seconds, short
from holdfast.chaos.report.frame import Legend, Plot
from holdfast.chaos.report.lines import Line, beside, drawn, steps
from holdfast.chaos.report.markup import joined
from holdfast.chaos.report.scales import Linear, Log
from holdfast.chaos.report.time_axis import TimeAxis
from holdfast.chaos.run.result import Sample

_HEIGHT = 150


def rate(count: int, sample: Sample) -> float | None:
    """Events in a second of a sample's interval; None of an interval without a length."""
    return count / sample.seconds if sample.seconds > 0 else None


def throughput(samples: Sequence[Sample], axis: TimeAxis) -> Plot:
    """What became visible, against what was offered."""
    published = [rate(it.published, it) for it in samples]
    committed = [rate(it.committed, it) for it in samples]
    scale = Linear.over(value for value in (*published, *committed) if value is not None)
    lines = (
        Line(steps(samples, committed), "committed", filled=True),
        Line(steps(samples, published), "published"),
    )
    return Plot(
        "throughput",
        "Throughput",
        "events in a second",
        _throughput_says(samples, published, committed),
        _HEIGHT,
        joined([drawn(line, axis, scale, _HEIGHT) for line in lines]),
        beside(scale, _HEIGHT, map(short, scale.ticks())),
        (Legend("committed", "committed", "committed"), Legend("published", "published", "published")),
    )


def _throughput_says(
    samples: Sequence[Sample], published: Sequence[float | None], committed: Sequence[float | None]
) -> str:
    offered = [value for value in published if value]
    put_out = [
        value
        for value, sample in zip(committed, samples, strict=True)
        if value is not None and sample.published
    ]
    text = (
        f"While events were offered, {number(statistics.median(offered or [0]))} were published and "
        f"{number(statistics.median(put_out or [0]))} committed in a second, in the median of "
        f"{counted(len(samples), 'sample')}."
    )
    began, length = _longest_pause(samples)
    if not length:
        return f"{text} Something was committed in each of them."
    return f"{text} The longest time in which nothing was: {seconds(length)}, from {moment(began)}."


def _longest_pause(samples: Sequence[Sample]) -> tuple[float, float]:
    """Begin and length of the longest time in which nothing was committed although events were offered."""
    best, began, length = (0.0, 0.0), 0.0, 0.0
    for sample in samples:
        if sample.committed or not (sample.published or length):
            length = 0.0
            continue
        began = began if length else sample.at - sample.seconds
        length += sample.seconds
        best = max(best, (length, began))
    return best[1], best[0]


def latency(samples: Sequence[Sample], axis: TimeAxis) -> Plot:
    """From an input's publication to its output being visible."""
    columns = [[it.latency_ms[i] if it.latency_ms else None for it in samples] for i in range(3)]
    known = [value for column in columns for value in column if value is not None and math.isfinite(value)]
    scale = Log.over(known)
    looks = ("p50", "p95", "max")
    lines = [Line(steps(samples, column), look) for column, look in zip(columns, looks, strict=True)]
    says = "No output was seen."
    if known:
        p50, p95 = (statistics.median(value for value in columns[i] if value is not None) for i in (0, 1))
        slowest, at = max((it.latency_ms[2], it.at) for it in samples if it.latency_ms)
        says = (
            f"Half of the intervals have p50 up to {milliseconds(p50)} and p95 up to {milliseconds(p95)}. "
            f"The slowest output took {milliseconds(slowest)}, at {moment(at)}. "
            "A line breaks where there was no output."
        )
    return Plot(
        "latency",
        "End-to-end latency",
        "publication to visible output, log scale",
        says,
        _HEIGHT,
        joined([drawn(line, axis, scale, _HEIGHT) for line in reversed(lines)]),
        beside(scale, _HEIGHT, map(milliseconds_short, scale.ticks())),
        tuple(Legend(look, look, look) for look in looks),
    )


def milliseconds_short(value: float) -> str:
    """A power of ten of milliseconds, for an axis: ``10 ms``, ``1 s``."""
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def lag(samples: Sequence[Sample], axis: TimeAxis) -> Plot:
    """Records that wait, of all shards and of the one that is furthest behind."""
    known = [(it.at, it.lag) for it in samples]
    total = [(at, float(sum(waiting)) if waiting else None) for at, waiting in known]
    worst = [(at, float(max(waiting)) if waiting else None) for at, waiting in known]
    values = [value for _, value in total if value is not None]
    scale = Linear.over(values)
    says = "Nobody could be asked for the lag."
    if values:
        most, at = max((value, at) for at, value in total if value is not None)
        text = f"{number(statistics.median(values))} records waited in the median, at most {number(most)}"
        says = f"{text} at {moment(at)}." if most else "No sample found a record that waits."
    return Plot(
        "lag",
        "Lag",
        "records that wait",
        says,
        _HEIGHT - 30,
        joined(
            drawn(Line(total, "total", filled=True), axis, scale, _HEIGHT - 30),
            drawn(Line(worst, "worst"), axis, scale, _HEIGHT - 30),
        ),
        beside(scale, _HEIGHT - 30, map(short, scale.ticks())),
        (Legend("all shards", "total", "total"), Legend("furthest behind", "worst", "worst")),
    )


def silence(samples: Sequence[Sample], axis: TimeAxis) -> Plot:
    """For how long the most silent partition of the output has shown nothing."""
    scale = Linear.over((it.silent_s for it in samples), steps=3)
    longest, at = max((it.silent_s, it.at) for it in samples)
    return Plot(
        "silence",
        "Silence of the most silent partition",
        "seconds without an output",
        f"No partition of the output was silent for longer than {seconds(longest)}, seen at {moment(at)}.",
        _HEIGHT - 50,
        drawn(
            Line([(it.at, it.silent_s) for it in samples], "silent", filled=True), axis, scale, _HEIGHT - 50
        ),
        beside(scale, _HEIGHT - 50, (f"{short(tick)} s" for tick in scale.ticks())),
        (Legend("silent for", "silent", "silent"),),
    )
