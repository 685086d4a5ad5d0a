"""Workloads on topics of a run's own."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from holdfast.chaos.workloads.plans import PLANS
from holdfast.kafka.partitioner import partition_of


@pytest.mark.parametrize("name", PLANS)
def test_a_prefix_is_before_the_name_of_every_topic_and_nowhere_else(name: str) -> None:
    plan = PLANS[name]
    prefixed = plan.prefixed("r3-")
    assert [topic.name for topic in prefixed.topics] == [f"r3-{topic.name}" for topic in plan.topics]
    assert prefixed.input_value == {f"r3-{topic}": value for topic, value in plan.input_value.items()}
    assert {topic.name for topic in prefixed.inputs} == set(prefixed.input_value)
    assert prefixed.fold is plan.fold
    assert plan.prefixed("") == plan


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("partitions", [1, 6, 12])
def test_as_many_keys_as_a_plan_says_are_enough_for_every_partition(name: str, partitions: int) -> None:
    plan = PLANS[name]
    enough = plan.keys_for(partitions)
    offered = islice(plan.offer(enough, random.Random(1)), 100 * enough)
    assert {partition_of(it.key.encode(), partitions) for it in offered} == set(range(partitions))
