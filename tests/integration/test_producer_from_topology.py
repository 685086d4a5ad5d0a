"""A producer opened from a topology file, as a user's own service would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast import Event, Producer
from holdfast.errors import SettingError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.provision import provision
from holdfast.kafka.settings import SERVERS_VARIABLE
from holdfast.topology import load
from tests.conftest import TestCluster

pytestmark = pytest.mark.integration


class Pinged(Event):
    """An event of this test."""

    host: str


def _write(folder: Path, topic: str, kafka: str = "") -> Path:
    path = folder / "topology.yaml"
    path.write_text(
        f"app: pings\n{kafka}topics:\n  {topic}: {{event: {__name__}:Pinged, key: host, partitions: 1}}\n"
    )
    return path


def test_a_producer_opens_from_the_file_and_the_environment(
    cluster: TestCluster, tmp_path: Path, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file names the topic and the event, the environment names the brokers."""
    path = _write(tmp_path, topic_name)
    provision(TopicAdmin(cluster.bootstrap_servers, {}), load(path))
    monkeypatch.setenv(SERVERS_VARIABLE, cluster.bootstrap_servers)
    with Producer.from_topology(path, [topic_name]) as producer:
        producer.publish(Pinged(host="a"))
    assert producer.stats.delivered == 1


def test_a_producer_without_brokers_says_how_to_name_them(
    tmp_path: Path, unique_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither argument, nor environment, nor file."""
    monkeypatch.delenv(SERVERS_VARIABLE, raising=False)
    with pytest.raises(SettingError, match=SERVERS_VARIABLE):
        Producer.from_topology(_write(tmp_path, unique_name("pings")))
