"""The verdict in words: what holds, what is broken, or why nobody can tell.

It claims no more than was looked at: "nothing reordered" needs an invariant about order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from holdfast.chaos.experiment import INVARIANTS
from holdfast.chaos.report.amounts import counted, listed
from holdfast.chaos.run.result import OWN_CHECK, FoundProblem, InvariantResult, RunResult

MARKS: Mapping[str, str] = {"valid": "✓", "unknown": "?", "invalid": "✗"}
"""A sign for each validity, beside its colour and its word."""

_NOUNS: Mapping[str, tuple[str, str]] = {
    "lost-write": ("lost write", "lost writes"),
    "unseen": ("unseen write", "unseen writes"),
    "vanished": ("vanished write", "vanished writes"),
    "duplicate": ("duplicate", "duplicates"),
    "inconsistent-offsets": ("inconsistent offset", "inconsistent offsets"),
    "stray-read": ("read of what nobody sent", "reads of what nobody sent"),
    "torn-transaction": ("torn transaction", "torn transactions"),
    "G1a": ("aborted read (G1a)", "aborted reads (G1a)"),
    "G1c": ("cycle (G1c)", "cycles (G1c)"),
    "precommitted-read": ("precommitted read", "precommitted reads"),
    "poll-skip": ("skipped poll", "skipped polls"),
    "nonmonotonic-poll": ("poll that went back", "polls that went back"),
    "nonmonotonic-send": ("send that went back", "sends that went back"),
}
"""Jepsen's anomalies (jepsen/src/jepsen/tests/kafka.clj) in words."""

_MOST = 4
"""So many kinds of anomalies are told in a headline."""


_MOST_REMARKS = 6
"""So many remarks stand beside a headline; `summary.json` has all of them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a run.

    Attributes:
        validity: `valid`, `unknown` or `invalid`.
        word: the same in capitals.
        text: what follows it, after a colon.
        remarks: what a reader has to know beside it.
    """

    validity: str
    word: str
    text: str
    remarks: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """All of it in one line."""
        return f"{self.word}: {self.text}"


def verdict_of(result: RunResult) -> Verdict:
    """The verdict on a run, in words."""
    validity = result.validity
    reasons = _reasons(result)
    if validity == "invalid":
        return Verdict(validity, "INVALID", _broken(result.invariants), reasons)
    if validity == "unknown":
        more = reasons[1:]
        return Verdict(validity, "UNKNOWN", reasons[0] if reasons else "nobody can tell", more)
    tried = [counted(published(result), "event"), counted(len(result.faults), "fault"), _absent(result)]
    return Verdict(validity, "VALID", ", ".join(tried))


def first_remarks(verdict: Verdict) -> tuple[str, ...]:
    """What stands beside a verdict, cut where it is long."""
    more = len(verdict.remarks) - _MOST_REMARKS
    rest = (f"and {counted(more, 'other remark')}",) if more > 0 else ()
    return (*verdict.remarks[:_MOST_REMARKS], *rest)


def published(result: RunResult) -> int:
    """How many events were offered: as it was counted, or as the samples add up."""
    return result.counts.get("published", sum(sample.published for sample in result.samples))


def noun_of(problem: FoundProblem) -> str:
    """What a rule found, with its number: ``3 lost writes``."""
    if problem.rule in _NOUNS:
        return counted(problem.count, *_NOUNS[problem.rule])
    if problem.rule.startswith(OWN_CHECK):
        return f"{counted(problem.count, 'violation')} of: {problem.rule.removeprefix(OWN_CHECK)}"
    return f"{counted(problem.count, 'case')} of {problem.rule}"


def problem_count(invariant: InvariantResult, validity: str) -> int:
    """How many cases an invariant's rules found that are of this validity."""
    return sum(problem.count for problem in invariant.problems if problem.validity == validity)


def _absent(result: RunResult) -> str:
    names = [invariant.name for invariant in result.invariants]
    held = frozenset(names)
    looked_for = {
        # The log may have all that was acknowledged where outputs are missing, and the other way round.
        "lost": held >= {"no-lost-writes", *_of_outputs(result)},
        "doubled": held >= (_of_outputs(result) or {"no-duplicates"}),
        "wrong": bool(held & {"state-fold", "conservation", "application-checks"}),
        "reordered": "per-key-order" in held,
    }
    absent = [what for what, is_claimed in looked_for.items() if is_claimed]
    if absent:
        return f"nothing {listed(absent, 'or')}"
    return f"{listed(names)} {'holds' if len(names) == 1 else 'hold'}"


def _of_outputs(result: RunResult) -> frozenset[str]:
    """The claim that outputs are there once, for workloads whose outputs the lab can work out."""
    name = "exactly-once"
    return frozenset({name} if result.workload.get("kind") in INVARIANTS[name].workloads else ())


def _broken(invariants: Iterable[InvariantResult]) -> str:
    """What is broken; one thing that several invariants are about is told once."""
    worst: dict[str, FoundProblem] = {}
    silent = []
    for invariant in invariants:
        found = [problem for problem in invariant.problems if problem.validity == "invalid"]
        if invariant.validity == "invalid" and not found:
            silent.append(f"{invariant.name} does not hold")
        for problem in found:
            if problem.rule not in worst or worst[problem.rule].count < problem.count:
                worst[problem.rule] = problem
    texts = [*map(noun_of, worst.values()), *silent]
    more = [counted(len(texts) - _MOST, "other problem")] if len(texts) > _MOST else []
    return listed([*texts[:_MOST], *more])


def _reasons(result: RunResult) -> tuple[str, ...]:
    """Why a run cannot be trusted as it is."""
    reasons = list(result.trouble)
    for number, fault in enumerate(result.faults, start=1):
        if fault.doubt:
            reasons.append(f"fault {number} ({fault.kind}, {fault.target}) went wrong: {fault.doubt}")
    reasons += [_unsure(invariant) for invariant in result.invariants if invariant.validity == "unknown"]
    if not result.invariants:
        reasons.append("no invariant was looked at")
    return tuple(reasons)


def _unsure(invariant: InvariantResult) -> str:
    whys = [problem.why for problem in invariant.problems if problem.validity == "unknown" and problem.why]
    return f"{invariant.name} cannot be told{': ' + '; '.join(whys) if whys else ''}"
