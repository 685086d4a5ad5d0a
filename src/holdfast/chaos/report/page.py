"""The page of a run: its verdict, what that rests on, what happened when, and how to do it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from holdfast.chaos.experiment import INVARIANTS
from holdfast.chaos.report.amounts import NOTHING, milliseconds, seconds
from holdfast.chaos.report.claims import claims_table, problems
from holdfast.chaos.report.document import document
from holdfast.chaos.report.facts import facts_of
from holdfast.chaos.report.fault_tables import faults_table, kinds_table
from holdfast.chaos.report.hover import hover_data
from holdfast.chaos.report.markup import Content, Markup, joined, tag
from holdfast.chaos.report.plots import plots_of
from holdfast.chaos.report.recovery import recovery_by_kind, recovery_of_all, spread
from holdfast.chaos.report.time_axis import TimeAxis
from holdfast.chaos.report.verdict import MARKS, Verdict, first_remarks, published, verdict_of
from holdfast.chaos.run.result import RunResult

_MEANINGS = {name: invariant.meaning for name, invariant in INVARIANTS.items()}

_READ = (
    "Bands are faults, by number. Dashed: time 0, when the steady state had held, and the end of the load."
)


_RECOVERY = (
    "Detection: until somebody else had the work. Longest gap: the longest silence of one partition of the "
    "output. Back to normal: until every partition was fresh, and stayed so. "
    "The first and the last count from the fault's begin."
)

_OPEN = 40
"""So many faults are shown without asking."""


def run_page(result: RunResult) -> str:
    """The page of a run, as HTML in one file."""
    verdict = verdict_of(result)
    axis = TimeAxis.of(result)
    return document(
        f"{verdict.word}: {result.experiment}, seed {result.seed}",
        _header(result, verdict),
        _main(result, axis),
        tag(
            "p",
            "Made by ",
            tag("code", "holdfast chaos report"),
            " from run.json, which has every number of this page.",
        ),
        hover_data(result, axis),
    )


def banner(verdict: Verdict) -> Markup:
    """The verdict, to be seen from afar."""
    return tag(
        "div",
        tag("span", MARKS[verdict.validity], class_="mark", aria_hidden="true"),
        tag("h1", verdict.headline),
        tag("ul", [tag("li", remark) for remark in first_remarks(verdict)]) if verdict.remarks else None,
        class_=f"verdict {verdict.validity}",
    )


def tiles(values: Iterator[tuple[str, str]]) -> Markup:
    """A few numbers, large."""
    return tag(
        "dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in values], class_="tiles"
    )


def _header(result: RunResult, verdict: Verdict) -> Markup:
    began = result.began.replace("T", " ")[:16]
    where = joined("Chaos run: ", tag("b", result.experiment), f", seed {result.seed}, {began} UTC")
    return joined(
        tag("p", where, class_="eyebrow"),
        banner(verdict),
        tiles(_key_numbers(result)),
        tag("p", result.description, class_="lead", style="margin-top:16px;max-width:90ch"),
        tag(
            "nav",
            tag("ul", [tag("li", tag("a", title, href=f"#{name}")) for name, title in _sections(result)]),
            aria_label="Parts of this page",
        ),
    )


def _key_numbers(result: RunResult) -> Iterator[tuple[str, str]]:
    whole = recovery_of_all(result)
    yield "events published", f"{published(result):,}"
    failed = sum(bool(fault.error) for fault in result.faults)
    yield f"faults, {failed} went wrong" if failed else "faults", f"{len(result.faults):,}"
    if whole.faults:
        yield "longest gap of a partition", seconds(whole.longest_gap.longest if whole.longest_gap else None)
        back = whole.back_to_normal
        yield (
            "back to normal, p50 / max",
            f"{seconds(back.p50)} / {seconds(back.longest)}" if back else NOTHING,
        )
        if whole.never:
            yield "faults without a return to normal", f"{whole.never} of {whole.faults}"
    p95 = spread([sample.latency_ms[1] for sample in result.samples if sample.latency_ms])
    if p95:
        yield "latency, p95 of the median interval", milliseconds(p95.p50)


def _main(result: RunResult, axis: TimeAxis) -> Markup:
    contents: Mapping[str, Callable[[], Content]] = {
        "claims": lambda: claims_table(result.invariants, _MEANINGS),
        "found": lambda: problems(result.invariants),
        "time": lambda: plots_of(result, axis),
        "faults": lambda: _faults(result),
        "run": lambda: facts_of(result),
    }
    return joined(
        [
            tag(
                "section",
                tag("h2", title, id=f"{name}-title"),
                contents[name](),
                id=name,
                aria_labelledby=f"{name}-title",
            )
            for name, title in _sections(result)
        ]
    )


def _sections(result: RunResult) -> Iterator[tuple[str, str]]:
    yield "claims", "What was claimed"
    if any(invariant.problems for invariant in result.invariants):
        yield "found", "What was found"
    yield "time", "What happened when"
    yield "faults", "Faults and recovery"
    yield "run", "How to do it again"


def _faults(result: RunResult) -> Content:
    if not result.faults:
        return tag("p", "Nothing was broken in this run.", class_="lead")
    kinds = recovery_by_kind(result)
    several = any(kind.faults > 1 for kind in kinds)
    return joined(
        tag(
            "p",
            _RECOVERY,
            class_="lead",
        ),
        joined(tag("h3", "By kind: p50 / p95 / max", style="margin-top:14px"), kinds_table(kinds))
        if several
        else None,
        _each_fault(result, several),
    )


def _each_fault(result: RunResult, several: bool) -> Markup:
    """A table of all faults; it is closed where it would be many screens long."""
    count = len(result.faults)
    if count > _OPEN:
        return tag(
            "details",
            tag("summary", f"Each of the {count:,} faults"),
            faults_table(result),
            class_="wide-open",
        )
    return joined(
        tag("h3", "Each of them", style="margin-top:22px") if several else None, faults_table(result)
    )
