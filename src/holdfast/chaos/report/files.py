"""The files of a run's report."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.chaos.report.junit import junit_of
from holdfast.chaos.report.page import run_page
from holdfast.chaos.report.summary import summary_text
from holdfast.chaos.run.result import RunResult

PAGE = "report.html"
"""Name of a run's page, in its folder."""


def files_of(result: RunResult) -> Mapping[str, str]:
    """All that is written into a run's folder: names of files with their texts, the page first."""
    return {PAGE: run_page(result), "junit.xml": junit_of(result), "summary.json": summary_text(result)}
