"""Which dead letters a command is about, as it was asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from holdfast.engine.letters import Letter
from holdfast.errors import LettersRefused
from holdfast.kafka.dispositions import Disposition

State = Literal["open", "redriven", "discarded"]

_PLACE: Final = re.compile(
    r"(?:(?P<topic>.+)\[(?P<inside>\d{1,10})\]|(?P<partition>\d{1,10}))@(?P<offset>\d{1,19})"
)
_AGO: Final = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Found:
    """A letter, and what became of it; None as long as nobody has dealt with it."""

    letter: Letter
    disposition: Disposition | None = None

    @property
    def state(self) -> State:
        """What became of it, in a word."""
        return "open" if self.disposition is None else self.disposition.what

    @property
    def at(self) -> int:
        """When it was set aside, in milliseconds since the epoch, as far as that is known."""
        return self.letter.last_failed or self.letter.timestamp


@dataclass(frozen=True, slots=True)
class Choice:
    """Letters that have all that is given.

    Attributes:
        processor: who set them aside.
        topic: the input of their records.
        error: a part of the cause's class or text, in capitals or not.
        since: set aside at this time or later, in milliseconds since the epoch.
        until: set aside before this time.
        key: the key of their records, as text; other bytes as a command line has them (PEP 383).
        state: what became of them; None for any.
        places: these and no others: partition and offset.
    """

    processor: str | None = None
    topic: str | None = None
    error: str | None = None
    since: int | None = None
    until: int | None = None
    key: str | None = None
    state: State | None = None
    places: frozenset[tuple[int, int]] = frozenset()

    @property
    def is_all(self) -> bool:
        """Whether nothing is given but a state."""
        return self == Choice(state=self.state)

    def takes(self, found: Found) -> bool:
        """Whether a letter is one of them."""
        letter = found.letter
        return (
            self.state in (None, found.state)
            and self.processor in (None, letter.processor)
            and self.topic in (None, letter.origin.topic)
            and (self.error is None or self.error.lower() in f"{letter.cause}: {letter.text}".lower())
            and (self.since is None or found.at >= self.since)
            and (self.until is None or found.at < self.until)
            and (self.key is None or letter.key == self.key.encode(errors="surrogateescape"))
            and (not self.places or letter.place[1:] in self.places)
        )


def parse_places(texts: Iterable[str], topic: str) -> frozenset[tuple[int, int]]:
    """Read letters' places, as `list` shows them: `3@17`, or with the topic.

    Args:
        texts: the places.
        topic: the dead letters' topic.

    Raises:
        LettersRefused: one is none, or is the place of a record in another topic.
    """
    found = set()
    for text in texts:
        match = _PLACE.fullmatch(text)
        if match is None:
            raise LettersRefused(
                f'"{text}" is no place of a dead letter: say partition and offset, as `holdfast dlq list` '
                "shows them (3@17)"
            )
        if match["topic"] not in (None, topic):
            raise LettersRefused(
                f'"{text}" is a place in {match["topic"]}, and dead letters are in {topic}: name a letter by '
                "its own place, the first column of `holdfast dlq list` (3@17). --topic and --key choose "
                "letters by their records"
            )
        found.add((int(match["inside"] or match["partition"]), int(match["offset"])))
    return frozenset(found)


def open_ones(choice: Choice, found: Iterable[Found]) -> tuple[list[Found], int]:
    """The letters of a choice that are open, and how many that it names are not.

    Args:
        choice: which letters.
        found: those of any state that it takes.

    Raises:
        LettersRefused: one that it names is not there.
    """
    letters = list(found)
    if missing := choice.places - {it.letter.place[1:] for it in letters}:
        names = ", ".join(f"{partition}@{offset}" for partition, offset in sorted(missing))
        raise LettersRefused(f"there is no such letter: {names}. Nothing was changed.")
    still = [it for it in letters if it.state == "open"]
    return still, len(letters) - len(still) if choice.places else 0


def parse_time(text: str | None, now: int) -> int | None:
    """Read a time: ISO 8601, in UTC if no zone is given, or how long ago (`90s`, `15m`, `2h`, `3d`).

    Args:
        text: the time.
        now: the present time, in milliseconds since the epoch.

    Raises:
        LettersRefused: it is none.
    """
    if text is None:
        return None
    if (ago := _AGO.fullmatch(text)) is not None:
        return now - int(ago[1]) * _UNITS_MS[ago[2]]
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise LettersRefused(
            f'"{text}" is no time: say 2026-11-21T10:00:00+01:00 (UTC if no zone is given), or how long '
            "ago: 2h"
        ) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
