"""What is said when brokers refuse a topic for reasons that a plain test cluster does not have."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from holdfast.errors import BrokersUnreachable, TopicRefused
from holdfast.kafka.admin import _creation_problem
from holdfast.topology import TopicSpec

SPEC = TopicSpec("orders", 3, 3, origin="topology.yaml:5")


FORBIDDEN = "this user may not create it; grant it CREATE."


@pytest.mark.parametrize(
    ("code", "end"),
    [
        (
            KafkaError.POLICY_VIOLATION,
            " (a policy of the cluster): too small, sorry. Change its declaration.",
        ),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, f": {FORBIDDEN}"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, f": {FORBIDDEN}"),
    ],
    ids=["policy", "topic-authorization", "cluster-authorization"],
)
def test_a_refusal_names_topic_line_and_reason(code: int, end: str) -> None:
    """And what to do."""
    problem = _creation_problem(SPEC, KafkaError(code, "too small,\nsorry."))
    assert isinstance(problem, TopicRefused)
    assert str(problem) == f"the brokers refuse the topic orders (topology.yaml:5){end}"


def test_a_topic_that_exists_already_is_no_problem() -> None:
    """Somebody else may have been first; whether it is the same topic is compared afterwards."""
    assert _creation_problem(SPEC, KafkaError(KafkaError.TOPIC_ALREADY_EXISTS)) is None


def test_a_lost_connection_is_not_blamed_on_the_topic() -> None:
    """It keeps its own kind."""
    assert isinstance(_creation_problem(SPEC, KafkaError(KafkaError._TIMED_OUT)), BrokersUnreachable)
