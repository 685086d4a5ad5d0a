"""What a simulated member of a group tells its application."""

from __future__ import annotations

from holdfast.testing.simulation.client import SimCluster
from holdfast.testing.simulation.groups import Given
from holdfast.testing.simulation.kernel import Kernel, Process, Signal
from holdfast.testing.simulation.membership import Change, Membership

SETTINGS = {
    "group.id": "group",
    "group.instance.id": "one",
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 500,
}


def test_shards_that_were_lost_are_told_though_the_member_is_lost_again() -> None:
    """An answer that was on its way all the time is for a member that is no more (found by seed 4005470)."""
    kernel = Kernel(1)
    cluster = SimCluster.on(kernel)
    cluster.brokers.create("inputs", 2)
    member = Membership(cluster, Process("test"), SETTINGS, "inputs", Signal(kernel))
    kernel.run(lambda: bool(member.changes), 100.0, 100_000)
    assert member.take() == (Change.ASSIGN, [0, 1])
    member.told()
    # It joins again, and is frozen for longer than its session before the answer comes.
    standing = member.standing
    member._join()
    attempt = member._joining
    member._lose()
    member._given(attempt, Given(standing, frozenset({0, 1})))
    member._lose()
    assert member.changes == [(Change.LOST, [0, 1])]
