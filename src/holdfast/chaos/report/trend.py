"""The page over many runs: which hold, and whether the recovery became longer or shorter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from holdfast.chaos.report.amounts import counted, listed, seconds, short
from holdfast.chaos.report.document import document
from holdfast.chaos.report.fault_tables import spread_text
from holdfast.chaos.report.lines import beside
from holdfast.chaos.report.markup import Markup, joined, tag
from holdfast.chaos.report.page import banner, tiles
from holdfast.chaos.report.recovery import KindRecovery, recovery_by_kind
from holdfast.chaos.report.scales import Linear
from holdfast.chaos.report.tables import Cell, table
from holdfast.chaos.report.time_axis import WIDTH
from holdfast.chaos.report.verdict import MARKS, Verdict, published, verdict_of
from holdfast.chaos.run.result import RunResult

_HEIGHT = 120
_TITLES = ("began", "experiment", "seed", "verdict", "events", "faults", "back to normal, p50 / p95 / max")


@dataclass(frozen=True, slots=True)
class TrendRun:
    """A run among others.

    Attributes:
        result: what it was.
        page: the way to its page, from the page over all runs; "" if it has none.
    """

    result: RunResult
    page: str = ""


def in_order(runs: Iterable[TrendRun]) -> list[TrendRun]:
    """Runs as they began."""
    return sorted(runs, key=lambda run: (run.result.began, run.result.experiment, run.result.seed))


def trend_page(runs: Sequence[TrendRun]) -> str:
    """The page over runs, as HTML in one file.

    Args:
        runs: one or more, in any order.
    """
    runs = in_order(runs)
    verdict = trend_verdict([run.result for run in runs])
    return document(
        f"{verdict.headline}",
        joined(tag("p", "Chaos runs", class_="eyebrow"), banner(verdict), tiles(_key_numbers(runs))),
        joined(
            _section("recovery", "Recovery by kind of fault", _plots(runs)),
            _section("runs", "Runs, the last one first", _table(list(reversed(runs)))),
        ),
        tag("p", "Made by ", tag("code", "holdfast chaos report"), "."),
    )


def trend_verdict(results: Sequence[RunResult]) -> Verdict:
    """The verdict over runs: the worst of them."""
    known = [result.validity for result in results]
    if "invalid" in known:
        wrong = [f"{it.experiment}, seed {it.seed}" for it in results if it.validity == "invalid"]
        more = [counted(len(wrong) - 3, "other")] if len(wrong) > 3 else []
        return Verdict(
            "invalid",
            "INVALID",
            f"{len(wrong)} of {counted(len(known), 'run')} ({listed([*wrong[:3], *more])})",
        )
    if "unknown" in known:
        return Verdict(
            "unknown", "UNKNOWN", f"{known.count('unknown')} of {counted(len(known), 'run')} cannot be told"
        )
    which = {1: "the only run", 2: "both runs"}.get(len(known), f"all {len(known):,} runs")
    return Verdict(
        "valid",
        "VALID",
        f"{which}, {counted(sum(map(published, results)), 'event')}, "
        f"{counted(sum(len(it.faults) for it in results), 'fault')}",
    )


def _key_numbers(runs: Sequence[TrendRun]) -> Iterator[tuple[str, str]]:
    yield "runs", f"{len(runs):,}"
    for validity in ("valid", "invalid", "unknown"):
        yield validity, f"{sum(run.result.validity == validity for run in runs):,}"
    yield "events", f"{sum(published(run.result) for run in runs):,}"
    yield "faults", f"{sum(len(run.result.faults) for run in runs):,}"


def _section(name: str, title: str, content: Markup) -> Markup:
    return tag(
        "section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title"
    )


def _plots(runs: Sequence[TrendRun]) -> Markup:
    kinds: dict[str, list[tuple[int, KindRecovery]]] = {}
    for i, run in enumerate(runs):
        for kind in recovery_by_kind(run.result):
            kinds.setdefault(kind.kind, []).append((i, kind))
    if not kinds:
        return tag("p", "No run tells of a recovery.", class_="lead")
    says = (
        "Seconds until every partition was fresh again, a bar for each run, the oldest at the left: from "
        "the p50 of its faults to the longest. A cross is a run with a fault after which it was not so again."
    )
    return joined(
        tag("p", says, class_="lead"),
        [_plot(i, kind, kinds[kind], runs) for i, kind in enumerate(sorted(kinds))],
    )


def _plot(
    number: int, kind: str, found: Sequence[tuple[int, KindRecovery]], runs: Sequence[TrendRun]
) -> Markup:
    scale = Linear.over((it.back_to_normal.longest for _, it in found if it.back_to_normal), steps=3)
    labels = beside(scale, _HEIGHT, (f"{short(tick)} s" for tick in scale.ticks()))
    never = [
        tag("b", "✗", class_="never", style=f"left:{_x(i, runs) / 10:.2f}%") for i, it in found if it.never
    ]
    name = f"kind-{number}"
    picture = tag(
        "svg",
        tag("path", class_="grid", d="".join(f"M0 {top:g}h{WIDTH}" for top, _ in labels)),
        _ranges(found, runs, scale),
        viewBox=f"0 0 {WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=name,
        aria_describedby=f"{name}-says",
    )
    rows = (
        tag("div", [tag("span", text, style=f"top:{top:g}px") for top, text in labels], class_="beside"),
        tag("div", picture, never, class_="area"),
        tag("div"),
        tag("div", _days(runs), class_="ticks"),
    )
    return tag(
        "figure",
        tag("figcaption", tag("h3", kind, id=name)),
        tag("div", rows, class_="rows", style=f"--h:{_HEIGHT}px"),
        tag("p", _says(found), class_="says", id=f"{name}-says"),
        class_="plot",
    )


def _ranges(found: Sequence[tuple[int, KindRecovery]], runs: Sequence[TrendRun], scale: Linear) -> Markup:
    """From the p50 to the longest of each run, with a line at each end."""
    half = min(10.0, WIDTH / len(runs) * 0.35)
    bars, ends = [], []
    for i, it in found:
        if it.back_to_normal:
            x = _x(i, runs)
            low, high = (_y(scale.share(time)) for time in (it.back_to_normal.p50, it.back_to_normal.longest))
            bars.append(f"M{x:g} {low + 1.5:g}V{high - 1.5:g}")
            ends.append(f"M{x - half:g} {low:g}h{2 * half:g}M{x - half:g} {high:g}h{2 * half:g}")
    return joined(
        tag("path", class_="range c0", d="".join(bars)), tag("path", class_="tick c0", d="".join(ends))
    )


def _x(run: int, runs: Sequence[TrendRun]) -> float:
    """Where a run is, in units from the left."""
    return round((run + 0.5) / len(runs) * WIDTH, 1)


def _days(runs: Sequence[TrendRun]) -> Markup:
    """When the first of the runs began, and the last, under their places."""
    ends = [("first", "0", runs[0]), *([("last", "100%", runs[-1])] if len(runs) > 1 else [])]
    return joined(
        [tag("span", run.result.began[:10], class_=side, style=f"left:{at}") for side, at, run in ends]
    )


def _y(share: float) -> float:
    return round((1 - share) * _HEIGHT, 1)


def _says(found: Sequence[tuple[int, KindRecovery]]) -> str:
    faults = sum(it.faults for _, it in found)
    never = sum(it.never for _, it in found)
    longest = [it.back_to_normal for _, it in found if it.back_to_normal]
    text = f"{counted(faults, 'fault')} in {counted(len(found), 'run')}."
    if longest:
        most = seconds(max(it.longest for it in longest))
        text += f" Longest: {most}; in the last run {spread_text(longest[-1])}."
    return f"{text} Not normal again after {never} of them." if never else text


def _table(runs: Sequence[TrendRun]) -> Markup:
    return table("Runs", _TITLES, map(_row, runs), right=("seed", "events", "faults"))


def _row(run: TrendRun) -> tuple[Cell, ...]:
    result = run.result
    verdict = verdict_of(result)
    began = result.began.replace("T", " ")[:16]
    kinds = [
        tag(
            "div",
            tag("code", kind.kind),
            f" {spread_text(kind.back_to_normal)}",
            f", {kind.never} never" if kind.never else None,
        )
        for kind in recovery_by_kind(result)
    ]
    return (
        Cell(tag("a", began, href=run.page) if run.page else began, head=True, look="nowrap"),
        Cell(result.experiment, look="kind"),
        Cell(result.seed, right=True),
        Cell(
            joined(
                tag("b", f"{MARKS[verdict.validity]} {verdict.word}", class_=f"{verdict.validity}-text"),
                _why(verdict),
            )
        ),
        Cell(f"{published(result):,}", right=True),
        Cell(len(result.faults), right=True),
        Cell(kinds or "–", look="kinds"),
    )


def _why(verdict: Verdict) -> str | None:
    """What is wrong; of a run in which everything holds the word is enough."""
    return None if verdict.validity == "valid" else f" {verdict.text}"
