"""All brokers serve when the topics are read; one that does not come back by itself is restarted, and told.

Not every broker gets over everything. It measures its pauses between two tries to connect with the clock of
the day: one whose clock was ahead for a while may leave the others alone for as long as it was ahead. (Seen
with 4.3.1: one became the active controller afterwards, and did not register with itself.) What it has the
others have, too, and is to be read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from holdfast.chaos.lab.base import Lab
from holdfast.chaos.lab.brokers import node_of
from holdfast.chaos.run.waiting import START_S
from holdfast.errors import HoldfastError
from holdfast.kafka.departures import present_brokers

ALONE_S = 30.0
"""Seconds that brokers have to come back by themselves."""


def make_whole(lab: Lab, topic: str) -> Sequence[str]:
    """Wait until all brokers serve, and restart those that do not take part in the cluster for long.

    Args:
        lab: the brokers.
        topic: one that exists.

    Returns:
        The brokers that were restarted.

    Raises:
        HoldfastError: they do not serve even then, or are not ours to restart.
    """
    try:
        lab.brokers.wait_until_whole(ALONE_S)
    except HoldfastError:
        lost = _lost(lab.brokers.names, present_brokers(lab.bootstrap_servers, None, topic))
        if lab.kind == "external" or not lost:
            raise
        for name in lost:
            lab.brokers.stop(name)
            lab.brokers.start(name)
        lab.brokers.wait_until_whole(START_S)
        return lost
    return ()


def _lost(names: Sequence[str], present: Collection[int]) -> Sequence[str]:
    return tuple(name for name in names if node_of(name) not in present)
