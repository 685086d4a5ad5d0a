"""What a link does to packets, on a clock that the test moves."""

from __future__ import annotations

from dataclasses import asdict

from holdfast.chaos.network.links import Link, LinkCount, LinkRule, Met


def link(**rule: float | bool | None) -> Link:
    """A link under a rule."""
    made = Link("seed")
    made.set_rules({"fault": LinkRule(**rule)})  # type: ignore[arg-type]
    return made


def test_without_a_rule_everything_passes_at_once() -> None:
    plain = Link("seed")
    assert plain.due(100, 5.0) == 5.0
    assert (plain.count.passed, plain.count.bytes) == (1, 100)


def test_a_cut_link_drops_all_and_counts_it() -> None:
    cut = link(cut=True)
    assert [cut.due(100, 5.0) for _ in range(3)] == [None] * 3
    assert (cut.count.passed, cut.count.dropped) == (0, 3)


def test_the_share_of_lost_packets_is_the_declared_one() -> None:
    lossy = link(loss=0.2)
    lost = sum(lossy.due(100, 0.0) is None for _ in range(10_000))
    assert 1_800 < lost < 2_200
    assert lossy.count.dropped == lost


def test_packets_are_lost_alike_for_the_same_seed() -> None:
    one, other = link(loss=0.5), link(loss=0.5)
    fates = [one.due(1, 0.0) for _ in range(50)]
    assert fates == [other.due(1, 0.0) for _ in range(50)]
    assert None in fates


def test_a_delay_is_within_its_jitter_and_never_negative() -> None:
    slow = link(delay_s=0.1, jitter_s=0.3)
    found = [slow.due(100, 1.0) or 0.0 for _ in range(1_000)]
    assert min(found) == 1.0
    assert 1.35 < max(found) <= 1.4


def test_bandwidth_spaces_packets_by_their_size() -> None:
    narrow = link(rate=1024.0)
    assert [narrow.due(128, 0.0), narrow.due(256, 0.0), narrow.due(128, 0.0)] == [0.125, 0.375, 0.5]
    assert narrow.due(128, 10.0) == 10.125


def test_what_does_not_fit_into_the_queue_of_a_narrow_link_is_dropped() -> None:
    narrow = link(rate=1024.0)
    fates = [narrow.due(128, 0.0) for _ in range(100)]
    assert fates.index(None) == 17
    assert fates[17:] == [None] * 83
    assert narrow.due(128, 50.0) == 50.125


def of_two(first: LinkRule, second: LinkRule) -> Link:
    """A link on which two faults lie, the first one since before."""
    made = Link("seed")
    made.set_rules({"first": first})
    made.set_rules({"first": first, "second": second})
    return made


def test_two_faults_on_one_link_add_up() -> None:
    slow = of_two(LinkRule(delay_s=0.1), LinkRule(delay_s=0.2))
    assert round(slow.due(100, 1.0) or 0.0, 3) == 1.3
    lossy = of_two(LinkRule(loss=0.5), LinkRule(loss=0.5))
    assert 7_200 < sum(lossy.due(100, 0.0) is None for _ in range(10_000)) < 7_800
    narrow = of_two(LinkRule(rate=512.0), LinkRule(rate=1024.0))
    assert [narrow.due(512, 0.0), narrow.due(512, 0.0)] == [1.5, 2.5]
    assert of_two(LinkRule(delay_s=0.1), LinkRule(cut=True)).due(1, 0.0) is None


def test_each_fault_has_met_the_packets_that_it_did_something_to() -> None:
    """So what one of them drops or holds proves nothing of the other."""
    both = of_two(LinkRule(delay_s=0.1), LinkRule(cut=True))
    for _ in range(3):
        both.due(100, 0.0)
    assert both.count.met == {"first": Met(held=3), "second": Met(dropped=3)}
    shadowed = of_two(LinkRule(cut=True), LinkRule(delay_s=0.1))
    for _ in range(3):
        shadowed.due(100, 0.0)
    assert shadowed.count.met == {"first": Met(dropped=3), "second": Met()}


def test_a_fault_goes_on_counting_when_another_one_comes_or_goes() -> None:
    made = link(cut=True)
    made.due(100, 0.0)
    made.set_rules({"fault": LinkRule(cut=True), "other": LinkRule(loss=1.0)})
    made.due(100, 0.0)
    assert made.count.met["fault"].dropped == 2
    made.set_rules({"other": LinkRule(loss=1.0)})
    assert made.due(100, 0.0) is None
    assert made.count.met == {"other": Met(dropped=1)}
    assert (made.count.dropped, made.count.bytes) == (3, 300)


def test_what_a_link_counts_is_read_as_it_is_said() -> None:
    made = link(delay_s=0.1)
    made.due(100, 0.0)
    assert (
        LinkCount.of(asdict(made.count)) == made.count == LinkCount(held=1, bytes=100, met={"fault": Met(1)})
    )
