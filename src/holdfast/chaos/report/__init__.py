"""Reports of chaos runs: from what a run was (`holdfast.chaos.run.result`) to texts, and nothing else.

- `run_page` is the HTML page of a run (`page`; its parts are `claims`, `plots`, `fault_tables`, `facts`)
- `trend_page` is the HTML page over many runs (`trend`)
- `junit_of` and `summary_of` are for CI servers and programs (`junit`, `summary`)
- `files_of` is all that belongs into a run's folder (`files`)
- `verdict_of` and `recovery_by_kind` are what all of them say (`verdict`, `recovery`)

Plots are SVG of our own: `time_axis` and `frame` are what they share, `lines`, `heat` and `gantt` what is
drawn. Text from a run goes through `markup`, which escapes it. Nothing here reads a clock or a file but the
page's own style and script.
"""

from __future__ import annotations

from holdfast.chaos.report.fault_tables import spread_text
from holdfast.chaos.report.files import PAGE, files_of
from holdfast.chaos.report.junit import junit_of
from holdfast.chaos.report.markup import clean
from holdfast.chaos.report.page import run_page
from holdfast.chaos.report.recovery import KindRecovery, Spread, recovery_by_kind
from holdfast.chaos.report.summary import summary_of
from holdfast.chaos.report.trend import TrendRun, trend_page, trend_verdict
from holdfast.chaos.report.verdict import Verdict, first_remarks, noun_of, verdict_of

__all__ = [
    "PAGE",
    "KindRecovery",
    "Spread",
    "TrendRun",
    "Verdict",
    "clean",
    "files_of",
    "first_remarks",
    "junit_of",
    "noun_of",
    "recovery_by_kind",
    "run_page",
    "spread_text",
    "summary_of",
    "trend_page",
    "trend_verdict",
    "verdict_of",
]
