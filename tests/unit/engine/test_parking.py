"""Parked keys: what failed holds up its key and no other, and each record is handled once, in order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.engine.dead_letter import ATTEMPTS, FIRST_FAILED, LAST_FAILED, PREFIX
from holdfast.engine.letter_limit import LetterLimit
from holdfast.engine.letters import Letter, gaps_before
from holdfast.engine.shard import ShardTask
from holdfast.testing import MemoryStore
from tests.unit.engine.kit import IN, Added, Sum, added
from tests.unit.engine.redriving import REDRIVE, SHARD, Log, Owner, with_retries


def test_later_records_of_a_key_follow_the_one_that_failed() -> None:
    """Other keys go on. Each letter says why, and where it is in the order."""
    log = Log(broken={("a", 1)})
    for n in range(3):
        log.publish("a", n)
        log.publish("b", n)
    owner = Owner(log)
    owner.work_off()
    assert log.handled == {"a": [0], "b": [0, 1, 2]}
    assert [(it.cause, it.parked and it.parked.number) for it in log.letters] == [
        ("builtins.ValueError", 1),
        ("holdfast.errors.KeyParked", 2),
    ]
    assert log.letters[1].text == "its key is parked since adds[3]@2 was set aside; it waits behind that"
    assert owner.unit.dead_letters == 0
    assert owner.task.table("sums").load(b"a") == Sum(total=0)


def test_a_key_is_free_when_all_its_letters_were_handled() -> None:
    """What comes after that goes its usual way."""
    log = Log(broken={("a", 0)})
    for n in range(3):
        log.publish("a", n)
    owner = Owner(log)
    owner.work_off()
    log.broken.clear()
    log.redrive(log.open)
    owner.work_off()
    assert (log.handled["a"], owner.parked()) == ([0, 1, 2], {})
    log.publish("a", 3)
    owner.work_off()
    assert (log.handled["a"], len(log.letters)) == ([0, 1, 2, 3], 3)


def test_a_record_that_fails_again_keeps_its_number_and_its_origin() -> None:
    """Its letter says how often it was tried, and when it was set aside first and last."""
    log = Log(broken={("a", 0)})
    log.publish("a", 0)
    log.publish("a", 1)
    owner = Owner(log)
    owner.work_off()
    owner.crash()
    log.redrive(log.open)
    owner.work_off()
    again = log.open
    assert [(it.origin.offset, it.parked and it.parked.number) for it in again] == [(0, 1), (1, 2)]
    assert [(it.attempts, it.first_failed, it.last_failed) for it in again] == [
        (2, 1000, 2000),
        (0, 1000, 2000),
    ]
    assert [it.headers for it in again] == [[("ce_type", b"Added.v1")]] * 2
    log.broken.clear()
    # In whatever order they are found.
    log.redrive(again[::-1])
    owner.work_off()
    assert log.handled["a"] == [0, 1]


def test_a_record_that_is_redriven_before_its_turn_waits_on() -> None:
    """Somebody chose it alone."""
    log = Log(broken={("a", 0)})
    for n in range(3):
        log.publish("a", n)
    owner = Owner(log)
    owner.work_off()
    log.broken.clear()
    log.redrive([log.letters[2]])
    owner.work_off()
    assert log.handled["a"] == []
    log.redrive(log.open)
    owner.work_off()
    assert log.handled["a"] == [0, 1, 2]


def test_a_record_that_was_dealt_with_is_left_out() -> None:
    """Also if another tool sends it once more while its key is parked."""
    log = Log(broken={("a", 0), ("a", 2)})
    for n in range(3):
        log.publish("a", n)
    owner = Owner(log)
    owner.work_off()
    log.broken -= {("a", 0)}
    log.redrive(log.open)
    owner.work_off()
    log.send(log.letters[0])
    owner.work_off()
    assert log.handled["a"] == [0, 1]
    assert owner.parked()[b"a"].due == 3


def test_what_is_discarded_is_not_waited_for() -> None:
    """First, last, or in between."""
    log = Log(broken={("a", 0)})
    for n in range(5):
        log.publish("a", n)
    owner = Owner(log)
    owner.work_off()
    log.broken.clear()
    log.redrive([log.letters[3], log.letters[1]], discarded=True)
    owner.work_off()
    assert owner.parked()[b"a"].gone == ((2, 2), (4, 4))
    log.redrive([log.letters[0]], discarded=True)
    owner.work_off()
    assert (owner.parked()[b"a"].due, owner.parked()[b"a"].gone) == (3, ((4, 4),))
    log.redrive(log.open)
    owner.work_off()
    assert (log.handled["a"], owner.parked()) == ([2, 4], {})


def test_letters_that_somebody_deleted_are_not_waited_for() -> None:
    """Nor what was handled otherwise: each says which number is the last before it that is still to come."""
    log = Log(broken={("a", 0)})
    for n in range(4):
        log.publish("a", n)
    owner = Owner(log)
    owner.work_off()
    log.broken.clear()
    del log.letters[1:3]
    gaps = gaps_before(log.letters)
    assert [gaps[it.place] for it in log.letters] == [0, 1]
    log.redrive([log.letters[1]], after=gaps)
    owner.work_off()
    assert owner.parked()[b"a"].gone == ((2, 3),)
    del log.letters[-1]
    log.done.clear()
    log.redrive(log.letters, after=gaps)
    owner.work_off()
    assert (log.handled["a"], owner.parked()) == ([0, 3], {})


def test_a_record_without_a_key_is_set_aside_alone() -> None:
    """Nothing follows it."""
    log = Log()
    log.adds += [added(0, raw_key=None), added(1, raw_key=None)]
    owner = Owner(log)
    owner.work_off()
    assert [(it.cause, it.parked) for it in log.letters] == [("holdfast.errors.MissingKey", None)] * 2
    assert owner.parked() == {}


def test_a_redriven_record_that_cannot_be_decoded_lets_its_key_go() -> None:
    """It is judged by the other policy, and becomes a dead letter that nothing waits for."""
    log = Log(broken={("a", 0)})
    log.publish("a", 0)
    log.adds.append(added(1, "a", value=b"no JSON"))
    log.publish("a", 2)
    owner = Owner(log)
    owner.work_off()
    log.broken.clear()
    log.redrive(log.open)
    owner.work_off()
    assert (log.handled["a"], owner.parked()) == ([0, 2], {})
    assert [(it.cause, it.parked) for it in log.open] == [("holdfast.errors.NotJson", None)]


def test_a_letter_of_an_earlier_parking_comes_last() -> None:
    """As one that was set aside under another policy, or before a replay."""
    log = Log(broken={("a", 0), ("a", 1)})
    log.publish("a", 0)
    first = Owner(log, "dead-letter")
    first.work_off()
    second = Owner(log)
    second.work_off()
    log.publish("a", 1)
    second.work_off()
    log.broken.clear()
    log.redrive([log.letters[0]])
    second.work_off()
    assert [it.parked and it.parked.number for it in log.open] == [1, 2, 3]
    log.redrive(log.open)
    second.work_off()
    assert (log.handled["a"], second.parked()) == ([0, 1, 0], {})


def test_headers_of_a_letter_tell_its_history() -> None:
    """Also to other tools."""
    log = Log(broken={("a", 0)})
    log.publish("a", 0)
    owner = Owner(log)
    owner.work(IN)
    [letter] = owner.unit.outputs
    headers = dict(letter.headers)
    assert headers[ATTEMPTS] == b"1"
    assert headers[FIRST_FAILED] == headers[LAST_FAILED] == b"1000"
    assert headers[PREFIX + "offset"] == b"0"
    assert (headers["holdfast.parking"], headers["holdfast.parking.number"]) == (b"adds[3]@0/1", b"1")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["publish", "break", "mend"]), st.sampled_from("ab")),
        st.tuples(st.sampled_from([IN, REDRIVE]), st.integers(1, 8)),
        st.tuples(st.sampled_from([IN, REDRIVE]), st.integers(1, 8)),
        st.tuples(st.sampled_from(["commit", "abort", "crash"]), st.none()),
        st.tuples(st.sampled_from(["redrive", "discard"]), st.integers(0, 255)),
    ),
    max_size=40,
)
"""What happens to a shard with events of two keys, which cannot be handled at first."""


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_each_record_is_handled_once_and_in_the_order_of_its_key(steps: list[tuple[str, object]]) -> None:
    """Whatever fails, is redriven or discarded, in whatever order, and whoever owns the shard."""
    log = Log()
    owner = Owner(log)
    sent: defaultdict[str, list[int]] = defaultdict(list)
    discarded: set[tuple[str, int]] = set()
    begin = [("break", "a"), ("break", "b"), *[("publish", key) for key in "aabb"], (IN, 8), ("commit", None)]
    for step, value in [*begin, *steps]:
        _do(owner, step, value, sent, discarded)
        for key, numbers in log.handled.items():
            assert numbers == sorted(set(numbers)), (key, numbers)
    log.broken.clear()
    owner.work_off()
    for _ in range(len(log.letters) + 2):
        log.redrive(log.open)
        owner.work_off()
    assert owner.parked() == {}
    for key, numbers in sent.items():
        assert log.handled[key] == [n for n in numbers if (key, n) not in discarded]


def _do(
    owner: Owner,
    step: str,
    value: object,
    sent: defaultdict[str, list[int]],
    discarded: set[tuple[str, int]],
) -> None:
    log = owner.log
    if step == "publish":
        key = str(value)
        for _ in range(2):
            sent[key].append(len(sent[key]))
            log.publish(key, sent[key][-1])
    elif step == "break":
        # What comes next, and what waits.
        log.broken |= {(str(value), n) for n in range(0, 200, 3)}
    elif step == "mend":
        log.broken = {it for it in log.broken if it[0] != value}
    elif step in (IN, REDRIVE):
        owner.work(step, int(str(value)))
    elif step in ("redrive", "discard"):
        # The bits of the number say which.
        chosen = [it for at, it in enumerate(log.open) if int(str(value)) >> (at % 8) & 1]
        is_idle = owner.task.committed_positions[REDRIVE] == len(log.redriven)
        gaps = gaps_before(log.open) if is_idle else None
        log.redrive(chosen, discarded=step == "discard", after=gaps)
        if step == "discard":
            discarded |= {(_event(it).key, _event(it).n) for it in chosen}
    else:
        getattr(owner, step)()


def _event(letter: Letter) -> Added:
    return Added.model_validate_json(letter.value or b"")


def test_records_that_follow_a_parked_key_are_never_too_many() -> None:
    """Only what failed by itself says that something is wrong with more than records."""
    log = Log(broken={("a", 0)})
    owner = Owner(log)
    plan = replace(log.plan(), letter_limit=LetterLimit(0.5, 10))
    owner.task = ShardTask(plan, SHARD, MemoryStore(), {IN: 0, REDRIVE: 0}, fence=1)
    for n in range(100):
        log.publish("a", n)
    owner.work_off()
    assert owner.task.failure is None
    assert len(log.letters) == 100


def test_a_record_of_a_parked_key_is_not_tried_again() -> None:
    """It waits for the one before it, and for no time."""
    log = Log(broken={("a", 0)})
    owner = Owner(log)
    plan = with_retries(log.plan(), 5)
    owner.task = ShardTask(plan, SHARD, MemoryStore(), {IN: 0, REDRIVE: 0}, fence=1)
    log.publish("a", 0)
    for _ in range(5):
        owner.work(IN)
        owner.task.hurry()
    log.publish("a", 1)
    owner.work_off()
    assert [letter.attempts for letter in log.letters] == [5, 0]
