"""What a check says: a verdict, with findings, the examples that show them, and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Validity(StrEnum):
    """Whether a history is as it has to be."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"
    """Nothing wrong was found, but too little was looked at to say more."""

    @classmethod
    def worst(cls, of: Iterable[Validity]) -> Validity:
        """Invalid before unknown before valid, as Jepsen merges its results; valid for none."""
        order = (cls.VALID, cls.UNKNOWN, cls.INVALID)
        return max(of, key=order.index, default=cls.VALID)


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a log, and who sent it."""

    log: str
    key: str | None
    value: int
    offset: int | None
    process: str | None = None
    op: int | None = None
    began: int | None = None
    ended: int | None = None
    outcome: str | None = None

    def __str__(self) -> str:
        place = f"{self.log}@{'?' if self.offset is None else self.offset}"
        key = "" if self.key is None else f" of key {self.key}"
        if self.process is None:
            return f"value {self.value}{key} at {place}, sent by nobody"
        when = f"{self.began}..{'' if self.ended is None else self.ended} ns"
        who = f"{self.process} in operation {self.op}"
        return f"value {self.value}{key} at {place}, sent by {who} ({self.outcome}, {when})"


@dataclass(frozen=True, slots=True)
class Act:
    """An operation that an example refers to."""

    op: int
    process: str
    action: str
    began: int
    ended: int | None
    outcome: str

    def __str__(self) -> str:
        when = f"{self.began}..{'' if self.ended is None else self.ended} ns"
        return f"operation {self.op}: {self.action} by {self.process} ({self.outcome}, {when})"


@dataclass(frozen=True, slots=True)
class Example:
    """One case of a finding: what is wrong, and the records and operations that show it."""

    text: str
    records: tuple[Record, ...] = ()
    acts: tuple[Act, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"    {each}" for each in (*self.records, *self.acts))])


@dataclass(frozen=True, slots=True)
class Finding:
    """All cases of one anomaly.

    Attributes:
        rule: the rule's name in the catalogue (`rules.RULES`), or of a workload's own rule.
        validity: what it makes of the verdict; `VALID` if it is allowed.
        why: for what is allowed or unknown: why.
        count: of all cases; the examples are the worst few.
    """

    rule: str
    validity: Validity
    count: int
    examples: tuple[Example, ...] = ()
    why: str = ""

    @property
    def is_allowed(self) -> bool:
        """Whether the system may do this."""
        return self.validity is Validity.VALID

    def __str__(self) -> str:
        told = {Validity.VALID: "allowed", Validity.INVALID: "NOT ALLOWED", Validity.UNKNOWN: "not known"}
        head = f"{self.rule}: {self.count}, {told[self.validity]}{f' ({self.why})' if self.why else ''}"
        return "\n".join([head, *(f"  {example}" for example in self.examples)])


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to: is this history right?

    Attributes:
        findings: what was found, worst first.
        checked: the names of the rules that looked, also of those that found nothing.
        metrics: numbers beside the verdict; see `metrics`.
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def validity(self) -> Validity:
        """The worst that a finding says."""
        return Validity.worst(finding.validity for finding in self.findings)

    def found(self, rule: str) -> int:
        """How many cases of a rule there are."""
        return sum(finding.count for finding in self.findings if finding.rule == rule)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {"validity": str(self.validity), **asdict(self)}

    def __str__(self) -> str:
        return "\n".join([str(self.validity).upper(), *(str(finding) for finding in self.findings)])


def verdict_of(
    findings: Iterable[Finding], checked: Iterable[str], metrics: Mapping[str, Any] | None = None
) -> Verdict:
    """A verdict with its findings worst first."""
    severity = {Validity.INVALID: 0, Validity.UNKNOWN: 1, Validity.VALID: 2}
    ordered = sorted(findings, key=lambda finding: (severity[finding.validity], finding.rule))
    return Verdict(tuple(ordered), tuple(checked), metrics or {})


def merged(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict of several, such as of a history, its fold and its invariants."""
    parts = list(verdicts)
    metrics: dict[str, Any] = {}
    for part in parts:
        metrics.update(part.metrics)
    return verdict_of(
        [finding for part in parts for finding in part.findings],
        [name for part in parts for name in part.checked],
        metrics,
    )
