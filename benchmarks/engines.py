"""The engines that are compared: how each one is started and where it leaves its results."""

from __future__ import annotations

import json
import shlex
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks import environments

Total = tuple[float, int]
DecodeTotal = Callable[[bytes, bytes], tuple[str, Total]]


@dataclass(frozen=True, slots=True)
class Engine:
    """One contender.

    Attributes:
        name: as `--engines` takes it and the report prints it.
        command: makes its environment if need be and returns the command; raises `UnavailableError`.
        guarantees: what it can be asked for.
        group: name of its consumer group, `{app}` stands for the application id.
        changelog: name of its changelog topic; None if it has none. `{input}` stands for the input topic.
        decode: one changelog record to (customer, (sum, count)).
        small: gets the small topic, because the big one would take it minutes.
    """

    name: str
    command: Callable[[], list[str]]
    guarantees: tuple[str, ...] = ("at-least-once", "exactly-once")
    group: str = "{app}"
    changelog: str | None = None
    decode: DecodeTotal | None = None
    small: bool = False

    def group_of(self, app_id: str) -> str:
        """The consumer group of the application `app_id`."""
        return self.group.format(app=app_id)

    def changelog_of(self, app_id: str, topic: str) -> str | None:
        """The changelog topic of the application `app_id` that reads `topic`."""
        return self.changelog and self.changelog.format(app=app_id, input=topic)


def decode_holdfast(key: bytes, value: bytes) -> tuple[str, Total]:
    """Key as in the input; value `[sum, count]`."""
    amount, count = json.loads(value)
    return key.decode(), (amount, count)


def decode_quix(key: bytes, value: bytes) -> tuple[str, Total]:
    """Key `<record key>|<state key as JSON>`; value `[sum, count]`."""
    amount, count = json.loads(value)
    return key.split(b"|", 1)[0].decode(), (amount, count)


def decode_faust(key: bytes, value: bytes) -> tuple[str, Total]:
    """Key and value as JSON."""
    amount, count = json.loads(value)
    return json.loads(key), (amount, count)


def decode_kafka_streams(key: bytes, value: bytes) -> tuple[str, Total]:
    """Key as a string; value a big-endian double and long."""
    amount, count = struct.unpack(">dq", value)
    return key.decode(), (amount, count)


def _python(environment: str, module: str, *extra: str) -> Callable[[], list[str]]:
    return lambda: [str(environments.python(environment)), "-m", f"benchmarks.runners.{module}", *extra]


def _kafka_streams(*extra: str) -> Callable[[], list[str]]:
    return lambda: [*environments.kafka_streams_command(), *extra]


KAFKA_STREAMS = Engine(
    "kafka-streams",
    _kafka_streams(),
    changelog="{app}-totals-changelog",
    decode=decode_kafka_streams,
)
FAUST = Engine(
    "faust",
    _python("faust", "faust_app"),
    changelog="{app}-totals-changelog",
    decode=decode_faust,
    small=True,
)
ENGINES = {
    engine.name: engine
    for engine in (
        Engine("bare", _python("bare", "bare"), guarantees=("none",)),
        Engine("bare-tuned", _python("bare", "bare", "--tuned"), guarantees=("none",)),
        Engine(
            "holdfast",
            lambda: [sys.executable, "-m", "benchmarks.runners.holdfast_app"],
            group="{app}.bench",
            changelog="{app}.bench.totals.changelog",
            decode=decode_holdfast,
        ),
        KAFKA_STREAMS,
        replace(KAFKA_STREAMS, name="kafka-streams-tuned", command=_kafka_streams("--tuned")),
        Engine(
            "quix",
            _python("quix", "quix"),
            changelog="changelog__{app}--{input}--default",
            decode=decode_quix,
        ),
        FAUST,
        replace(FAUST, name="faust-tuned", command=_python("faust", "faust_app", "--tuned")),
    )
}


def named(names: str) -> list[Engine]:
    """The engines of a comma-separated list, in the given order; raises ValueError for an unknown one."""
    chosen = [name.strip() for name in names.split(",")] if names else list(ENGINES)
    unknown = [name for name in chosen if name not in ENGINES]
    if unknown:
        raise ValueError(f"no engine {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    return [ENGINES[name] for name in chosen]


def custom(command: str, *, group: str = "{app}") -> Engine:
    """An engine given as a command line; it must keep the contract of `runners.common`."""
    words = shlex.split(command)
    return Engine("custom", lambda: words, group=group)
