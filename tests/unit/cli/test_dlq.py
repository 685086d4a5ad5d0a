"""Dead letters as people and programs see them, and what `holdfast dlq` refuses before it asks any broker."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.cli.dlq_view import (
    Totals,
    age,
    cause_in_one_line,
    letter_row,
    letters_table,
    newest,
    pretty,
    totals_table,
    whole_row,
    whole_text,
)
from holdfast.cli.rows import print_table
from holdfast.engine.redriven import Parked
from holdfast.kafka.dispositions import Disposition
from holdfast.record import Position
from holdfast.runtime.letter_choice import Found
from tests.support.command import holdfast
from tests.unit.runtime.test_letter_choice import LETTER

HOUR = 3_600_000
NOW = 50 * HOUR
PARKED = replace(LETTER, parked=Parked("measured[1]@5/7", 2), attempts=3, headers=(("trace", b"\xff1"),))
DISCARDED = Found(PARKED, Disposition("discarded", NOW - HOUR, "ann@here", "a test device"))


def printed(table: object, width: int = 200) -> str:
    """A table as a terminal shows it."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_table(table, console)  # type: ignore[arg-type]
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def console(width: int = 200) -> Console:
    """A terminal."""
    return Console(file=io.StringIO(), width=width, force_terminal=True)


def test_a_letter_is_a_line() -> None:
    """With where it stands and how long, which record it is, and why."""
    text = printed(letters_table(console(), [Found(LETTER), DISCARDED], NOW))
    _, first, second = (line.split() for line in text.splitlines())
    assert " ".join(first) == "3@17 2 d measured[1]@5 convert a 1 open ValueError: a cannot be that cold"
    assert " ".join(second).startswith("3@17 2 d measured[1]@5 convert a no. 2 3 discarded ValueError")


LONG = replace(
    LETTER,
    processor="order-history",
    key=b"customer-1234",
    origin=Position("order-events", 11, 1_234_567),
    attempts=3,
    text="the order is of a customer that nobody has told of; " * 5,
)


@pytest.mark.parametrize("width", [60, 80, 120, 239])
def test_a_long_cause_gives_way_and_no_column_by_which_one_goes_on(width: int) -> None:
    """A line for each letter, with place, age, origin and tries as they are, and the cause's beginning."""
    text = printed(letters_table(console(width), [Found(LONG), Found(LETTER)], NOW), width)
    head, line, _ = text.splitlines()
    assert set(head.split()) >= {"place", "age", "origin", "tries", "cause"}
    cells = line.split()
    assert cells[:4] == ["3@17", "2", "d", "order-events[11]@1234567"]
    assert "3" in cells
    assert "ValueError: " in line
    assert line.rstrip().endswith("…")


def test_a_terminal_of_120_columns_shows_all_columns_of_letters() -> None:
    """Whatever length the causes have; at 80 the key is there, and the totals have the processor."""
    wide = printed(letters_table(console(120), [Found(LONG)], NOW), 120).splitlines()
    assert wide[0].split() == ["place", "age", "origin", "processor", "key", "tries", "state", "cause"]
    narrow = printed(letters_table(console(80), [Found(LONG)], NOW), 80).splitlines()
    assert narrow[0].split() == ["place", "age", "origin", "key", "tries", "cause"]


REFUSED = replace(
    LONG,
    cause="holdfast.errors.SinkRefused",
    text="sink 'db' refuses it: value too long for type character varying(10) [22001]",
)


def test_what_a_sink_refused_begins_with_the_cause() -> None:
    """The same words before each of them left no room for it; `show` and programs have them."""
    told = "value too long for type character varying(10) [22001]"
    assert cause_in_one_line(Found(REFUSED)) == f"db: {told}"
    other = replace(REFUSED, text="sink 'mailer': POST /mails was answered with 400")
    assert cause_in_one_line(Found(other)).startswith("SinkRefused: sink 'mailer': POST")
    assert f"sink 'db' refuses it: {told}" in whole_text(Found(REFUSED), NOW)
    assert letter_row(Found(REFUSED))["text"] == REFUSED.text


def test_a_long_key_is_cut_before_the_cause() -> None:
    """And whole where there is room for both."""
    key = "customer-[0123456789]-0123456789"
    found = Found(replace(REFUSED, key=key.encode()))
    narrow = printed(letters_table(console(130), [found], NOW), 130)
    assert f"{key[:23]}…" in narrow
    assert key not in narrow
    assert key in printed(letters_table(console(200), [found], NOW), 200)


@pytest.mark.parametrize("width", range(60, 120))
def test_the_state_is_the_last_to_go_where_states_differ(width: int) -> None:
    """It is what `--state all` is for."""
    table = letters_table(console(width), [Found(LONG), DISCARDED], NOW, all_states=True)
    head = printed(table, width).splitlines()[0].split()
    assert "state" in head or not {"processor", "key"} & set(head)
    assert width < 80 or "state" in head


def test_a_terminal_that_is_too_narrow_for_an_origin_breaks_it() -> None:
    """Nothing but the cause is cut."""
    text = printed(letters_table(console(40), [Found(LONG)], NOW), 40)
    head, *lines = text.splitlines()
    assert head.split() == ["place", "age", "origin", "tries", "cause"]
    assert "3@17" in lines[0]
    assert "order-events[11]@1234567" in "".join(line[12:].split(" ")[0] for line in lines)


@pytest.mark.parametrize("width", range(40, 130))
def test_no_terminal_cuts_what_stands_beside_a_cause(width: int) -> None:
    """Also where it nearly fits."""
    for letter in (LONG, replace(LONG, text="short")):
        text = printed(letters_table(console(width), [Found(letter)], NOW), width)
        head, first, *more = text.splitlines()
        assert head.split()[0:3] == ["place", "age", "origin"]
        assert first.startswith("3@17   2 d  order-events")
        assert first[12:].split()[0] + "".join(more).strip() == "order-events[11]@1234567"
        assert max(map(len, text.splitlines())) <= width


def test_nothing_is_cut_where_there_is_no_terminal() -> None:
    """However long a cause is."""
    pipe = Console(file=io.StringIO(), width=80)
    print_table(letters_table(pipe, [Found(replace(LONG, text="x" * 20_000))], NOW), pipe)
    assert isinstance(pipe.file, io.StringIO)
    assert "x" * 20_000 in pipe.file.getvalue()


def test_a_cause_of_many_lines_is_shown_by_its_first() -> None:
    """All of it is in `show`."""
    assert cause_in_one_line(Found(replace(LETTER, text="x" * 500 + "\nmore"))) == f"ValueError: {'x' * 500}"
    assert cause_in_one_line(Found(replace(LETTER, text=""))) == "ValueError"


def test_what_came_with_a_record_does_nothing_to_a_terminal() -> None:
    """Its control characters are shown as escapes, in the list and in all that is shown of one."""
    text = "\x1b[2Jred\r\x9b31m\ttab ü"
    found = Found(replace(LETTER, text=text, key=text.encode(), value=text.encode(), stack=f"a\n{text}"))
    shown = whole_text(found, NOW)
    line = printed(letters_table(console(300), [found], NOW), 300)
    assert not set(shown + line) & {"\x1b", "\r", "\x9b"}
    assert line.count(r"\x1b[2Jred") == 2
    assert shown.count(r"\x1b[2Jred") == 4
    assert "tab ü" in shown


def test_totals_are_by_processor_and_cause() -> None:
    """The largest first, with how many are open."""
    totals = Totals()
    for found in (Found(LETTER), DISCARDED, Found(replace(LETTER, cause="builtins.KeyError"))):
        totals.count(found)
    rows = list(totals.rows())
    assert [(row["cause"], row["letters"], row["open"]) for row in rows] == [
        ("builtins.ValueError", 2, 1),
        ("builtins.KeyError", 1, 1),
    ]
    assert totals.total == 3
    assert "builtins.ValueError" in printed(totals_table(console(), rows))


def test_a_program_gets_everything() -> None:
    """Times as ISO 8601, and None for what is not known."""
    row = letter_row(DISCARDED)
    assert (row["place"], row["topic"], row["partition"], row["offset"]) == ("3@17", "measured", 1, 5)
    assert (row["first_failed"], row["number"]) == ("1970-01-01T00:00:01+00:00", 2)
    assert (row["state"], row["done_by"], row["why"]) == ("discarded", "ann@here", "a test device")
    assert letter_row(Found(replace(LETTER, last_failed=None)))["last_failed"] is None
    assert whole_row(DISCARDED)["headers"] == [["trace", "\\xff1"]]


def test_show_tells_all_of_a_letter() -> None:
    """The value indented, bytes that are no text as escapes."""
    found = replace(DISCARDED, letter=replace(PARKED, stack="File x\nValueError: cold\n"))
    assert whole_text(found, NOW) == (
        "letter     app.dead-letters[3]@17\n"
        "processor  convert\n"
        "record     measured[1]@5\n"
        "key        a\n"
        "its time   1970-01-01 00:00:00 UTC (2 d ago)\n"
        "set aside  1970-01-01 00:00:02 UTC (2 d ago)\n"
        "at first   1970-01-01 00:00:01 UTC (2 d ago)\n"
        "tries      3\n"
        "parked     no. 2 of measured[1]@5/7\n"
        "state      discarded\n"
        "by         ann@here, 1970-01-03 01:00:00 UTC (60 m ago)\n"
        "why        a test device\n"
        "cause      builtins.ValueError: a cannot be that cold\n"
        "\n"
        "headers\n"
        "  trace: \\xff1\n"
        "\n"
        "value\n"
        "  {}\n"
        "\n"
        "stack trace\n"
        "File x\nValueError: cold"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "  none: the record is a tombstone"),
        (b'{"a":[1]}', '  {\n    "a": [\n      1\n    ]\n  }'),
        (b"\xff{", "  \\xff{"),
    ],
)
def test_a_value_is_shown_as_it_is_read_best(value: bytes | None, shown: str) -> None:
    """JSON, or anything else."""
    assert pretty(value) == shown


def test_ages_are_in_their_largest_unit() -> None:
    """A clock that is ahead makes nothing negative."""
    assert [age(ms) for ms in (-5, 119_000, 120_000, 2 * HOUR, 49 * HOUR)] == [
        "0 s",
        "119 s",
        "2 m",
        "2 h",
        "2 d",
    ]


def test_a_foreign_time_is_no_traceback() -> None:
    """A producer may have written any number."""
    assert (
        letter_row(Found(replace(LETTER, last_failed=10**18)))["last_failed"] == "1970-01-01T00:00:00+00:00"
    )


def test_the_newest_letter_comes_first() -> None:
    """By the time at which it was set aside."""
    found = [Found(replace(LETTER, last_failed=at)) for at in (1, 3, 2)]
    assert [it.at for it in newest(found)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["redrive"], 1, "say which letters: by their places (`holdfast dlq redrive 3@17`)"),
        (["discard", "--why", "no"], 1, "say which letters: by their places (`holdfast dlq discard 3@17`)"),
        (["discard", "--all"], 2, "--why"),
        (["show", "seventeen"], 1, '"seventeen" is no place of a dead letter'),
        (["list", "--state", "lost"], 2, "--state: 'lost' is no state; say open, redriven, discarded or all"),
        (["list", "--since", "yesterday"], 1, '"yesterday" is no time'),
        (["redrive", "--all", "--rate", "fast"], 2, "--rate: 'fast' is no rate"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    arguments: list[str], code: int, told: str, tmp_path: Path
) -> None:
    """Before anything is read."""
    (tmp_path / "topology.yaml").write_text("app: a\ntopics: {t: {event: a:A, partitions: 1}}\n")
    done = holdfast("dlq", *arguments, "-b", "127.0.0.1:1", folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
