"""Whom a target means in a run whose topics have names of their own."""

from __future__ import annotations

from typing import Any, cast

import pytest

from holdfast.chaos.experiment.targets import Group, parse_target
from holdfast.chaos.run.parts import Holders
from holdfast.chaos.run.surroundings import Surroundings
from holdfast.chaos.run.whom import Whom
from holdfast.record import TopicPartition


class Roles:
    """Knows one leader of each partition."""

    def __init__(self) -> None:
        self.leaders = {TopicPartition("r1-steps", 0): 2, TopicPartition("r1-stepped", 3): 1}

    def leader(self, place: TopicPartition) -> int:
        return self.leaders[place]


@pytest.mark.parametrize(("said", "broker"), [("leader", "broker-2"), ("leader of stepped/3", "broker-1")])
def test_targets_name_topics_without_the_prefix_of_a_run(said: str, broker: str) -> None:
    surroundings = Surroundings(
        brokers=("broker-1", "broker-2", "broker-3"),
        workers=cast("Any", None),
        roles=cast("Any", Roles()),
        owners=Holders(),
        topic="r1-steps",
        group="r1-chaos.lab",
        transactional_id="r1-chaos.lab.worker-0",
        prefix="r1-",
    )
    assert Whom(surroundings).brokers(parse_target(said, Group.BROKER), 0.0) == (broker,)
