"""Dead letters as rows of a table, and one of them whole."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.cli.rows import Column, fitting_table
from holdfast.errors import SinkRefused
from holdfast.kafka.topic_reader import as_text
from holdfast.runtime.letter_choice import Found

_LETTERS: Final = (
    Column("place", name=True),
    Column("age", right=True, name=True),
    Column("origin", name=True),
    Column("processor", name=True, drop=2),
    Column("key", drop=3, most=24),
    Column("tries", right=True, name=True),
    Column("state", drop=1),
    Column("cause", least=20),
)
_LETTERS_OF_ALL_STATES: Final = tuple(
    replace(column, drop=4) if column.title == "state" else column for column in _LETTERS
)
"""Where they differ in it, the state is the last to go."""

_TOTALS: Final = (
    Column("letters", right=True),
    Column("open", right=True),
    Column("processor", name=True),
    Column("cause", name=True),
)
_REFUSED: Final = re.compile(r"sink '([^']*)' refuses it: ")
"""How the text begins of what a sink refused."""

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but tabs and ends of lines."""


def letter_row(found: Found) -> dict[str, Any]:
    """A letter, for a program."""
    letter, done = found.letter, found.disposition
    return {
        "type": "letter",
        "place": letter.name,
        "processor": letter.processor,
        "topic": letter.origin.topic,
        "partition": letter.origin.partition,
        "offset": letter.origin.offset,
        "key": None if letter.key is None else as_text(letter.key),
        "cause": letter.cause,
        "text": letter.text,
        "attempts": letter.attempts,
        "first_failed": _iso(letter.first_failed),
        "last_failed": _iso(letter.last_failed),
        "parking": None if letter.parked is None else letter.parked.parking,
        "number": None if letter.parked is None else letter.parked.number,
        "state": found.state,
        "done_at": None if done is None else _iso(done.at),
        "done_by": None if done is None else done.by,
        "why": None if done is None else done.why,
    }


class Totals:
    """Counts letters by processor and class of cause."""

    def __init__(self) -> None:
        self._all: Counter[tuple[str, str]] = Counter()
        self._open: Counter[tuple[str, str]] = Counter()

    def count(self, found: Found) -> None:
        """Count a letter."""
        group = found.letter.processor, found.letter.cause
        self._all[group] += 1
        self._open[group] += found.state == "open"

    @property
    def total(self) -> int:
        """How many letters there are."""
        return self._all.total()

    def rows(self) -> Iterator[dict[str, Any]]:
        """The largest group first."""
        for (processor, cause), count in sorted(self._all.items(), key=lambda it: (-it[1], it[0])):
            yield {
                "type": "total",
                "processor": processor,
                "cause": cause,
                "letters": count,
                "open": self._open[processor, cause],
            }


def letters_table(console: Console, found: Iterable[Found], now: int, *, all_states: bool = False) -> Table:
    """Letters as a table that fits the console.

    Args:
        console: what it has to fit.
        found: the letters.
        now: the time, in milliseconds since the epoch.
        all_states: whether they were asked for whatever became of them.
    """
    columns = _LETTERS_OF_ALL_STATES if all_states else _LETTERS
    return fitting_table(console, columns, [_cells(it, now) for it in found])


def _cells(found: Found, now: int) -> tuple[str, ...]:
    letter = found.letter
    number = "" if letter.parked is None else f" no. {letter.parked.number}"
    return (
        letter.name,
        age(now - found.at),
        _cell(str(letter.origin)),
        _cell(letter.processor),
        "" if letter.key is None else _cell(as_text(letter.key) + number),
        str(letter.attempts),
        found.state,
        _cell(cause_in_one_line(found)),
    )


def _cell(text: str) -> str:
    return escape(visible(text))


def visible(text: str) -> str:
    """Text with control characters as escapes: what came with a record is to do nothing to a terminal."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def cause_in_one_line(found: Found) -> str:
    """The class of a cause, or the sink that refused it, and the first line of what that said."""
    kind = found.letter.cause.rpartition(".")[2]
    text = next(iter(found.letter.text.splitlines()), "")
    if kind == SinkRefused.__name__ and (refused := _REFUSED.match(text)):
        return f"{refused[1]}: {text[refused.end() :]}"
    return f"{kind}: {text}" if text else kind


def totals_table(console: Console, rows: Iterable[Mapping[str, Any]]) -> Table:
    """The totals as a table that fits the console."""
    cells = [
        (f"{row['letters']:,}", f"{row['open']:,}", _cell(row["processor"]), _cell(row["cause"]))
        for row in rows
    ]
    return fitting_table(console, _TOTALS, cells)


def whole_row(found: Found) -> dict[str, Any]:
    """All that is known of a letter, for a program."""
    letter = found.letter
    return {
        **letter_row(found),
        "timestamp": _iso(letter.timestamp),
        "headers": [[name, None if value is None else as_text(value)] for name, value in letter.headers],
        "value": None if letter.value is None else as_text(letter.value),
        "stacktrace": letter.stack,
    }


def whole_text(found: Found, now: int) -> str:
    """All that is known of a letter, for people."""
    letter, done = found.letter, found.disposition
    facts: list[tuple[str, str]] = [
        ("letter", str(letter.place)),
        ("processor", letter.processor),
        ("record", str(letter.origin)),
        ("key", "none" if letter.key is None else as_text(letter.key)),
        ("its time", _time(letter.timestamp, now)),
        ("set aside", _time(letter.last_failed, now)),
        ("at first", _time(letter.first_failed, now)),
        ("tries", str(letter.attempts)),
    ]
    if letter.parked is not None:
        facts.append(("parked", f"no. {letter.parked.number} of {letter.parked.parking}"))
    facts.append(("state", found.state))
    if done is not None:
        facts.append(("by", f"{done.by}, {_time(done.at, now)}"))
        facts += [("why", done.why)] if done.why else []
    facts.append(("cause", f"{letter.cause}: {letter.text}"))
    head = [f"{name:<11}{text}" for name, text in facts]
    own = [f"  {name}: {'' if value is None else as_text(value)}" for name, value in letter.headers]
    headers = ["", "headers", *own] if own else []
    return visible(
        "\n".join(
            [*head, *headers, "", "value", pretty(letter.value), "", "stack trace", letter.stack.rstrip()]
        )
    )


def pretty(value: bytes | None) -> str:
    """A value, indented if it is JSON."""
    if value is None:
        return "  none: the record is a tombstone"
    try:
        text = json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except ValueError:
        text = as_text(value)
    return "\n".join(f"  {line}" for line in text.splitlines())


def age(ms: int) -> str:
    """How long ago something was, in its largest unit."""
    seconds = max(ms, 0) // 1_000
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _time(ms: int | None, now: int) -> str:
    return "not known" if ms is None else f"{_at(ms):%Y-%m-%d %H:%M:%S} UTC ({age(now - ms)} ago)"


def _iso(ms: int | None) -> str | None:
    return None if ms is None else _at(ms).isoformat()


def _at(ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        # A foreign producer may have written any number.
        return datetime.fromtimestamp(0, UTC)


def newest(found: Sequence[Found]) -> list[Found]:
    """Letters, the newest first."""
    return sorted(found, key=lambda it: (it.at, it.letter.place), reverse=True)
