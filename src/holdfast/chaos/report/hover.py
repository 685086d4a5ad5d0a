"""What the page's script reads values from: the same samples and spans that are drawn.

JSON in a `script` element that is no script: it runs nothing, and `<` is written so that nothing can end it
early.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from holdfast.chaos.report.charts import rate
from holdfast.chaos.report.gantt import BREAKERS, LEADERS, OWNERS, Words
from holdfast.chaos.report.heat import shard_names
from holdfast.chaos.report.markup import Markup, clean
from holdfast.chaos.report.rows import natural
from holdfast.chaos.report.time_axis import TimeAxis
from holdfast.chaos.run.result import RunResult, Sample, Span

_MOST = 5_000
"""More samples than that have no pixels of their own in any window."""


def hover_data(result: RunResult, axis: TimeAxis) -> Markup:
    """The element."""
    samples = result.samples[:: max(1, math.ceil(len(result.samples) / _MOST))]
    data = {
        "begin": round(axis.begin, 3),
        "end": round(axis.end, 3),
        "at": _numbers(it.at for it in samples),
        "values": _values(samples),
        "shards": [
            clean(name)
            for name in shard_names(result.shards, max((len(it.lag) for it in samples), default=0))
        ],
        "spans": {
            words.name: _spans(spans, axis, words)
            for spans, words in (
                (result.owners, OWNERS),
                (result.leaders, LEADERS),
                (result.breakers, BREAKERS),
            )
        },
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(
        f'<script type="application/json" id="data">{text.replace("<", chr(92) + "u003c")}</script>'
    )


def _values(samples: Sequence[Sample]) -> dict[str, list[float | None]]:
    quantiles = {
        name: _numbers(it.latency_ms[i] if it.latency_ms else None for it in samples)
        for i, name in enumerate(("p50", "p95", "max"))
    }
    return {
        "published": _numbers(rate(it.published, it) for it in samples),
        "committed": _numbers(rate(it.committed, it) for it in samples),
        **quantiles,
        "silent": _numbers(it.silent_s for it in samples),
        "total": _numbers(sum(it.lag) if it.lag else None for it in samples),
        "worst": _numbers(max(it.lag) if it.lag else None for it in samples),
        "shard-lag": _numbers(it.lag.index(max(it.lag)) if it.lag else None for it in samples),
    }


def _numbers(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None or not math.isfinite(value) else _shortest(value) for value in values]


def _shortest(value: float) -> float:
    return round(value) if value == round(value) or abs(value) >= 1000 else round(value, 2)


def _end(time: float | None, otherwise: float) -> float:
    return round(otherwise if time is None or not math.isfinite(time) else time, 2)


def _spans(spans: Sequence[Span], axis: TimeAxis, words: Words) -> dict[str, Any]:
    subjects = {subject: i for i, subject in enumerate(sorted({it.subject for it in spans}, key=natural))}
    states = {state: i for i, state in enumerate(sorted({it.state for it in spans}, key=natural))}
    return {
        "rows": [clean(f"{words.subject} {subject}") for subject in subjects],
        "states": [clean(state) for state in states],
        "bars": [
            [subjects[it.subject], states[it.state], _end(it.began, axis.begin), _end(it.ended, axis.end)]
            for it in spans
        ],
    }
