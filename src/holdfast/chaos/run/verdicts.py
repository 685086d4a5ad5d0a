"""From a history to what became of each claim of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from holdfast.chaos.checker import (
    LOG_RULES,
    Finding,
    PartitionEnd,
    Validity,
    Verdict,
    bank,
    check,
    finished,
    fold,
)
from holdfast.chaos.checker.invariants import check_invariants
from holdfast.chaos.checker.verdict import Example, verdict_of
from holdfast.chaos.experiment import INVARIANTS, Experiment, OwnInvariant
from holdfast.chaos.history import History
from holdfast.chaos.run.own import of_user
from holdfast.chaos.run.result import OWN_CHECK, FoundProblem, InvariantResult
from holdfast.chaos.workloads.bank_app import OPENING
from holdfast.chaos.workloads.plans import WorkloadPlan
from holdfast.checks import CheckResult
from holdfast.errors import ChaosError, HistoryError

_ORDER = ("valid", "unknown", "invalid")

_TOO_EARLY = "not all was processed and read in time"

_NOT_EVALUATED = "not-evaluated"
"""The rule of what was looked at for no claim."""

_UNCHECKED = "it could not be checked: "

_MISSING = (
    *("lost-write", "unseen", "vanished", "torn-transaction", "fold-lost"),
    # Money that is on its way to an account is missing until it arrives.
    *("bank-total", _NOT_EVALUATED),
)
"""Rules that find what is missing: it may have come later where not all was processed and read."""

_CLAIMED = frozenset(rule for invariant in INVARIANTS.values() for rule in invariant.rules)
"""Rules that some claim is about; what others find is about the whole check, and so about every claim."""


@dataclass(frozen=True)
class Evidence:
    """What the claims of a run are judged by.

    Attributes:
        experiment: what was claimed.
        history: what happened; None if it could not be sealed, and then only what needs none can be judged.
        plan: what the workload's records mean to the fold, if there is one.
        ends: of all output partitions.
        is_complete: whether all that was offered was processed and read; what is missing else is no loss.
        checks: what the application's own checks found, if there is one.
    """

    experiment: Experiment
    history: History | None
    plan: WorkloadPlan | None
    ends: Sequence[PartitionEnd]
    is_complete: bool = True
    checks: Sequence[CheckResult] = ()


def judge(evidence: Evidence) -> tuple[InvariantResult, ...]:
    """Judge every claim of an experiment. Where a check cannot be made, what is about it is unknown.

    Raises:
        ChaosError: a claim is not about this workload.
    """
    judges = _Judges(evidence)
    built_in = (judges.judge(name) for name in evidence.experiment.invariants)
    return (*built_in, *judges.own(evidence.experiment.own_invariants))


def unjudged(experiment: Experiment, why: object) -> tuple[InvariantResult, ...]:
    """Every claim of an experiment, of none of which anything is known."""
    names = (*experiment.invariants, *(own.name for own in experiment.own_invariants))
    return tuple(_unevaluated(name, f"{_UNCHECKED}{why}") for name in names)


def _unevaluated(name: str, why: str) -> InvariantResult:
    """A claim that nobody could look at."""
    return InvariantResult(name, "unknown", "", (FoundProblem(_NOT_EVALUATED, "unknown", 1, (why,)),))


class _Judges:
    """Makes each check once, when the first claim asks for it."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._verdicts: dict[str, tuple[Verdict, str]] = {}

    def judge(self, name: str) -> InvariantResult:
        """What became of a built-in claim."""
        if name == "application-checks":
            return _checked(name, self._evidence.checks, is_complete=self._evidence.is_complete)
        rules = INVARIANTS[name].rules
        found = [_result(name, verdict, rules, seen) for verdict, seen in self._asked(frozenset(rules))]
        if not found:
            raise ChaosError(f"the invariant {name} cannot be judged for this workload")
        return reduce(_both, found)

    def _asked(self, rules: frozenset[str]) -> Iterator[tuple[Verdict, str]]:
        """The checks that have some of these rules, each with how much it looked at."""
        plan, ends = self._evidence.plan, self._evidence.ends
        if rules.intersection(LOG_RULES):
            log = self._once("log", lambda: check(self._history()), _operations)
            yield log
            if "reordered" in rules and not log[0].metrics.get("keyed_pairs", 1):
                yield self._once("order", _nothing_in_order, lambda _: "")
        if rules.intersection(fold.RULES) and plan is not None:
            what = fold.Fold(plan.initial, plan.fold)
            yield self._once("fold", lambda: fold.check_fold_of(self._history(), what), _records)
        if rules.intersection(bank.RULES):
            yield self._once("bank", self._money, _postings)
        if rules.intersection(finished.RULES):
            yield self._once(
                "finished", lambda: finished.check_finished(ends), lambda _: f"{len(ends)} partitions"
            )

    def _money(self) -> Verdict:
        return bank.check_bank(self._history(), opening=OPENING, minimum=0)

    def _history(self) -> History:
        if self._evidence.history is None:
            raise HistoryError("the history could not be sealed")
        return self._evidence.history

    def own(self, invariants: Iterable[OwnInvariant]) -> Iterable[InvariantResult]:
        """What became of the experiment's own claims, each by itself."""
        for invariant in invariants:
            try:
                asked = of_user(self._evidence.experiment, invariant)
                verdict = check_invariants(self._history(), [asked])
            except Exception as error:  # noqa: BLE001 - the user's query or function; the others are judged
                yield _unevaluated(invariant.name, f"it cannot be evaluated: {error}")
                continue
            if not self._evidence.is_complete:
                # Nobody knows which of its rows are there for want of others.
                verdict = _unsure(verdict, *(finding.rule for finding in verdict.findings))
            looked_at = verdict.metrics["looked_at"][invariant.name]
            told = ", ".join(f"{number:,} {what}" for what, number in looked_at.items())
            yield _result(invariant.name, verdict, None, told)

    def _once(
        self, name: str, make: Callable[[], Verdict], told: Callable[[Verdict], str]
    ) -> tuple[Verdict, str]:
        """A check's verdict, and how much it looked at; one that cannot be made is not tried again."""
        if name not in self._verdicts:
            try:
                verdict = make()
            except HistoryError as error:
                self._verdicts[name] = _unchecked(error), ""
            else:
                seen = verdict if self._evidence.is_complete else _unsure(verdict, *_MISSING)
                self._verdicts[name] = seen, told(seen)
        return self._verdicts[name]


def _nothing_in_order() -> Verdict:
    why = "no process has sent two records with the same key, so that there was no order to keep"
    return verdict_of([fold.not_evaluated("order", why)], [_NOT_EVALUATED])


def _unchecked(error: HistoryError) -> Verdict:
    """The verdict of a check that could not be made: whatever it is asked about is not known."""
    example = Example(f"{_UNCHECKED}{error}")
    return verdict_of([Finding(_NOT_EVALUATED, Validity.UNKNOWN, 1, (example,))], [])


def _unsure(verdict: Verdict, *rules: str) -> Verdict:
    """A verdict in which what these rules found is not known: what is missing may have come later."""
    findings = (
        replace(finding, validity=Validity.UNKNOWN, why=_TOO_EARLY) if finding.rule in rules else finding
        for finding in verdict.findings
    )
    return replace(verdict, findings=tuple(findings))


def _checked(name: str, checks: Sequence[CheckResult], *, is_complete: bool) -> InvariantResult:
    """What an application's own checks found; they hold when all is processed, and may not before."""
    if not checks:
        return _unevaluated(name, "the checks were not made: not everything could be read")
    validity, why = ("invalid", "") if is_complete else ("unknown", _TOO_EARLY)
    problems = tuple(
        FoundProblem(f"{OWN_CHECK}{each.name}", validity, each.violations, each.examples, why)
        for each in checks
        if not each.ok
    )
    looked_at = "; ".join(f"{each.name} ({_counts(each)})" for each in checks)
    return InvariantResult(name, validity if problems else "valid", looked_at, problems)


def _counts(check: CheckResult) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in check.counts.items())


def _both(one: InvariantResult, other: InvariantResult) -> InvariantResult:
    """A claim that two checks are about."""
    problems = tuple(dict.fromkeys((*one.problems, *other.problems)))
    looked_at = ", ".join(filter(None, (one.looked_at, other.looked_at)))
    return InvariantResult(one.name, max(one.validity, other.validity, key=_ORDER.index), looked_at, problems)


def _records(verdict: Verdict) -> str:
    seen = verdict.metrics["fold"]
    return f"{seen['inputs']:,} inputs, {seen['outputs']:,} outputs"


def _postings(verdict: Verdict) -> str:
    return f"{verdict.metrics['bank']['postings']:,} postings"


def _operations(verdict: Verdict) -> str:
    found: Mapping[str, Any] = verdict.metrics
    if "records_sent" not in found:
        return ""
    acknowledged, sent, reads = (found[name] for name in ("records_acknowledged", "records_sent", "reads"))
    return f"{acknowledged:,} of {sent:,} sends acknowledged, {reads:,} reads"


def _result(name: str, verdict: Verdict, rules: Sequence[str] | None, looked_at: str) -> InvariantResult:
    """A claim's share of a verdict: what its own rules found, and whatever leaves all of it unknown."""
    problems = tuple(
        _problem(finding)
        for finding in verdict.findings
        if rules is None or finding.rule in rules or finding.rule not in _CLAIMED
    )
    validity = max((problem.validity for problem in problems), key=_ORDER.index, default="valid")
    return InvariantResult(name, validity, looked_at, problems)


def _problem(finding: Finding) -> FoundProblem:
    return FoundProblem(
        finding.rule, str(finding.validity), finding.count, tuple(map(str, finding.examples)), finding.why
    )
