"""Dead letters go back to their processors, or are given up: what `holdfast dlq redrive` and `discard` do.

First the transactional id is taken over: from then on nobody else deals with letters of this application.
Then it is looked who may take what, and where the shards stand; only then the letters are read that are still
open, and written, each together with the note that it was dealt with. So a command that is killed, or run
twice, has done for each letter all of it or nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from holdfast.engine.letters import Letter, gaps_before, in_order
from holdfast.engine.redriven import Hold
from holdfast.kafka.dispositions import Deed, Disposition
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.letter_writer import Addressed, LetterWriter
from holdfast.record import Output, Position, TopicPartition
from holdfast.runtime.letter_box import LetterBox
from holdfast.runtime.letter_choice import Choice, Found, open_ones
from holdfast.runtime.letter_takers import Standing, look_at, require_takers
from holdfast.topology import ProcessorDecl, Topology

BATCH: Final = 500
"""Letters in one transaction, at the most."""

BATCH_S: Final = 0.5
"""Seconds that a transaction takes to fill when a rate is given."""

_HOLD_MS: Final = 10_000
_LOOK_S: Final = 0.1


@dataclass(slots=True)
class Done:
    """What a command did.

    Attributes:
        letters: letters that were dealt with, by processor.
        left_out: letters that were named, and that somebody had dealt with already.
        failed: after a wait: letters of records that failed again.
        waiting: after a wait: letters that still wait for others of their keys.
        is_late: whether the wait ended before all was handled.
    """

    letters: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    failed: list[Letter] = field(default_factory=list)
    waiting: int = 0
    is_late: bool = False


class Redriver:
    """Deals with letters, as the only one.

    Args:
        declared: the application.
        servers: the brokers.
        box: its letters.
        writer: writes; it has taken over the application's id.
        by: who does it: user and machine.
        new_keys: whether systems outside are to take the records for others than those that were set aside.
        pacer: begins to keep a rate: gives what is called before each letter, and sleeps. None without one.

    Attributes:
        done: what was done so far.
    """

    def __init__(
        self,
        declared: Topology,
        servers: str,
        box: LetterBox,
        writer: LetterWriter,
        *,
        by: str,
        new_keys: bool = False,
        pacer: Callable[[], Callable[[], None]] | None = None,
    ) -> None:
        self.done = Done()
        self._declared = declared
        self._servers = servers
        self._box = box
        self._writer = writer
        self._by = by
        self._new_keys = new_keys
        self._pacer = pacer
        self._takers: dict[str, ProcessorDecl] = {}
        self._ends: dict[tuple[str, TopicPartition], int] = {}
        self._sent: list[Letter] = []

    def redrive(self, choice: Choice) -> None:
        """Give letters back that are open.

        Raises:
            LettersRefused: some cannot be given back, or somebody else has begun to do the same.
            ClusterError: the brokers fail.
        """
        self._takers = require_takers(self._declared, self._named(choice))
        self._send(lambda letter: choice.takes(Found(letter)), _Deed("redriven"))

    def discard(self, choice: Choice, why: str) -> None:
        """Give letters up that are open. What waits for them in parked keys waits no longer.

        Raises:
            LettersRefused: those who park keys cannot hear of it, or somebody else has begun to do the same.
            ClusterError: the brokers fail.
        """
        parked = {letter.processor for letter in self._named(choice) if letter.parked is not None}
        self._takers = {
            name: it for name, it in self._declared.native.items() if name in parked and it.parks_keys
        }
        self._send(lambda letter: choice.takes(Found(letter)), _Deed("discarded", why))

    def _named(self, choice: Choice) -> list[Letter]:
        """The open ones of a choice.

        Raises:
            LettersRefused: one that was named is not there.
        """
        still, self.done.left_out = open_ones(choice, self._box.find(replace(choice, state=None)))
        return [it.letter for it in still]

    def _send(self, takes: Callable[[Letter], bool], deed: _Deed) -> None:
        """Write what is open now, after it was looked where the shards stand."""
        places = self._places()
        wanted, parked = [], []
        for found in self._box.find(Choice(state="open"), "record"):
            if found.letter.parked is not None:
                parked.append(replace(found.letter, value=None, headers=()))
            if takes(found.letter) and (deed.what == "discarded" or found.letter.processor in places):
                wanted.append(found.letter)
        if deed.what == "redriven":
            # There may be more by now.
            require_takers(self._declared, wanted)
        gaps = gaps_before(parked)
        batch: list[tuple[Letter, list[Addressed]]] = []
        began = time.monotonic()
        # From now on: what it took to read letters is not made up for.
        pace = self._pacer() if self._pacer is not None else None
        for letter in in_order(wanted):
            if pace is not None:
                pace()
            where = places.get(letter.processor)
            is_idle = where is not None and letter.origin.partition in where.idle
            after = gaps.get(letter.place) if is_idle else None
            batch.append((letter, self._records(letter, deed, after, is_sent=where is not None)))
            if len(batch) >= BATCH or (pace is not None and time.monotonic() - began > BATCH_S):
                self._write(batch)
                batch, began = [], time.monotonic()
        self._write(batch)

    def _places(self) -> dict[str, Standing]:
        with GroupAdmin(self._servers, self._declared.kafka) as admin:
            return {
                name: look_at(self._declared, owner, self._servers, admin)
                for name, owner in self._takers.items()
            }

    def _records(self, letter: Letter, deed: _Deed, after: int | None, *, is_sent: bool) -> list[Addressed]:
        note = Disposition(deed.what, int(time.time() * 1000), self._by, deed.why)
        noted = Addressed(note.record(self._declared.dispositions_topic, letter.place[1:], self._box.id))
        is_discarded = deed.what == "discarded"
        if not is_sent or (is_discarded and letter.parked is None):
            return [noted]
        record = letter.redriven(
            self._declared.redrive_topic, discarded=is_discarded, after=after, new_key=self._new_keys
        )
        return [Addressed(record, letter.origin.partition), noted]

    def _write(self, batch: Sequence[tuple[Letter, list[Addressed]]]) -> None:
        if not batch:
            return
        ends = self._writer.write([record for _, records in batch for record in records])
        for letter, _ in batch:
            self.done.letters[letter.processor] += 1
            place = TopicPartition(self._declared.redrive_topic, letter.origin.partition)
            if place in ends:
                self._ends[letter.processor, place] = ends[place]
        self._sent += [replace(letter, value=None, headers=()) for letter, _ in batch]

    # -- until the keys are free

    def wait(self, seconds: float) -> None:
        """Wait until what was redriven is handled, and redrive what came meanwhile to keys that are parked.

        A key that gets records all the time would never be free: what comes while its letters are under way
        is parked again. So after the first round its shard reads no further until the rest is handled.

        Args:
            seconds: how long.

        Raises:
            LettersRefused: somebody else has begun to deal with letters.
            ClusterError: the brokers fail.
        """
        deadline = time.monotonic() + seconds
        keys = {letter.owner for letter in self._sent if letter.parked is not None}
        self._await_handled(deadline)
        rest = self._look_back(keys)
        before: set[Position] = set()
        # What comes back as it went waits for a letter that was not chosen.
        while rest and not self.done.is_late and {it.origin for it in rest} != before:
            before = {it.origin for it in rest}
            shards = {(it.processor, it.origin.partition) for it in rest}
            self._hold(shards, _HOLD_MS)
            self._await_handled(deadline)
            self._send(_Waiting(frozenset(keys)), _Deed("redriven"))
            self._hold(shards, 0)
            self._await_handled(deadline)
            rest = self._look_back(keys)

    def _look_back(self, keys: set[tuple[str, int, bytes | None]]) -> list[Letter]:
        """See what became of that which was redriven.

        Args:
            keys: the parked keys that are to be free; those of which a record failed again are taken out.

        Returns:
            What still waits, of the others.
        """
        origins = {letter.origin for letter in self._sent}
        left = [it for it in self._open_letters() if it.owner in keys or it.origin in origins]
        self.done.failed = [it for it in left if not it.is_waiting and it.origin in origins]
        self.done.waiting = sum(it.is_waiting for it in left)
        keys -= {it.owner for it in self.done.failed}
        return [it for it in left if it.is_waiting and it.owner in keys]

    def _open_letters(self) -> list[Letter]:
        found = self._box.find(Choice(state="open"))
        return [it.letter for it in found if it.letter.processor in self._takers]

    def _hold(self, shards: Collection[tuple[str, int]], ms: int) -> None:
        topic = self._declared.redrive_topic
        records = [
            Addressed(Output(topic, None, None, 0, Hold(ms).headers(processor)), shard)
            for processor, shard in sorted(shards)
        ]
        ends = self._writer.write(records)
        for processor, shard in shards:
            place = TopicPartition(topic, shard)
            self._ends[processor, place] = ends[place]

    def _await_handled(self, deadline: float) -> None:
        """Wait until the shards have handled what was written, or the time is over."""
        with GroupAdmin(self._servers, self._declared.kafka) as admin:
            while not self._is_handled(admin):
                if time.monotonic() > deadline:
                    self.done.is_late = True
                    return
                time.sleep(_LOOK_S)

    def _is_handled(self, admin: GroupAdmin) -> bool:
        for name, owner in self._takers.items():
            ends = {place: end for (processor, place), end in self._ends.items() if processor == name}
            stands = admin.committed(owner.group_id, list(ends)) if ends else {}
            if any((stands[place] or 0) < end for place, end in ends.items()):
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Chooses letters that wait for others of these keys."""

    keys: frozenset[tuple[str, int, bytes | None]]

    def __call__(self, letter: Letter) -> bool:
        return letter.is_waiting and letter.owner in self.keys


@dataclass(frozen=True, slots=True)
class _Deed:
    """What is done with letters."""

    what: Deed
    why: str | None = None
