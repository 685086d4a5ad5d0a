"""Parked keys: what failed holds up its key and no other, and each record is handled once, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import State
from holdfast.engine.dead_letter import ATTEMPTS, FIRST_FAILED, LAST_FAILED, PREFIX
from holdfast.engine.letter_limit import LetterLimit
from holdfast.engine.letters import Letter, gaps_before, in_order, read_letter
from holdfast.engine.parking import ParkedKey
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.redriven import Hold
from holdfast.engine.retries import RetryPolicy
from holdfast.engine.shard import ShardTask
from holdfast.engine.unit import Unit
from holdfast.record import Output, Position
from holdfast.resilience import Backoff
from holdfast.testing import MemoryMessage, MemoryStore
from holdfast.topology.model import PARKED_KEYS
from tests.unit.engine.kit import IN, LETTERS, OUT, Added, Sum, Totalled, added, make_plan

REDRIVE = "app.redrive"
SHARD = 3


@dataclass
class Log:
    """The topics of one shard, as far as it is about their order.

    Attributes:
        broken: the events that the handler cannot handle.
        handled: for each key, what the committed outputs say was handled, in order.
    """

    broken: set[tuple[str, int]] = field(default_factory=set)
    adds: list[MemoryMessage] = field(default_factory=list)
    redriven: list[MemoryMessage] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    handled: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    done: set[str] = field(default_factory=set)

    def plan(self, policy: str = "park-key") -> ProcessorPlan:
        """A processor that keeps a sum, and cannot handle what is broken."""

        def handle(event: Added, sums: State[Sum]) -> Totalled:
            sums.set(Sum(total=(sums.get() or Sum()).total + event.n))
            if (event.key, event.n) in self.broken:
                raise ValueError(f"{event.key} {event.n}")
            return Totalled(key=event.key, total=event.n)

        return make_plan(handle, on_error=policy, redrive_topic=REDRIVE)

    def publish(self, key: str, n: int) -> None:
        """Write an event."""
        self.adds.append(added(len(self.adds), key, n))

    def written(self, outputs: Sequence[Output]) -> None:
        """Take what a unit wrote."""
        for output in outputs:
            if output.topic == OUT:
                event = Totalled.model_validate_json(output.value or b"")
                self.handled[event.key].append(event.total)
                continue
            headers = [(name, value) for name, value in output.headers if isinstance(value, bytes)]
            message = MemoryMessage(
                LETTERS, 0, len(self.letters), key=output.key, value=output.value, headers=headers
            )
            letter = read_letter(message)
            assert letter is not None
            self.letters.append(letter)

    @property
    def open(self) -> list[Letter]:
        """Letters that nobody has dealt with."""
        return [letter for letter in self.letters if letter.name not in self.done]

    def redrive(
        self,
        letters: Sequence[Letter],
        *,
        discarded: bool = False,
        after: Mapping[Position, int] | None = None,
    ) -> None:
        """Give letters back, as `holdfast dlq` does."""
        for letter in in_order(letters):
            self.done.add(letter.name)
            self.send(letter, discarded=discarded, after=(after or {}).get(letter.place))

    def send(self, letter: Letter, *, discarded: bool = False, after: int | None = None) -> None:
        """Write one redriven record."""
        output = letter.redriven(REDRIVE, discarded=discarded, after=after)
        headers = [(name, value) for name, value in output.headers if isinstance(value, bytes)]
        self.redriven.append(
            MemoryMessage(
                REDRIVE, SHARD, len(self.redriven), key=output.key, value=output.value, headers=headers
            )
        )


class Owner:
    """One owner of the shard after the other."""

    def __init__(self, log: Log, policy: str = "park-key") -> None:
        self.log = log
        self._plan = log.plan(policy)
        self._store = MemoryStore()
        self._fence = 0
        self.unit = Unit()
        self.task = self._take_over({IN: 0, REDRIVE: 0})

    def _take_over(self, positions: dict[str, int]) -> ShardTask:
        self._fence += 1
        return ShardTask(
            self._plan, SHARD, self._store, positions, fence=self._fence, now=lambda: self._fence * 1000
        )

    def work(self, topic: str, most: int = 1_000) -> None:
        """Handle records of one input."""
        messages = self.log.adds if topic == IN else self.log.redriven
        at = self.task.positions[topic]
        self.task.handle(topic, messages[at : at + most], self.unit)

    def work_off(self) -> None:
        """Handle and commit all that is there."""
        for topic in (IN, REDRIVE):
            self.work(topic)
        self.commit()

    def commit(self) -> None:
        """Commit what was done since."""
        sealed = self.task.seal()
        self.log.written(self.unit.outputs)
        self._store.apply(sealed.changes, {})
        self.task.committed()
        self.unit = Unit()

    def abort(self) -> None:
        """Nothing of it happened."""
        self.unit = Unit()
        self.task.reset()

    def crash(self) -> None:
        """Nothing of it happened, and another owner goes on."""
        self.unit = Unit()
        self.task = self._take_over(dict(self.task.committed_positions))

    def parked(self) -> dict[bytes, ParkedKey]:
        """The parked keys, as they are committed."""
        return dict(self.task.table(PARKED_KEYS).items())


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


@pytest.mark.parametrize("policy", ["dead-letter", "park-key"])
def test_records_for_others_are_passed(policy: str) -> None:
    """The position goes on, and so it does over what nobody can read."""
    log = Log()
    headers = [(f"holdfast.redrive.{name}", b"1") for name in ("processor", "letter")]
    log.redriven = [MemoryMessage(REDRIVE, SHARD, n, key=b"a", value=b"", headers=headers) for n in range(2)]
    log.redriven.append(MemoryMessage(REDRIVE, SHARD, 2, key=b"a", value=b"", headers=None))
    owner = Owner(log, policy)
    owner.work_off()
    assert (owner.task.positions[REDRIVE], log.letters, log.handled) == (3, [], {})


def test_a_redriven_record_stops_its_shard_where_that_is_declared() -> None:
    """At its place in the redrive topic; it is tried again when the shard starts again."""
    log = Log(broken={("a", 0)})
    log.publish("a", 0)
    first = Owner(log, "dead-letter")
    first.work_off()
    owner = Owner(log, "stop")
    log.redrive(log.open)
    owner.work(REDRIVE)
    assert owner.task.failure is not None
    assert str(owner.task.failure.position) == "app.redrive[3]@0"


def test_a_shadow_leaves_redriven_records_alone() -> None:
    """The live version handles them; a shadow has handled the records themselves."""
    log = Log(broken={("a", 0)})
    log.publish("a", 0)
    Owner(log, "dead-letter").work_off()
    log.broken.clear()
    log.redrive(log.open)
    shadow = replace(log.plan("dead-letter"), is_shadow=True)
    task = ShardTask(shadow, SHARD, MemoryStore(), {IN: 1, REDRIVE: 0})
    unit = Unit()
    task.handle(REDRIVE, log.redriven, unit)
    assert (unit.outputs, task.positions[REDRIVE]) == ([], 1)


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


def test_a_shard_that_is_held_reads_only_what_is_redriven() -> None:
    """For the time that was said, or until it is let go; whoever asked may be gone."""
    log, now = Log(), [1_000]
    task = ShardTask(log.plan(), SHARD, MemoryStore(), {IN: 0, REDRIVE: 0}, now=lambda: now[0])
    log.publish("a", 0)
    for ms in (600_000, 5_000, 0):
        log.redriven.append(
            MemoryMessage(
                REDRIVE,
                SHARD,
                len(log.redriven),
                key=None,
                value=None,
                headers=[(name, value or b"") for name, value in Hold(ms).headers("counter")],
            )
        )
    task.handle(REDRIVE, log.redriven[:1], Unit())
    assert (task.waits(IN), task.count_ready(IN, log.adds), task.waits(REDRIVE)) == (True, 0, False)
    now[0] += 9_999
    assert task.waits(IN)
    now[0] += 1
    assert (task.waits(IN), task.count_ready(IN, log.adds)) == (False, 1)
    task.handle(REDRIVE, log.redriven[1:2], Unit())
    assert task.waits(IN)
    task.handle(REDRIVE, log.redriven[2:], Unit())
    assert not task.waits(IN)


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


def with_retries(plan: ProcessorPlan, attempts: int) -> ProcessorPlan:
    """The processor with further attempts, whose times a test lets come."""
    policy = RetryPolicy(attempts, Backoff(1.0, 1.0), None, lambda: 0.0, jitter=lambda: 1.0)
    return replace(plan, retry=policy)


def test_a_redriven_record_is_tried_again_in_its_place() -> None:
    """The redrive topic waits at it, the inputs do not; its letter counts all attempts."""
    log = Log(broken={("a", 1)})
    owner = Owner(log)
    owner.task = ShardTask(with_retries(log.plan(), 2), SHARD, MemoryStore(), {IN: 0, REDRIVE: 0}, fence=1)
    log.publish("a", 1)
    log.publish("a", 2)
    owner.work(IN)
    assert owner.task.waiting_at(IN) == 0
    owner.task.hurry()
    owner.work_off()
    assert [letter.attempts for letter in log.letters] == [2, 0]
    log.redrive(log.open)
    owner.work(REDRIVE)
    assert owner.task.waiting_at(REDRIVE) == 0
    assert owner.task.waits(REDRIVE)
    # As when it comes again before its time.
    owner.work(REDRIVE)
    assert owner.task.positions[REDRIVE] == 0
    log.publish("b", 3)
    owner.work(IN)
    log.broken.clear()
    owner.task.hurry()
    owner.work_off()
    assert log.handled == {"a": [1, 2], "b": [3]}


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
