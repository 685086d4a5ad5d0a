"""Runs cases of the catalogue, all on the same brokers, and says of each whether it was judged as it must."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from holdfast.chaos.controls.cases import Case
from holdfast.chaos.lab.embedded import EmbeddedLab
from holdfast.chaos.run.labs import lab_settings
from holdfast.chaos.run.result import RunResult
from holdfast.chaos.run.runner import Runner
from holdfast.chaos.run.settings import RunSettings, Untold
from holdfast.local.progress import Progress


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: which one.
        validity: the verdict: `valid`, `unknown`, `invalid`.
        found: how many cases of each rule were found.
        trouble: what went wrong in the run itself.
        published: events that were offered.
        unknown: records of which their senders do not know whether they were written.
        seconds: how long it took, from the first topic to the verdict.
    """

    case: Case
    validity: str
    found: Mapping[str, int]
    trouble: tuple[str, ...]
    published: int
    unknown: int
    seconds: float

    @property
    def is_as_due(self) -> bool:
        """Whether a mistake was caught by its rule, or what is right was not blamed."""
        if self.case.rule is None:
            return self.validity == "valid"
        return self.case.rule in self.found

    @classmethod
    def of(cls, case: Case, result: RunResult, seconds: float) -> Self:
        """Read it from a run."""
        found = {
            problem.rule: problem.count
            for invariant in result.invariants
            for problem in invariant.problems
            if problem.validity == "invalid"
        }
        errors = tuple(f"{fault.kind}: {fault.error}" for fault in result.faults if fault.error)
        published, unknown = (result.counts.get(name, 0) for name in ("published", "unknown"))
        return cls(case, result.validity, found, (*result.trouble, *errors), published, unknown, seconds)


class Gauntlet:
    """Brokers on which cases are run one after the other. Use it in a ``with`` statement.

    Args:
        folder: where the runs are kept.
        progress: told about the start of the brokers.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self._folder = folder
        self._progress = progress
        self._lab: EmbeddedLab | None = None
        self._runs = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, case: Case, seed: int = 0) -> Outcome:
        """Run a case, on topics of its own.

        Raises:
            HoldfastError: it could not be run.
        """
        experiment = case.experiment()
        if self._lab is None:
            lab = EmbeddedLab(lab_settings(experiment, seed), self._progress)
            self._lab = self._stack.enter_context(lab)
        self._runs += 1
        folder = self._folder / f"{self._runs:02}-{case.name}"
        settings = RunSettings(
            seed=seed,
            folder=folder,
            command=case.command(seed),
            prefix=f"r{self._runs}-",
            control=case.control,
        )
        began = time.monotonic()
        result = Runner(experiment, settings, Untold(), lab=self._lab).run()
        return Outcome.of(case, result, time.monotonic() - began)
