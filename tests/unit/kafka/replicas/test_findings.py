"""From what was read to the verdict, and what a verdict tells to do."""

from __future__ import annotations

import pytest

from holdfast.kafka.replicas.compare import Copy, Difference
from holdfast.kafka.replicas.findings import Account, Judge
from holdfast.kafka.replicas.verdict import Finding, Retention, Verdict
from holdfast.record import TopicPartition

NOW = 1_700_000_000_000
DAY = 86_400_000


def copy(broker: int, floor: int = 0, position: int = 100, accompanied: int | None = None) -> Copy:
    """A replica that was read from a floor on."""
    compared = position - floor if accompanied is None else accompanied
    return Copy(broker, floor, position, records=position - floor, accompanied=compared)


def judged(
    *copies: Copy,
    accounts: dict[int, Account] | None = None,
    retention: Retention | None = None,
    parts: dict[int, tuple[str, ...]] | None = None,
) -> dict[int, Finding]:
    """Verdicts on replicas between 0 and 100; all that was read is proven unless said otherwise."""
    judge = Judge(TopicPartition("orders", 4), 0, 100, retention or Retention(), NOW)
    known = {each.broker: Account(proven=True) for each in copies} | (accounts or {})
    return judge.findings({each.broker: each for each in copies}, known, parts or {})


def test_what_was_read_and_compared_from_end_to_end_is_the_same() -> None:
    """Nothing to say of it."""
    assert judged(copy(1), copy(2)) == {1: Finding(Verdict.SAME), 2: Finding(Verdict.SAME)}


def test_a_difference_names_its_offset_its_parts_and_what_to_do() -> None:
    """The broker to stop and the folder to move away."""
    odd = copy(2)
    odd.first, odd.differing = Difference(42, 1), 3
    found = judged(copy(1), odd, copy(3), parts={2: ("value", "headers")})[2]
    assert (found.verdict, found.offset) == (Verdict.DIFFERS, 42)
    assert (
        "at offset 42 it has another value and headers than broker 1; 3 offsets differ in all" in found.detail
    )
    assert "stop broker 2, move its folder orders-4 away" in found.detail


def test_where_no_majority_says_what_is_right_no_replica_is_to_be_deleted() -> None:
    """It might be the good one."""
    one, two = copy(1), copy(2)
    one.first = Difference(5, 2, lacks=True, disputed=True)
    two.first = Difference(5, 1, extra=True, disputed=True)
    found = judged(one, two)
    assert "it has no record at offset 5, broker 2 has one. No majority" in found[1].detail
    assert "it has a record at offset 5, broker 1 has none. No majority" in found[2].detail
    assert not any("move" in each.detail for each in found.values())


def test_damage_comes_before_everything_else() -> None:
    """With the offset and what the client said."""
    odd = copy(2, position=50)
    odd.first = Difference(42, 1)
    found = judged(copy(1), odd, copy(3), accounts={2: Account(proven=True, damage=50, said="failed CRC32C")})
    assert (found[2].verdict, found[2].offset) == (Verdict.CORRUPT, 50)
    assert "(failed CRC32C)" in found[2].detail
    assert found[1] == found[3] == Finding(Verdict.SAME)


def test_what_could_not_be_read_to_its_end_is_not_good() -> None:
    """Also if all of it that was read is the same."""
    account = Account(proven=True, failure=60, said="nothing came for 15 s.")
    found = judged(copy(1), copy(2, position=60), copy(3), accounts={2: account})
    assert (found[2].verdict, found[2].offset) == (Verdict.NOT_READ, 60)
    assert "nothing came" in found[2].detail


def test_a_replica_that_another_broker_answered_for_was_not_read() -> None:
    """The leader's records prove nothing about a follower."""
    found = judged(copy(1), copy(2, floor=100), copy(3), accounts={2: Account(newest_missing=NOW)})
    assert found[2].verdict is Verdict.NOT_READ
    assert "another broker answered in its place" in found[2].detail


def test_with_nobody_to_compare_with_nothing_is_good() -> None:
    """One replica only, or one that goes on alone after the other ended."""
    alone = judged(copy(1, accompanied=0))[1]
    assert alone.verdict is Verdict.NOT_COMPARED
    assert "no other replica" in alone.detail
    account = Account(proven=True, damage=50, said="")
    found = judged(copy(1, accompanied=50), copy(2, position=50), accounts={2: account})
    assert found[1].verdict is Verdict.NOT_COMPARED
    assert "only 50 of its offsets" in found[1].detail


@pytest.mark.parametrize(
    ("retention", "newest", "verdict"),
    [
        (Retention(), NOW - 9 * DAY, Verdict.DIFFERS),
        (Retention(ms=7 * DAY), NOW - 9 * DAY, Verdict.SAME),
        (Retention(ms=7 * DAY), NOW - 6 * DAY, Verdict.DIFFERS),
        (Retention(limited=True), NOW, Verdict.SAME),
        (Retention(compacted=True), NOW - 9 * DAY, Verdict.DIFFERS),
    ],
)
def test_a_late_beginning_is_good_only_if_retention_explains_it(
    retention: Retention, newest: int, verdict: Verdict
) -> None:
    """Brokers delete old segments at times of their own; what is not old enough was lost."""
    account = Account(proven=True, newest_missing=newest)
    found = judged(copy(1, accompanied=70), copy(2, floor=30), accounts={2: account}, retention=retention)
    assert found[2].verdict is verdict
    assert "30" in found[2].detail
    # Below 30 the leader had nobody to be compared with: as it should be, if the other may begin there.
    assert (found[1].verdict is Verdict.SAME) == (verdict is Verdict.SAME)


def test_what_was_deleted_everywhere_during_the_check_is_not_missed() -> None:
    """The leader's log begins there too by now."""
    account = Account(proven=True, deleted_below=30)
    found = judged(copy(1, floor=30), copy(2, floor=30), accounts={1: account, 2: account})
    assert {each.verdict for each in found.values()} == {Verdict.SAME}


def test_an_empty_range_is_the_same_everywhere() -> None:
    """Nothing was to be read."""
    judge = Judge(TopicPartition("t", 0), 5, 5, Retention(), NOW)
    copies = {broker: Copy(broker, 5, 5) for broker in (1, 2)}
    found = judge.findings(copies, {1: Account(), 2: Account()}, {})
    assert found == {1: Finding(Verdict.SAME), 2: Finding(Verdict.SAME)}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Retention()),
        ({"cleanup.policy": "delete", "retention.ms": "1000", "retention.bytes": "-1"}, Retention(ms=1000)),
        ({"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "5"}, Retention(limited=True)),
        (
            {"cleanup.policy": "compact", "retention.ms": "1000", "retention.bytes": "5"},
            Retention(compacted=True),
        ),
        ({"cleanup.policy": "compact,delete", "retention.ms": "9"}, Retention(compacted=True, ms=9)),
    ],
)
def test_retention_follows_from_the_topics_settings(config: dict[str, str], expected: Retention) -> None:
    """A topic that only compacts deletes nothing for its age or size."""
    assert Retention.of(config) == expected
