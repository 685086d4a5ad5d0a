"""How an experiment is run, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdfast.chaos.clients.loop.orders import Control
from holdfast.chaos.run.nemesis import Done
from holdfast.chaos.workloads.base import Offering
from holdfast.topology import ResolvedTopology


class Told(Protocol):
    """Told how a run goes on."""

    def phase(self, name: str) -> None:
        """Something new begins, in words."""

    def tick(self, at: float, load: Offering, done: list[Done], lag: int) -> None:
        """How it is, `at` seconds after time 0."""


class Untold:
    """Nobody is told how a run goes on."""

    def phase(self, name: str) -> None:
        """Whatever begins."""

    def tick(self, at: float, load: Offering, done: list[Done], lag: int) -> None:
        """However it is."""


@dataclass(frozen=True)
class RunSettings:
    """How an experiment is run.

    Attributes:
        seed: which of its runs.
        folder: where everything of the run is kept.
        command: what repeats it.
        prefix: begins the names of its topics and groups, so that runs can share brokers.
        control: what is done on purpose to the engines that are loops.
        application: what the workload `application` is about, as `require_possible` has read it.
    """

    seed: int
    folder: Path
    command: str
    prefix: str = ""
    control: Control = Control()  # noqa: RUF009 # frozen
    application: ResolvedTopology | None = None
