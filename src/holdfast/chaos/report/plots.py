"""All plots of a run, one under the other on one time axis."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.chaos.report.charts import lag, latency, silence, throughput
from holdfast.chaos.report.fault_lane import fault_lane
from holdfast.chaos.report.frame import Frame, Plot
from holdfast.chaos.report.gantt import BREAKERS, LEADERS, OWNERS, gantt
from holdfast.chaos.report.heat import lag_per_shard
from holdfast.chaos.report.markup import Markup, tag
from holdfast.chaos.report.time_axis import TimeAxis
from holdfast.chaos.run.result import RunResult

_READ = (
    "Bands are faults, by number. Dashed: time 0, when the steady state had held, and the end of the load."
)

_MANY = 40
"""With more faults the lines where they begin are faint, so that they do not hide what is drawn."""


def plots_of(result: RunResult, axis: TimeAxis) -> Markup:
    """The plots for which there is something to show; what there is nothing of is told in the end."""
    marks = ((0.0, "steady state"), (result.load_s, "end of the load"))
    frame = Frame(axis, result.faults, marks)
    shown = list(_plots(result, axis))
    missing = _missing(result)
    if not shown:
        return tag("p", missing, class_="says", style="margin-left:0")
    return tag(
        "div",
        tag("p", _READ, class_="lead"),
        fault_lane(result.faults, result.recovery, axis),
        map(frame.show, shown),
        tag("p", missing, class_="says") if missing else None,
        class_="plots many" if len(result.faults) > _MANY else "plots",
    )


def _plots(result: RunResult, axis: TimeAxis) -> Iterator[Plot]:
    samples = result.samples
    if samples:
        yield throughput(samples, axis)
        yield latency(samples, axis)
        yield silence(samples, axis)
    if any(sample.lag for sample in samples):
        yield lag(samples, axis)
        yield lag_per_shard(samples, axis, result.shards)
    for spans, words in ((result.owners, OWNERS), (result.leaders, LEADERS), (result.breakers, BREAKERS)):
        if spans:
            yield gantt(spans, axis, words)


def _missing(result: RunResult) -> str:
    known = {
        "samples of the output": result.samples,
        "lag": [sample for sample in result.samples if sample.lag],
        "owners": result.owners,
        "leaders": result.leaders,
        "breakers": result.breakers,
    }
    names = [name for name, values in known.items() if not values]
    return f"This run recorded no {', no '.join(names)}." if names else ""
