"""Who has which part of the work over time: owners of shards, leaders of partitions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any, Self

from holdfast.chaos.run.result import Span
from holdfast.chaos.workloads.groups import GroupPlan

NOBODY = "nobody"

PAUSE_S = 0.5
"""Seconds from the end of an observer to the start of the next."""

VAIN_LIVES = 5
"""An observer that ends so often in a row without a look is told, as it will hardly ever have one."""

_OBSERVER = (sys.executable, "-m", "holdfast.chaos.run.observer")
_LINES = 3
_TAIL = 4_096


def subject_of(label: str, shard: int) -> str:
    """What a shard of a group is called: its number, after the group's label if there are several."""
    return f"{label} {shard}" if label else str(shard)


def asked_of(servers: str, source: str, groups: Sequence[GroupPlan]) -> dict[str, Any]:
    """What an observer is asked: the leaders of a topic, and the owners and the lag of some groups."""
    return {"servers": servers, "topic": source, "groups": [asdict(group) for group in groups]}


def shards_of(groups: Sequence[GroupPlan]) -> tuple[str, ...]:
    """The shards that a look at the lag tells of, in its order."""
    busy = (group for group in groups if group.inputs)
    return tuple(subject_of(group.label, shard) for group in busy for shard in range(group.source.partitions))


class Holders:
    """Who holds each of some things, as intervals. Pure.

    Attributes:
        spans: subject, holder, since, until (None for what lasts), on the clock of the calls.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, float, float | None]] = []
        self._open: dict[str, int] = {}

    def see(self, holders: Mapping[str, str], at: float) -> None:
        """Take a look at who has what; what is not named is as it was."""
        for subject, holder in holders.items():
            place = self._open.get(subject)
            if place is not None:
                _, before, since, _ = self.spans[place]
                if before == holder:
                    continue
                self.spans[place] = (subject, before, since, at)
            self._open[subject] = len(self.spans)
            self.spans.append((subject, holder, at, None))

    def holder(self, subject: str) -> str | None:
        """Who has something, as it was last seen; None if nobody was seen with it."""
        place = self._open.get(subject)
        return None if place is None else self.spans[place][1]

    def changed(self, since: float, until: float) -> float | None:
        """When something that somebody had first went to somebody else, within some time."""
        last: dict[str, str] = {}
        for subject, holder, began, _ in self.spans:
            before = last.get(subject)
            if holder == NOBODY:
                continue
            last[subject] = holder
            if before is not None and before != holder and since < began <= until:
                return began
        return None

    def as_spans(self, zero: float) -> tuple[Span, ...]:
        """The intervals for the report, in seconds since `zero`."""
        return tuple(
            Span(subject, holder, began - zero, None if ended is None else ended - zero)
            for subject, holder, began, ended in self.spans
        )


class Observation:
    """What an observer sees, kept up by a thread of its own. Use it in a ``with`` statement.

    Args:
        asked: what the observer is to look at; see `asked_of`.

    Attributes:
        owners: who had which shard.
        leaders: who led which partition.
        lag: records that wait, by shard, as they were last seen; empty if that is not known.
        mistakes: what the observer could not do, and should have, in words.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._asked = asked
        self.owners = Holders()
        self.leaders = Holders()
        self.lag: tuple[int, ...] = ()
        self.mistakes: dict[str, None] = {}
        self._drained_since = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._observe, name="observation", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()
            if self._process is not None:
                self._process.kill()
        self._thread.join()

    def is_drained(self, since: float) -> bool:
        """Whether a look that began after `since` (monotonic) saw nothing left to be handled."""
        return not any(group["inputs"] for group in self._asked["groups"]) or self._drained_since >= since

    def _observe(self) -> None:
        in_vain = 0
        while not self._over.is_set():
            with tempfile.TemporaryFile() as said:
                in_vain = 0 if self._listen(said) else in_vain + 1
                if in_vain == VAIN_LIVES and not self._over.is_set():
                    text = f"it has ended {in_vain} times without a look: {_last_lines(said)}"
                    self.mistakes |= {text: None}
            # One that ends at once must not keep a core busy, of which the workers have few.
            self._over.wait(PAUSE_S)

    def _listen(self, said: IO[bytes]) -> bool:
        """Have an observer until it ends, whose complaints go to a file; return whether it told of a look."""
        with self._lock:
            if self._over.is_set():
                return False
            self._process = process = subprocess.Popen(
                [*_OBSERVER, json.dumps(self._asked)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
            )
        has_told = False
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                has_told = self._take(line) or has_told
        return has_told

    def _take(self, line: bytes) -> bool:
        """Take a line of the observer's; False if it is torn, which its last one may be."""
        try:
            look = json.loads(line)
        except json.JSONDecodeError:
            return False
        # Whatever is wrong with one look, this thread is the only one that takes the others.
        try:
            self._see(look)
        except Exception as error:  # noqa: BLE001
            self.mistakes |= {f"a look of it cannot be understood: {error!r}": None}
        return True

    def _see(self, look: Mapping[str, Any]) -> None:
        if "owners" in look:
            self.owners.see(look["owners"], look["at"])
        elif "leaders" in look:
            self.leaders.see(look["leaders"], look["at"])
        elif "mistake" in look:
            self.mistakes |= {look["mistake"]: None}
        else:
            self.lag = tuple(look["lag"])
            if look["drained"]:
                self._drained_since = look["began"]


def _last_lines(said: IO[bytes]) -> str:
    """The end of what a process complained of, in one line."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - _TAIL))
    lines = said.read().decode(errors="replace").split("\n")
    told = [line.strip() for line in lines if line.strip()]
    return " | ".join(told[-_LINES:]) or "it said nothing"
