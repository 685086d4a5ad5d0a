"""What was claimed, what became of it, and the records that show what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.chaos.report.amounts import counted, listed
from holdfast.chaos.report.markup import Content, Markup, joined, tag
from holdfast.chaos.report.tables import Cell, table
from holdfast.chaos.report.verdict import MARKS, noun_of
from holdfast.chaos.run.result import FoundProblem, InvariantResult

_WORDS = {"valid": "holds", "unknown": "unknown", "invalid": "broken"}


def claims_table(invariants: Iterable[InvariantResult], meanings: dict[str, str]) -> Markup:
    """A row for each invariant.

    Args:
        invariants: what became of them.
        meanings: what they mean in words, as far as known.
    """
    known = list(invariants)
    if not known:
        return tag("p", "No invariant was looked at.", class_="lead")
    titles = ("claim", "verdict", "looked at", "found")
    return table("What was claimed, and what became of it", titles, (_row(it, meanings) for it in known))


def _row(invariant: InvariantResult, meanings: dict[str, str]) -> tuple[Cell, ...]:
    meaning = meanings.get(invariant.name)
    name = joined(tag("code", invariant.name), tag("div", meaning, class_="evidence") if meaning else None)
    word = f"{MARKS.get(invariant.validity, '?')} {_WORDS.get(invariant.validity, invariant.validity)}"
    found = [tag("div", noun_of(it), tag("small", f" ({_judged(it)})")) for it in invariant.problems]
    return (
        Cell(name, head=True),
        Cell(word, look=f"word {invariant.validity}"),
        Cell(invariant.looked_at or "–"),
        Cell(found or "nothing"),
    )


def _judged(problem: FoundProblem) -> str:
    return {"valid": "allowed", "unknown": "unknown", "invalid": "wrong"}.get(
        problem.validity, problem.validity
    )


def problems(invariants: Iterable[InvariantResult]) -> Markup:
    """Each problem with the records that show it, the worst first; what several found is told once."""
    order = ("invalid", "unknown", "valid")
    found: dict[FoundProblem, list[str]] = {}
    for invariant in invariants:
        for problem in invariant.problems:
            found.setdefault(problem, []).append(invariant.name)
    worst = sorted(found, key=lambda it: order.index(it.validity) if it.validity in order else len(order))
    return joined([_problem(problem, found[problem]) for problem in worst])


def _problem(problem: FoundProblem, names: Sequence[str]) -> Markup:
    head: Content = (
        tag(
            "span",
            f"{MARKS.get(problem.validity, '?')} {noun_of(problem)}",
            class_=f"{problem.validity}-text",
        ),
        tag("small", f"{_judged(problem)}, found by {listed(names)}"),
    )
    shown = len(problem.examples)
    more = f"{shown:,} of {counted(problem.count, 'case')}" if shown < problem.count else None
    return tag(
        "section",
        tag("h3", head),
        tag("p", problem.why) if problem.why else None,
        [tag("pre", example) for example in problem.examples],
        tag("p", f"Shown: {more}.", class_="says", style="margin-left:0") if more and shown else None,
        class_=f"problem {problem.validity}",
    )
