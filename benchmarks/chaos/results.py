"""What is kept of each run of a series: one line of JSON, small enough for the repository."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from benchmarks.chaos.plan import ROOT, Kind
from holdfast.chaos.run.result import RunResult


@dataclass(frozen=True, slots=True)
class KeptRecovery:
    """How the output went through one fault.

    Attributes:
        fault: its kind and target.
        back_to_normal: seconds; None where the next fault came before it was known.
        longest_gap: seconds.
    """

    fault: str
    back_to_normal: float | None
    longest_gap: float


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One run of a series.

    Attributes:
        workload: its kind.
        engine: what processed it.
        seed: which of its runs.
        began: when, ISO 8601 in UTC.
        commit: of this repository; ends with `+` if something was changed in it.
        machine: in words.
        validity: the verdict.
        trouble: what went wrong in the run itself, faults included.
        problems: what the rules found, and how often.
        counts: events that were published, of unknown fate, ...
        faults: how many were done.
        recovery: how the output went through them.
    """

    workload: str
    engine: str
    seed: int
    began: str
    commit: str
    machine: str
    validity: str
    trouble: tuple[str, ...]
    problems: Mapping[str, int]
    counts: Mapping[str, int]
    faults: int
    recovery: tuple[KeptRecovery, ...]

    @classmethod
    def of(cls, result: RunResult, kind: Kind, commit: str) -> Self:
        """What is kept of a run.

        Args:
            result: what it was.
            kind: its workload and engine.
            commit: what was tested.
        """
        faults = result.faults
        return cls(
            workload=kind.workload,
            engine=kind.engine,
            seed=result.seed,
            began=result.began,
            commit=commit,
            machine=result.machine,
            validity=result.validity,
            trouble=result.went_wrong,
            problems={
                problem.rule: problem.count
                for invariant in result.invariants
                for problem in invariant.problems
                if problem.validity != "valid"
            },
            counts=dict(result.counts),
            faults=sum(not each.error for each in faults),
            recovery=tuple(
                KeptRecovery(
                    fault=f"{faults[each.fault].kind} {faults[each.fault].target}".strip(),
                    back_to_normal=_rounded(each.back_to_normal),
                    longest_gap=round(each.longest_gap, 2),
                )
                for each in result.recovery
            ),
        )


class Results:
    """The file that they are in, one in a line, the last one of a seed being the one that counts.

    Args:
        path: of the file; there need not be one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[KeptRun]:
        """All runs, in the order in which they were done.

        Raises:
            ValueError: a line is no run; says which.
        """
        if not self._path.exists():
            return []
        adapter, runs = TypeAdapter(KeptRun), {}
        for number, line in enumerate(self._path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                run = adapter.validate_json(line)
            except ValidationError as error:
                raise ValueError(f"{self._path}:{number}: this is no run of a series: {error}") from None
            runs[run.workload, run.engine, run.seed] = run
        return list(runs.values())

    def has(self, kind: Kind, seed: int) -> bool:
        """Whether that run was brought to its end."""
        return any(
            (run.workload, run.engine, run.seed) == (kind.workload, kind.engine, seed) for run in self.read()
        )

    def add(self, run: KeptRun) -> None:
        """Write one more line."""
        with self._path.open("ab") as file:
            file.write(to_json(asdict(run)) + b"\n")


def commit_here() -> str:
    """The commit of this checkout; with `+` if a file of it was changed."""
    told = [
        subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        for command in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    ]
    return f"{told[0]}{'+' if told[1] else ''}"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
