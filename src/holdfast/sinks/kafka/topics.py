"""Whether the topics of records exist. The client itself would only wait for one that does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from holdfast.errors import SinkError
from holdfast.kafka.admin import TopicAdmin
from holdfast.record import Position
from holdfast.sinks.kafka.shard import Made

_NEWS_S: Final = 1.0
"""Seconds in which a broker hears of a topic that was just created."""

_LOOK_S: Final = 0.1


class KnownTopics:
    """The topics that were seen. Several threads may ask.

    Args:
        servers: the brokers, for messages.
    """

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._known: set[str] = set()

    def forget(self) -> None:
        """Look at all of them again: they may be gone."""
        self._known = set()

    def require(self, records: Sequence[Made], admin: Callable[[], TopicAdmin]) -> None:
        """Make sure that all topics of some records exist.

        Args:
            records: the records.
            admin: asked only if one of them is new.

        Raises:
            SinkError: one does not exist.
            ClusterError: nobody says.
        """
        wanted: dict[str, Position] = {}
        for position, outputs in records:
            for output in outputs:
                if output.topic not in self._known:
                    wanted.setdefault(output.topic, position)
        deadline = time.monotonic() + _NEWS_S
        while wanted:
            found = admin().partitions(wanted)
            self._known = self._known | found.keys()
            missing = [topic for topic in wanted if topic not in found]
            if not missing:
                return
            if time.monotonic() > deadline:
                raise self._missing({topic: wanted[topic] for topic in missing})
            time.sleep(_LOOK_S)

    def _missing(self, topics: dict[str, Position]) -> SinkError:
        names = ", ".join(f"{topic!r} (for {position})" for topic, position in topics.items())
        return SinkError(
            f"the cluster at {self._servers} has no topic {names}, or this user may not see it. Create it "
            "there (`holdfast apply` creates those of the application's own cluster only), or mend its name "
            "in the handler"
        )
