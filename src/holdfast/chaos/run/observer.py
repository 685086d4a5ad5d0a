"""Asks the brokers again and again who has which part and how much waits: a process of its own.

The client's admin calls can end the process that makes them when brokers vanish under them (an assertion in
librdkafka, https://github.com/confluentinc/librdkafka/issues/4605). That must cost a few looks, not a run. So
they are made here, ``python -m holdfast.chaos.run.observer JSON``, and each look is a line of JSON:

    {"owners": {shard: worker}, "at": t}      {"leaders": {place: broker}, "at": t}
    {"lag": [of each shard], "drained": whether nothing is left, "began": t}

with times of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from holdfast.chaos.run.parts import NOBODY
from holdfast.errors import HoldfastError
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.roles import BrokerRoles
from holdfast.record import TopicPartition

LOOK_S = 0.2
_ASK_S = 1.5
"""Seconds for one question: brokers that do not answer must not keep us from those that do."""


class Looks:
    """The looks at one workload.

    Args:
        asked: servers, group, workers (by group instance id), topic, and inputs as [topic, partitions].
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        self._servers: str = asked["servers"]
        self._group: str = asked["group"]
        self._workers: dict[str, str] = asked["workers"]
        self._topic: str = asked["topic"]
        self._places = [
            TopicPartition(topic, number) for topic, count in asked["inputs"] for number in range(count)
        ]
        self._shards = max((count for _, count in asked["inputs"]), default=0)
        self._lock = threading.Lock()

    @property
    def all(self) -> tuple[Callable[[], None], ...]:
        """Those that make sense: without inputs there is no group."""
        return (self.leaders, self.owners, self.lag) if self._places else (self.leaders,)

    def owners(self) -> None:
        """Who has which shard, as long as the brokers answer."""
        with GroupAdmin(self._servers, timeout=_ASK_S) as admin:
            while True:
                group = admin.describe(self._group)
                if group.state == "stable":
                    found = {str(number): NOBODY for number in range(self._shards)} | {
                        str(place.partition): self._workers.get(member.instance_id or "", member.client_id)
                        for member in group.members
                        for place in member.partitions
                        if place.topic == self._topic
                    }
                    self._say({"owners": found, "at": time.monotonic()})
                time.sleep(LOOK_S)

    def leaders(self) -> None:
        """Who leads which partition, as long as the brokers answer."""
        roles = BrokerRoles(self._servers, timeout=_ASK_S)
        while True:
            found = {
                f"{self._topic}/{number}": f"broker-{leader}" if leader >= 0 else NOBODY
                for number, leader in roles.leaders(self._topic).items()
            }
            self._say({"leaders": found, "at": time.monotonic()})
            time.sleep(LOOK_S)

    def lag(self) -> None:
        """How much waits, as long as the brokers answer."""
        with GroupAdmin(self._servers) as admin:
            while True:
                began = time.monotonic()
                state = admin.is_drained({self._group: self._places})
                lag = [0] * self._shards
                for place, standing in state.groups.get(self._group, {}).items():
                    lag[place.partition] += standing.lag
                is_known = self._group in state.groups
                self._say({"lag": lag if is_known else [], "drained": state.drained, "began": began})
                time.sleep(LOOK_S)

    def repeat(self, look: Callable[[], None]) -> None:
        """Begin anew after each silence: an old client may go on asking the wrong broker."""
        while True:
            try:
                look()
            except HoldfastError:
                time.sleep(LOOK_S)

    def _say(self, line: dict[str, Any]) -> None:
        text = json.dumps(line) + "\n"
        with self._lock:
            try:
                sys.stdout.write(text)
                sys.stdout.flush()
            except BrokenPipeError:
                # Its owner is gone.
                os._exit(0)


def main() -> None:
    """Look until nobody listens."""
    looks = Looks(json.loads(sys.argv[1]))
    for look in looks.all:
        threading.Thread(target=looks.repeat, args=(look,), daemon=True).start()
    # Nothing is ever written to it: what can be read is its end.
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
