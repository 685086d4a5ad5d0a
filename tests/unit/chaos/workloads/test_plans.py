"""Workloads on topics of a run's own."""

from __future__ import annotations

import pytest

from holdfast.chaos.workloads.plans import PLANS


@pytest.mark.parametrize("name", PLANS)
def test_a_prefix_is_before_the_name_of_every_topic_and_nowhere_else(name: str) -> None:
    plan = PLANS[name]
    prefixed = plan.prefixed("r3-")
    assert [topic.name for topic in prefixed.topics] == [f"r3-{topic.name}" for topic in plan.topics]
    assert prefixed.input_value == {f"r3-{topic}": value for topic, value in plan.input_value.items()}
    assert {topic.name for topic in prefixed.inputs} == set(prefixed.input_value)
    assert prefixed.fold is plan.fold
    assert plan.prefixed("") == plan
