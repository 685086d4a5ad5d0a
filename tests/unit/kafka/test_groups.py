"""All groups of a cluster, as its brokers tell."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.groups import GroupAdmin


def brokers(monkeypatch: pytest.MonkeyPatch, names: list[str], *errors: KafkaException) -> GroupAdmin:
    """Brokers, some of which tell of these groups, and others have these errors."""
    answer: Future[Any] = Future()
    answer.set_result(
        SimpleNamespace(valid=[SimpleNamespace(group_id=name) for name in names], errors=list(errors))
    )
    client = SimpleNamespace(list_consumer_groups=lambda **_: answer)
    monkeypatch.setattr("holdfast.kafka.offsets.require_brokers", lambda *_, **__: None)
    monkeypatch.setattr("holdfast.kafka.offsets.AdminClient", lambda _: client)
    return GroupAdmin("localhost:1")


def test_the_groups_of_all_brokers_are_told_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert brokers(monkeypatch, ["b", "a"]).groups() == ("a", "b")


def test_groups_are_not_told_without_those_of_a_broker_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever deletes a run's groups would take the missing ones for deleted."""
    silent = KafkaException(KafkaError(KafkaError._TRANSPORT))
    with pytest.raises(BrokersUnreachable, match="listing the groups of localhost:1"):
        brokers(monkeypatch, ["a"], silent).groups()
