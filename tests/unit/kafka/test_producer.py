"""What a producer says before it talks to any broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast import Event, Producer
from holdfast.errors import SettingError
from holdfast.kafka.settings import SERVERS_VARIABLE


class Pinged(Event):
    """An event of this test."""

    host: str


def test_a_producer_without_brokers_says_how_to_name_them_and_where_their_address_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argument, variable, file; and the command that shows the local ones."""
    monkeypatch.delenv(SERVERS_VARIABLE, raising=False)
    file = tmp_path / "topology.yaml"
    file.write_text(f"app: pings\ntopics:\n  pings: {{event: {__name__}:Pinged, key: host, partitions: 1}}\n")
    with pytest.raises(SettingError) as caught:
        Producer.from_topology(file)
    for part in (
        "bootstrap_servers",
        SERVERS_VARIABLE,
        "kafka: {bootstrap.servers: ...}",
        "`holdfast status`",
    ):
        assert part in str(caught.value)
