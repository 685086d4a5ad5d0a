"""Which dead letters are meant, and whether they can go back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast.engine.letters import Letter
from holdfast.engine.redriven import Parked
from holdfast.errors import LettersRefused
from holdfast.kafka.dispositions import Disposition
from holdfast.record import Position
from holdfast.runtime.letter_choice import Choice, Found, open_ones, parse_places, parse_time
from holdfast.runtime.letter_takers import require_takers
from holdfast.topology import Topology, load

LETTER = Letter(
    place=Position("app.dead-letters", 3, 17),
    processor="convert",
    origin=Position("measured", 1, 5),
    cause="builtins.ValueError",
    text="a cannot be that cold",
    stack="",
    attempts=1,
    first_failed=1_000,
    last_failed=2_000,
    parked=None,
    key=b"a",
    value=b"{}",
    timestamp=500,
    headers=(),
)
REDRIVEN = Disposition("redriven", 3_000, "ann@here")


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        ({}, True),
        ({"processor": "convert"}, True),
        ({"processor": "other"}, False),
        ({"topic": "measured"}, True),
        ({"topic": "converted"}, False),
        ({"error": "valueerror"}, True),
        ({"error": "That Cold"}, True),
        ({"error": "KeyError"}, False),
        ({"since": 2_000}, True),
        ({"since": 2_001}, False),
        ({"until": 2_000}, False),
        ({"until": 2_001}, True),
        ({"key": "a"}, True),
        ({"key": "b"}, False),
        ({"state": "open"}, True),
        ({"state": "redriven"}, False),
        ({"places": frozenset({(3, 17)})}, True),
        ({"places": frozenset({(17, 3)})}, False),
        ({"processor": "convert", "key": "b"}, False),
    ],
)
def test_a_letter_has_to_have_all_that_is_given(choice: dict[str, Any], taken: bool) -> None:
    """Each filter alone, and two together."""
    assert Choice(**choice).takes(Found(LETTER)) is taken


def test_a_key_of_bytes_that_are_no_text_can_be_given() -> None:
    """As the command line gives them to a program."""
    found = Found(replace(LETTER, key=b"\xffa"))
    assert Choice(key=os.fsdecode(b"\xffa")).takes(found)
    assert not Choice(key=os.fsdecode(b"\xfea")).takes(found)


def test_a_letter_that_was_dealt_with_is_open_no_more() -> None:
    """It is found by what became of it."""
    found = Found(LETTER, REDRIVEN)
    assert [Choice(state=state).takes(found) for state in ("open", "redriven", "discarded", None)] == [
        False,
        True,
        False,
        True,
    ]


def test_a_letter_without_a_time_is_as_old_as_its_record() -> None:
    """Earlier versions wrote none."""
    assert Found(replace(LETTER, last_failed=None)).at == 500


def test_only_a_state_is_no_choice() -> None:
    """What is asked for without any filter has to be said to be all."""
    assert Choice(state="open").is_all
    assert not Choice(state="open", key="a").is_all
    assert not Choice(places=frozenset({(0, 0)})).is_all


def test_places_are_read_as_they_are_shown() -> None:
    """With or without the topic."""
    places = ["3@17", "lab.dead-letters[0]@4"]
    assert parse_places(places, "lab.dead-letters") == {(3, 17), (0, 4)}


@pytest.mark.parametrize("topic", ["measured", "other.dead-letters"])
def test_the_place_of_a_record_is_not_taken_for_that_of_a_letter(topic: str) -> None:
    """`list` shows both, and the letter with the same numbers is another one."""
    with pytest.raises(
        LettersRefused, match=r"dead letters are in lab.dead-letters: name a letter by its own"
    ):
        parse_places([f"{topic}[3]@17"], "lab.dead-letters")


def test_letters_that_are_named_have_to_be_there() -> None:
    """Those that were dealt with are counted, and left out."""
    places = Choice(places=frozenset({(3, 17), (3, 18)}))
    done = Found(replace(LETTER, place=Position("app.dead-letters", 3, 18)), REDRIVEN)
    assert open_ones(places, [Found(LETTER), done]) == ([Found(LETTER)], 1)
    with pytest.raises(LettersRefused, match=r"there is no such letter: 3@18. Nothing was changed"):
        open_ones(places, [Found(LETTER)])
    assert open_ones(Choice(key="a"), [done]) == ([], 0)


@pytest.mark.parametrize(
    "text", ["17", "3@", "3:17", "a@b", "", "3@17@2", "[3]@17", "t[3@17", "3]@17", "-1@3"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    """With what one looks like."""
    with pytest.raises(LettersRefused, match=r"is no place of a dead letter: say partition and offset"):
        parse_places([text], "lab.dead-letters")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        (None, None),
        ("90s", 10_000_000 - 90_000),
        ("2h", 10_000_000 - 7_200_000),
        ("1970-01-01T00:00:05", 5_000),
        ("1970-01-01T01:00:05+01:00", 5_000),
    ],
)
def test_times_are_read(text: str | None, time: int | None) -> None:
    """As a moment, or as how long ago."""
    assert parse_time(text, 10_000_000) == time


def test_what_is_no_time_is_refused() -> None:
    """With what one looks like."""
    with pytest.raises(LettersRefused, match=r'"yesterday" is no time: say 2026-'):
        parse_time("yesterday", 0)


FILE = """\
app: lab
topics:
  measured: {event: a:A, key: id, partitions: 2}
  other: {event: a:A, key: id, partitions: 2}
processors:
  convert: {handler: a:f, reads: [measured], redrive: true}
  parks: {handler: a:f, reads: [measured], on_error: park-key}
  plain: {handler: a:f, reads: [measured]}
"""


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Topology:
    """Give a topology with processors that take redriven records, and one that does not."""
    monkeypatch.chdir(tmp_path)
    Path("topology.yaml").write_text(FILE)
    return load(Path("topology.yaml"))


def test_processors_take_letters_back_that_declare_it(declared: Topology) -> None:
    """By `redrive`, or since they park keys."""
    letters = [LETTER, replace(LETTER, processor="parks", parked=Parked("p", 1))]
    assert set(require_takers(declared, letters)) == {"convert", "parks"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"processor": "plain"},
            r"plain takes no redriven records \(1 letter\). Declare `redrive: true` .* \(or `on_error: park",
        ),
        ({"processor": "gone"}, r"1 of the letters is of gone, which topology.yaml does not declare"),
        ({"origin": Position("other", 0, 1)}, r"3@17 is of other\[0\]@1, and convert reads measured with 2"),
        ({"origin": Position("measured", 2, 1)}, r"It can only be discarded. Nothing was changed"),
    ],
)
def test_what_cannot_go_back_is_refused(declared: Topology, changes: dict[str, Any], told: str) -> None:
    """As a whole, with what to do."""
    with pytest.raises(LettersRefused, match=told):
        require_takers(declared, [LETTER, replace(LETTER, **changes)])


@pytest.mark.parametrize(
    "more", ["sink: history", "asks: [gateway]", "version: v2", "guarantee: at-least-once"]
)
def test_park_key_is_not_advised_where_it_cannot_be(tmp_path: Path, more: str) -> None:
    """`holdfast check` would refuse it."""
    file = tmp_path / "topology.yaml"
    file.write_text(
        f"{FILE}  late: {{handler: a:f, reads: [measured], {more}}}\n"
        'sinks: {history: {type: postgres, dsn: dbname=x}, gateway: {type: http, url: "http://gateway"}}\n'
    )
    with pytest.raises(LettersRefused, match=r"late takes no redriven records") as told:
        require_takers(load(file), [replace(LETTER, processor="late")])
    assert "Declare `redrive: true` for it" in str(told.value)
    assert "park-key" not in str(told.value)


def test_a_disposition_names_its_letter_and_the_topic_that_this_is_in() -> None:
    """Another topic of the same name has other letters at the same places."""
    record = replace(REDRIVEN, why="mended").record("app.dead-letters.done", (3, 17), "id-1")
    assert (record.topic, record.key) == ("app.dead-letters.done", b"3@17")
    assert record.value == (
        b'{"what": "redriven", "at": 3000, "by": "ann@here", "why": "mended", "topic_id": "id-1"}'
    )
