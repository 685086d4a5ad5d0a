"""A Faust worker's process, as far as it can be told without brokers."""

from __future__ import annotations

import logging

import pytest

from holdfast.runtime.faust_process import limit_client_logs


def test_what_its_client_repeats_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Some lines of each kind in ten seconds, in the words of aiokafka."""
    limit_client_logs()
    client, sender = logging.getLogger("aiokafka"), logging.getLogger("aiokafka.producer.sender")
    try:
        for n in range(500):
            client.error("Unable connect to node with id %s: %s", n % 3, "refused")
            client.error("Unable to update metadata from %s", [n % 3])
            sender.warning("Got error produce response: %s", "not ready")
        assert len(caplog.messages) == 15
    finally:
        for log in map(logging.getLogger, list(logging.root.manager.loggerDict)):
            if log.name.startswith("aiokafka"):
                for limit in list(log.filters):
                    limit.tell(all_of_them=True)  # type: ignore[union-attr]
                    log.removeFilter(limit)
