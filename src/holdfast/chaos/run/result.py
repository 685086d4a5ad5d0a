"""What a run was, what happened in it, and what it showed: everything that a report needs, as plain values.

Times are seconds since time 0, when the steady state had held for the first time; earlier ones are negative.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

FILE_NAME = "run.json"
OWN_CHECK = "check: "
"""How the rule of a problem begins that a check of the application's own found; its name follows."""

VALIDITIES = ("valid", "unknown", "invalid")
"""What an invariant, and what was found, can be."""

FORMAT = 1
"""Of the file: raised when an older reader would misread it."""


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """A fault that was tried.

    Attributes:
        kind: such as `broker.kill`.
        target: whom it was aimed at, as the experiment says it.
        hit: who that was: brokers, workers, links, sinks.
        began: when it was begun.
        ended: when it was undone; equal to `began` for an instant, None if it was not undone in order.
        evidence: what shows that it happened, and that it is over.
        error: why it did not happen, or could not be undone; empty if all went well.
    """

    kind: str
    target: str
    hit: tuple[str, ...]
    began: float
    ended: float | None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def doubt(self) -> str:
        """Why it shows nothing, or more than was asked for; empty if it was done and undone in order."""
        if self.error:
            return self.error
        if not self.evidence:
            return "nothing shows that it happened"
        return "it was not undone" if self.ended is None else ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The output of one interval, as a reader of committed records saw it.

    Attributes:
        at: its end.
        seconds: its length.
        published: events that were handed to the brokers' client in it.
        committed: outputs that became visible in it.
        latency_ms: from the publication of an input to its output being visible: p50, p95 and max of the
            outputs of the interval; None where there were none.
        lag: records that wait, by shard; shorter than the shards are if nobody could be asked.
        silent_s: for how long the most silent partition of the output has shown nothing.
    """

    at: float
    seconds: float
    published: int
    committed: int
    latency_ms: tuple[float, float, float] | None
    lag: tuple[int, ...] = ()
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was in one state for a while.

    Attributes:
        subject: what: a shard (`3`), a partition (`orders/3`), a breaker.
        state: who had it, or what state it was in.
        began: since when.
        ended: until when; None until the end of the run.
    """

    subject: str
    state: str
    began: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """How the output went through one fault.

    Attributes:
        fault: its place in `RunResult.faults`.
        detection: seconds from the fault until somebody else had a part of the work (owner of a shard, leader
            of a partition); None if nobody took over.
        longest_gap: the longest time that a partition of the output showed nothing, in seconds, of those
            times that touch the fault or what followed it until the next one.
        back_to_normal: seconds from the fault's begin until every partition was fresh again, and stayed so
            for a second; None if it did not become so before the next fault or the end. What comes later,
            such as when a broker that was killed comes back, shows in `longest_gap`.
    """

    fault: int
    detection: float | None
    longest_gap: float
    back_to_normal: float | None


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """All cases of one thing that is wrong, or that is allowed and told.

    Attributes:
        rule: the rule that found it.
        validity: `valid` (it is allowed), `unknown`, `invalid`.
        count: of all cases.
        examples: a few of them, each with the records that show it.
        why: why it is allowed, or not known.
    """

    rule: str
    validity: str
    count: int
    examples: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class InvariantResult:
    """What became of one claim of the experiment.

    Attributes:
        name: of the invariant.
        validity: `valid`, `unknown` or `invalid`.
        looked_at: how much it looked at, in words.
        problems: what it found.
    """

    name: str
    validity: str
    looked_at: str = ""
    problems: tuple[FoundProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class RunResult:
    """A whole run.

    Attributes:
        experiment: its name.
        description: what it shows.
        file: the experiment's file, as it was named.
        seed: which of its runs.
        command: what repeats it.
        began: when it began, ISO 8601 in UTC.
        machine: the machine in words.
        versions: of what was tested, by name.
        workload: what was done: kind, engine, rate, keys, partitions, workers, ...
        load_s: for how long events were offered.
        whole_s: how long all of it took, from the first start to the verdict.
        counts: how many events were published, acknowledged, of unknown fate, put out, ...
        invariants: what became of each claim.
        trouble: what went wrong in the run itself: an abort, a steady state that did not come.
        faults: what was done.
        recovery: how the output went through it.
        samples: what the output was.
        owners: who had which shard.
        leaders: who led which partition of the input.
        breakers: states of circuit breakers.
        shards: whose lag the samples tell, in their order; empty for shards 0, 1, ... of the only group.
    """

    experiment: str
    description: str
    file: str
    seed: int
    command: str
    began: str
    machine: str
    versions: Mapping[str, str]
    workload: Mapping[str, Any]
    load_s: float
    whole_s: float
    counts: Mapping[str, int]
    invariants: tuple[InvariantResult, ...]
    trouble: tuple[str, ...] = ()
    faults: tuple[FaultSpan, ...] = ()
    recovery: tuple[Recovery, ...] = ()
    samples: tuple[Sample, ...] = ()
    owners: tuple[Span, ...] = ()
    leaders: tuple[Span, ...] = ()
    breakers: tuple[Span, ...] = ()
    shards: tuple[str, ...] = ()

    @property
    def went_wrong(self) -> tuple[str, ...]:
        """What went wrong in the run itself, its faults included."""
        return (*self.trouble, *(f"{it.kind} ({it.target}): {it.doubt}" for it in self.faults if it.doubt))

    @property
    def validity(self) -> str:
        """The verdict: the worst of all invariants; unknown at best if the run itself went wrong."""
        found = {invariant.validity for invariant in self.invariants}
        if "invalid" in found:
            return "invalid"
        failed = any(fault.doubt for fault in self.faults)
        unsure = self.trouble or "unknown" in found or not found or failed
        return "unknown" if unsure else "valid"

    def save(self, folder: Path) -> Path:
        """Write it into a run's folder."""
        path = folder / FILE_NAME
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it from a file, or from a run's folder.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no result of a run, or one of another format, or parts of it are missing or of
                other kinds; says which.
        """
        path = path / FILE_NAME if path.is_dir() else path
        content = path.read_bytes()
        raw = from_json(content)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise ValueError(f"it is no result of a run of format {FORMAT}")
        _require_keys(raw)
        try:
            result = TypeAdapter(cls).validate_json(content, strict=True)
        except ValidationError as error:
            raise ValueError(_first_of(error)) from None
        result._require_sense()
        return result

    def _require_sense(self) -> None:
        """Refuse what has the right types, and that no run has written.

        Raises:
            ValueError: says what.
        """
        found = [each.validity for each in self.invariants]
        found += [problem.validity for each in self.invariants for problem in each.problems]
        if strange := set(found).difference(VALIDITIES):
            raise ValueError(f"invariants: no verdict is called {sorted(strange)[0]!r}")
        if any(not 0 <= each.fault < len(self.faults) for each in self.recovery):
            raise ValueError("recovery: one is that of a fault which there is not")


def _require_keys(raw: Mapping[str, Any]) -> None:
    """Refuse a file that lacks a part, which would be taken for an empty one, or has one that is not known.

    Raises:
        ValueError: says which.
    """
    known = {each.name for each in fields(RunResult)}
    # Files that were written before there were shards of several groups have none.
    if lacking := sorted(known - raw.keys() - {"shards"}):
        raise ValueError(f"it has no {', '.join(lacking)}")
    if strange := sorted(raw.keys() - known - {"format"}):
        raise ValueError(f"it has parts that are not known: {', '.join(strange)}")


def _first_of(error: ValidationError) -> str:
    """The first thing that is wrong in a file, with its place."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
