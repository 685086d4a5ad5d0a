"""Every rule catches a history that is wrong in its way, and leaves alone one that is nearly so."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.chaos.checker import Validity
from holdfast.chaos.history import read, send
from tests.support.stories import Story, uncommitted, verdict


def x(value: int, offset: int | None = None, key: str | None = None):
    return send("x", value, offset=offset, key=key)


def y(value: int, offset: int | None = None):
    return send("y", value, offset=offset)


def rx(value: int, offset: int | None = None, key: str | None = None):
    return read("x", value, offset=offset, key=key)


def ry(value: int, offset: int | None = None):
    return read("y", value, offset=offset)


def three_sent() -> Story:
    """Values 1, 2, 3 at the offsets 0, 1, 3 of x (2 is a control record)."""
    return Story().ok("w", "send", x(1, 0)).ok("w", "send", x(2, 1)).ok("w", "send", x(3, 3))


BAD: dict[str, list[Story]] = {
    "inconsistent-offsets": [
        Story().ok("w", "send", x(1, 0)).ok("v", "send", x(2, 0)).ok("r", "poll", rx(1, 0)),
        Story()
        .ok("w", "send", x(1, 0), x(2, 1))
        .ok("r", "poll", rx(1, 0), rx(2, 1))
        .ok("s", "poll", rx(2, 0)),
        # also what a read_uncommitted reader sees at an offset
        three_sent().ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3)).ok("u", "poll", rx(2, 0), **uncommitted()),
    ],
    "duplicate": [
        Story().ok("w", "send", x(1, 0)).ok("r", "poll", rx(1, 0), rx(1, 1)),
        Story().ok("w", "send", x(1, 0)).ok("r", "poll", rx(1, 5)),
    ],
    "lost-write": [
        three_sent().ok("r", "poll", rx(2, 1), rx(3, 3)),
        # the writer's outcome is unknown, but its transaction is proven by its other record
        Story()
        .unknown("w", "txn", x(1, 0), y(9, 0))
        .ok("v", "send", x(2, 2))
        .ok("r", "poll", ry(9, 0), rx(2, 2)),
        # a duplicate of a later record does not hide the loss of an earlier one
        three_sent().ok("r", "poll", rx(1, 0), rx(3, 3)),
    ],
    "unseen": [
        three_sent().ok("r", "poll", rx(1, 0), rx(2, 1)),
        # its offset is not known, so that it can be called unseen only
        Story().ok("w", "send", x(1)).ok("w", "send", x(2, 5)).ok("r", "poll", rx(2, 5)),
    ],
    "vanished": [
        # at the end of the log
        three_sent()
        .ok("c", "poll", rx(1, 0), rx(2, 1), rx(3, 3))
        .ok("r", "poll", rx(1, 0), rx(2, 1))
        .ok("r", "read-all", assigned=("x",)),
        # a transaction of unknown outcome that somebody saw
        Story()
        .unknown("w", "txn", x(1))
        .ok("v", "send", x(2, 2))
        .ok("c", "poll", rx(1, 0), rx(2, 2))
        .ok("r", "poll", rx(2, 2))
        .ok("r", "read-all", assigned=("x",)),
    ],
    "torn-transaction": [
        Story().unknown("w", "txn", x(1), y(2)).ok("r", "poll", rx(1, 0)),
        Story().ok("w", "txn", x(1, 0), y(2, 0)).ok("r", "poll", rx(1, 0)),
    ],
    "G1a": [
        Story().fail("w", "txn", x(1, 0)).ok("r", "poll", rx(1, 0)),
        # the reading transaction was aborted, too; the consumer had delivered it all the same
        Story().fail("w", "txn", x(1, 0)).fail("r", "txn", rx(1, 0)),
    ],
    "precommitted-read": [Story().ok("w", "txn", x(1, 0), rx(1, 0))],
    "stray-read": [three_sent().ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3), rx(77, 4))],
    "int-poll-skip": [three_sent().ok("s", "poll", rx(2, 1)).ok("r", "poll", rx(1, 0), rx(3, 3))],
    "int-nonmonotonic-poll": [
        three_sent().ok("r", "poll", rx(2, 1), rx(1, 0), rx(2, 1), rx(3, 3)),
        three_sent().ok("r", "poll", rx(1, 0), rx(2, 1), rx(2, 1), rx(3, 3)),
    ],
    "poll-skip": [
        three_sent().ok("s", "poll", rx(2, 1)).ok("r", "poll", rx(1, 0)).ok("r", "poll", rx(3, 3)),
        # an operation that failed does not move the position
        three_sent()
        .ok("s", "poll", rx(1, 0), rx(2, 1), rx(3, 3))
        .ok("r", "poll", rx(1, 0))
        .fail("r", "txn", rx(2, 1))
        .ok("r", "poll", rx(3, 3)),
        # an assignment that keeps the log keeps the position
        three_sent()
        .ok("s", "poll", rx(2, 1))
        .ok("r", "poll", rx(1, 0))
        .ok("r", "assign", assigned=("x", "y"))
        .ok("r", "poll", rx(3, 3)),
    ],
    "nonmonotonic-poll": [
        three_sent().ok("r", "poll", rx(1, 0), rx(2, 1)).ok("r", "poll", rx(1, 0)).ok("s", "poll", rx(3, 3)),
        three_sent().ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3)).ok("r", "poll", rx(3, 3)),
    ],
    "int-nonmonotonic-send": [Story().ok("w", "txn", x(1, 1), x(2, 0)).ok("r", "poll", rx(2, 0), rx(1, 1))],
    "nonmonotonic-send": [
        Story().ok("w", "send", x(1, 1)).ok("w", "send", x(2, 0)).ok("r", "poll", rx(2, 0), rx(1, 1)),
        Story().unknown("w", "send", x(1)).ok("w", "send", x(2, 0)).ok("r", "poll", rx(2, 0), rx(1, 1)),
        # one that is nowhere between the two does not hide them
        Story()
        .ok("w", "send", x(1, 1))
        .unknown("w", "send", x(2))
        .ok("w", "send", x(3, 0))
        .ok("r", "poll", rx(3, 0), rx(1, 1)),
    ],
    "reordered": [
        Story()
        .ok("w", "send", x(1, 2, "k"))
        .fail("w", "send", x(5, None, "k"))
        .ok("w", "send", x(7, 3, "j"))
        .ok("w", "send", x(2, 0, "k"))
        .ok("r", "poll", rx(2, 0, "k"), rx(1, 2, "k"), rx(7, 3, "j")),
    ],
    "ambiguous-values": [Story().ok("w", "send", x(1, 0)).ok("w", "send", x(1, 1)).ok("r", "poll", rx(1, 0))],
    "overlapping-operations": [
        Story()
        .ok("w", "send", x(1, 0), at=(0, 10))
        .ok("w", "txn", x(2, 1), at=(9, 12))
        .ok("r", "poll", rx(1, 0), rx(2, 1)),
        Story().ok("w", "send", x(1, 0)).ok("r", "poll", rx(1, 0), at=(5, 9)).ok("r", "poll", at=(8, 12)),
    ],
    "nothing-acknowledged": [Story().unknown("w", "send", x(1)).ok("r", "poll", rx(1, 0))],
    "nothing-read": [Story().ok("w", "send", x(1, 0))],
}

ALLOWED: dict[str, Story] = {
    "int-send-skip": Story()
    .ok("w", "txn", x(1, 0), x(3, 2))
    .ok("v", "send", x(2, 1))
    .ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 2)),
    "poll-skip": three_sent()
    .ok("r", "subscribe", assigned=("x",))
    .ok("s", "poll", rx(2, 1))
    .ok("r", "poll", rx(1, 0))
    .ok("r", "poll", rx(3, 3)),
    "nonmonotonic-poll": three_sent()
    .ok("r", "subscribe", assigned=("x",))
    .ok("r", "poll", rx(1, 0), rx(2, 1))
    .ok("r", "poll", rx(2, 1), rx(3, 3)),
}

FINE: dict[str, Story] = {
    "offsets may have gaps": three_sent().ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3)),
    "what is behind the last read may be unread if its outcome is unknown": Story()
    .ok("w", "send", x(1, 0))
    .unknown("w2", "txn", x(2))
    .ok("r", "poll", rx(1, 0)),
    "of sends without a transaction one may be there and another not": Story()
    .ok("w", "send", x(9, 0))
    .unknown("v", "send", x(1, 1), x(2))
    .ok("r", "poll", rx(9, 0), rx(1, 1)),
    "an unknown transaction of which nobody read anything may have failed": Story()
    .unknown("w", "txn", x(1, 0), x(2, 1))
    .ok("v", "send", x(3, 3))
    .ok("r", "poll", rx(3, 3)),
    "a failed send that nobody read": three_sent()
    .fail("w", "txn", x(4, 5))
    .ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3)),
    "a reader of uncommitted records may see aborted ones": three_sent()
    .fail("w", "txn", x(4, 5))
    .ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3))
    .ok("u", "poll", rx(3, 3), rx(4, 5), **uncommitted()),
    "a reader of uncommitted records may see its own": three_sent()
    .ok("w", "txn", x(4, 4), rx(4, 4), **uncommitted())
    .ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3), rx(4, 4)),
    "records that an aborted transaction read are read again": three_sent()
    .ok("r", "poll", rx(1, 0))
    .fail("r", "txn", rx(2, 1))
    .ok("r", "poll", rx(2, 1), rx(3, 3)),
    "after an operation of unknown outcome a reader may go on": three_sent()
    .ok("r", "poll", rx(1, 0))
    .unknown("r", "poll", rx(2, 1))
    .ok("r", "poll", rx(3, 3)),
    "or go back": three_sent()
    .ok("r", "poll", rx(1, 0))
    .unknown("r", "poll", rx(2, 1))
    .ok("r", "poll", rx(2, 1), rx(3, 3)),
    "a rebalance within a poll moves the position": three_sent().ok(
        "r", "poll", rx(1, 0), rx(2, 1), rx(1, 0), rx(2, 1), rx(3, 3), rebalanced=("x",)
    ),
    "an assignment without the log forgets its position": three_sent()
    .ok("r", "poll", rx(1, 0), rx(2, 1))
    .ok("r", "assign", assigned=("y",))
    .ok("r", "assign", assigned=("x",))
    .ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3)),
    "a seek sets the position anew": three_sent()
    .ok("r", "poll", rx(1, 0), rx(2, 1))
    .ok("r", "assign", assigned=("x",), sought=("x",))
    .ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3)),
    "another process begins where it likes": three_sent()
    .ok("r/0", "poll", rx(1, 0), rx(2, 1))
    .ok("r/1", "poll", rx(1, 0), rx(2, 1), rx(3, 3)),
    "the same value in two logs is two records": Story()
    .ok("w", "send", x(1, 0), y(1, 0))
    .ok("r", "poll", rx(1, 0), ry(1, 0)),
    "the same value under two keys is two records": Story()
    .ok("w", "send", x(1, 0, "a"), x(1, 1, "b"))
    .ok("r", "poll", rx(1, 0, "a"), rx(1, 1, "b")),
    "an operation may begin when the last one ended": Story()
    .ok("w", "send", x(1, 0), at=(0, 10))
    .ok("w", "send", x(2, 1), at=(10, 12))
    .ok("r", "poll", rx(1, 0), rx(2, 1)),
    "a producer sends without waiting for the last one": Story()
    .ok("w", "send", x(1, 0), at=(0, 10))
    .ok("w", "send", x(2, 1), at=(9, 12))
    .ok("r", "poll", rx(1, 0), rx(2, 1)),
    "keys of different processes have no order": Story()
    .ok("w", "send", x(1, 1, "k"))
    .ok("v", "send", x(2, 0, "k"))
    .ok("r", "poll", rx(2, 0, "k"), rx(1, 1, "k")),
    "what was read is there when the log is read to its end": three_sent()
    .ok("c", "poll", rx(1, 0), rx(2, 1))
    .ok("r", "poll", rx(1, 0), rx(2, 1), rx(3, 3))
    .ok("r", "read-all", assigned=("x",)),
    "of another log that was read to its end nothing is asked": three_sent()
    .ok("c", "poll", rx(1, 0), rx(2, 1), rx(3, 3))
    .ok("r", "read-all", assigned=("y",)),
    "offsets that are known to nobody": Story().ok("w", "send", x(1), x(2)).ok("r", "poll", rx(1), rx(2)),
    "without readers of committed records those of all count": Story()
    .ok("w", "send", x(1, 0))
    .ok("u", "poll", rx(1, 0), **uncommitted()),
}


@pytest.mark.parametrize(
    ("rule", "story"), [(rule, story) for rule, stories in BAD.items() for story in stories]
)
def test_a_rule_catches_what_it_is_for(rule: str, story: Story, tmp_path: Path) -> None:
    found = verdict(story.operations, tmp_path)
    assert found.validity is not Validity.VALID
    assert found.found(rule), str(found)
    assert not any(finding.is_allowed for finding in found.findings if finding.rule == rule)


@pytest.mark.parametrize("rule", ALLOWED)
def test_what_is_allowed_is_told_and_does_not_count(rule: str, tmp_path: Path) -> None:
    found = verdict(ALLOWED[rule].operations, tmp_path)
    assert found.validity is Validity.VALID, str(found)
    assert [finding.rule for finding in found.findings] == [rule]
    assert found.findings[0].why


@pytest.mark.parametrize("name", FINE)
def test_nothing_is_said_of_a_history_that_is_fine(name: str, tmp_path: Path) -> None:
    found = verdict(FINE[name].operations, tmp_path)
    assert found.findings == (), str(found)


def test_an_example_shows_the_record_its_sender_and_its_times(tmp_path: Path) -> None:
    found = verdict(three_sent().ok("r", "poll", rx(2, 1), rx(3, 3)).operations, tmp_path)
    (lost,) = (finding for finding in found.findings if finding.rule == "lost-write")
    record = lost.examples[0].records[0]
    assert (record.log, record.value, record.offset, record.process) == ("x", 1, 0, "w")
    assert (record.began, record.ended, record.outcome) == (10, 15, "ok")
    assert "value 1 at x@0, sent by w" in str(found)


def test_examples_are_few_and_the_count_is_of_all(tmp_path: Path) -> None:
    story = Story()
    for value in range(40):
        story.ok("w", "send", x(value, value))
    found = verdict(story.ok("r", "poll", rx(39, 39)).operations, tmp_path)
    (lost,) = (finding for finding in found.findings if finding.rule == "lost-write")
    assert lost.count == 39
    assert len(lost.examples) == 8


def test_the_worst_says_what_the_verdict_is() -> None:
    assert Validity.worst([Validity.VALID, Validity.UNKNOWN]) is Validity.UNKNOWN
    assert Validity.worst([Validity.UNKNOWN, Validity.INVALID, Validity.VALID]) is Validity.INVALID
    assert Validity.worst([]) is Validity.VALID
