"""What was tested, on what, and how to do it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from holdfast.chaos.report.amounts import seconds
from holdfast.chaos.report.markup import Markup, joined, tag
from holdfast.chaos.run.result import RunResult


def facts_of(result: RunResult) -> Markup:
    """The command to repeat it, and lists of facts."""
    times = {"load": seconds(result.load_s), "all of it": seconds(result.whole_s)}
    run = {
        "experiment": result.file,
        "seed": result.seed,
        "began": result.began,
        "machine": result.machine,
        **times,
    }
    lists = [
        _list("Run", run),
        _list("Workload", result.workload),
        _list("Counts", result.counts),
        _list("Versions", result.versions),
    ]
    return joined(
        tag(
            "p",
            "The same seed makes the same plan; what a run shows also depends on the machine.",
            class_="lead",
        ),
        tag("pre", tag("code", result.command)),
        tag("div", lists, class_="facts"),
    )


def _list(title: str, facts: Mapping[str, Any]) -> Markup | None:
    if not facts:
        return None
    lines = [
        joined(tag("dt", name.replace("_", " ")), tag("dd", _said(value))) for name, value in facts.items()
    ]
    return tag("div", tag("h3", title), tag("dl", lines))


def _said(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    return str(value) if isinstance(value, str | int | float) else json.dumps(value, default=str)
