"""Asks the brokers again and again who has which part and how much waits: a process of its own.

The client's admin calls can end the process that makes them when brokers vanish under them (an assertion in
librdkafka, https://github.com/confluentinc/librdkafka/issues/4605). That must cost a few looks, not a run. So
they are made here, ``python -m holdfast.chaos.run.observer JSON``, and each look is a line of JSON:

    {"owners": {shard: worker}, "at": t}      {"leaders": {place: broker}, "at": t}
    {"lag": [of each shard of each group], "drained": whether nothing is left, "began": t}
    {"mistake": what no look should raise, in words}

with times of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from holdfast.chaos.run.parts import NOBODY, subject_of
from holdfast.errors import HoldfastError
from holdfast.kafka.groups import Drained, GroupAdmin
from holdfast.kafka.roles import BrokerRoles
from holdfast.record import TopicPartition

LOOK_S = 0.2
"""Seconds from one look to the next."""

MANY_S = 0.5
"""The same where there are several groups, so that looking at them is no load."""

_ASK_S = 1.5
"""Seconds for one question: brokers that do not answer must not keep us from those that do."""


class Looks:
    """The looks at one workload.

    Args:
        asked: what `parts.asked_of` makes: servers, topic, and groups.
    """

    def __init__(self, asked: dict[str, Any]) -> None:
        self._servers: str = asked["servers"]
        self._topic: str = asked["topic"]
        self._groups = [_Group(each) for each in asked["groups"]]
        self._busy = [group for group in self._groups if group.places]
        self._pause = LOOK_S if len(self._groups) < 2 else MANY_S
        self._lock = threading.Lock()

    @property
    def all(self) -> tuple[Callable[[], None], ...]:
        """Those that make sense: a group whose members cannot be told apart has no owners to look at."""
        told = [partial(self.owners, group) for group in self._groups if group.members]
        return (self.leaders, *told, *([self.lag] if self._busy else []))

    def owners(self, of: _Group) -> None:
        """Who has which shard of a group, as long as the brokers answer."""
        with GroupAdmin(self._servers, timeout=_ASK_S) as admin:
            while True:
                group = admin.describe(of.name)
                if group.state == "stable":
                    found = {subject_of(of.label, number): NOBODY for number in range(of.shards)} | {
                        subject_of(of.label, place.partition): of.members.get(
                            member.instance_id or "", member.client_id
                        )
                        for member in group.members
                        for place in member.partitions
                        if place.topic == of.topic
                    }
                    self._say({"owners": found, "at": time.monotonic()})
                time.sleep(self._pause)

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
                state = admin.is_drained({group.name: group.places for group in self._busy})
                lag = [number for group in self._busy for number in _lag(group, state)]
                is_known = len(state.groups) == len(self._busy)
                self._say({"lag": lag if is_known else [], "drained": state.drained, "began": began})
                time.sleep(self._pause)

    def repeat(self, look: Callable[[], None]) -> None:
        """Begin anew after each silence: an old client may go on asking the wrong broker."""
        while True:
            try:
                look()
            except HoldfastError:
                time.sleep(LOOK_S)
            except Exception as error:  # noqa: BLE001 - a look that is not there any more is told, not missed
                self._say({"mistake": f"{error!r}"})
                time.sleep(_ASK_S)

    def _say(self, line: dict[str, Any]) -> None:
        text = json.dumps(line) + "\n"
        with self._lock:
            try:
                sys.stdout.write(text)
                sys.stdout.flush()
            except BrokenPipeError:
                # Its owner is gone.
                os._exit(0)


class _Group:
    """A group as it is asked about; see `GroupPlan`."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.name: str = asked["group"]
        self.label: str = asked["label"]
        self.topic, self.shards = asked["source"]
        self.members: dict[str, str] = asked["members"]
        self.places = [
            TopicPartition(topic, number) for topic, count in asked["inputs"] for number in range(count)
        ]


def _lag(group: _Group, state: Drained) -> list[int]:
    """What waits for each shard of a group."""
    lag = [0] * group.shards
    for place, standing in state.groups.get(group.name, {}).items():
        lag[place.partition] += standing.lag
    return lag


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
