"""What a link does to packets, on a clock that the test moves."""

from __future__ import annotations

from holdfast.chaos.network.links import Link, LinkRule


def link(**rule: float | bool | None) -> Link:
    """A link under a rule."""
    made = Link("seed")
    made.rule = LinkRule(**rule)  # type: ignore[arg-type]
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


def test_two_faults_on_one_link_add_up() -> None:
    joined = LinkRule(loss=0.5, delay_s=0.1, rate=10.0).joined(LinkRule(loss=0.5, delay_s=0.2, rate=5.0))
    assert joined.loss == 0.75
    assert round(joined.delay_s, 3) == 0.3
    assert joined.rate == 5.0
    assert LinkRule().joined(LinkRule(cut=True)).cut
