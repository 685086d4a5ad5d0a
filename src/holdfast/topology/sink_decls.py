"""The declarations of sinks: downstream systems that processors write to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, StrictStr, Tag

from holdfast.declaration.base import Declared
from holdfast.errors import PolicyError
from holdfast.resilience import BreakerSettings
from holdfast.topology.fields import (
    BrokerTimeout,
    ColumnName,
    ColumnType,
    Compression,
    ConfigValue,
    Count,
    Database,
    Folder,
    Fraction,
    Growth,
    HeaderName,
    HostPort,
    Interval,
    KeyName,
    QualifiedName,
    RedisUrl,
    Reference,
    Replicas,
    Servers,
    ServiceUrl,
    SinkTimeout,
    Status,
    Text,
    TopicPrefix,
)

_A_YEAR_S = 365 * 86_400.0

DOWN_STATUSES = ("401", "403", "407", "408", "425", "429", "5xx")
"""Answers of an HTTP service that is in trouble, asks for a pause, or does not know us (any more)."""

_CALL_MS = 2_000
"""How long one call may take unless it is told."""

NO_TYPE = "nothing"
"""What stands for the type of a sink that has none."""


class BreakerDecl(Declared):
    """When a sink is given time to come back.

    While the circuit is open the sink gets nothing, and the inputs wait. A batch is one call.
    """

    failure_rate: Fraction = 0.5
    """The circuit opens when this fraction of the calls in the window failed, or more."""

    slow_call_ms: Interval | None = Field(None, alias="slow_call")
    """How long a call takes at least to be slow."""

    slow_call_rate: Fraction | None = None
    """The circuit opens when this fraction of the calls in the window was slow, or more, failed or not."""

    window_calls: Count = 10
    """How many last calls are looked at."""

    window_ms: Interval | None = Field(None, alias="window")
    """The calls of how much time are looked at, in whole seconds, instead of so many last ones."""

    minimum_calls: Count = 3
    """From how many calls in the window on the rates are looked at."""

    open_ms: Interval = Field(1_000, alias="open")
    """For how long nothing is sent when the circuit opens first."""

    open_growth: Growth = 2.0
    """By what that time is multiplied each time the sink is tried and still fails."""

    open_limit_ms: Interval = Field(30_000, alias="open_limit")
    """What that time grows to at most."""

    half_open_calls: Count = 1
    """How many calls with single records have to succeed before whole batches go again."""

    def settings(self) -> BreakerSettings:
        """The breaker's settings.

        Raises:
            PolicyError: with these values the circuit could never open, or two of them exclude each other.
        """
        self._check_pairs()
        by_time = self.window_ms is not None
        return BreakerSettings(
            failure_rate=self.failure_rate,
            slow_call_rate=self.slow_call_rate,
            slow_call_s=self.slow_call_ms / 1000 if self.slow_call_ms is not None else None,
            window_s=self.window_ms // 1000 if self.window_ms is not None else None,
            window_calls=None if by_time else self.window_calls,
            minimum_calls=self.minimum_calls,
            open_s=self.open_ms / 1000,
            open_growth=self.open_growth,
            open_limit_s=self.open_limit_ms / 1000,
            half_open_calls=self.half_open_calls,
            # Each probe ends in time, and the next one may be long in coming.
            half_open_s=_A_YEAR_S,
        )

    def _check_pairs(self) -> None:
        if self.open_limit_ms < self.open_ms:
            limit_s, open_s = self.open_limit_ms / 1000, self.open_ms / 1000
            raise PolicyError(f"open_limit ({limit_s:g}s) must not be below open ({open_s:g}s)")
        if (self.slow_call_ms is None) != (self.slow_call_rate is None):
            raise PolicyError("slow_call and slow_call_rate work only together: set both or none")
        if self.window_ms is None:
            return
        if "window_calls" in self.model_fields_set:
            raise PolicyError("a breaker has one window: keep `window` (a time) or `window_calls`, not both")
        if self.window_ms % 1000:
            raise PolicyError(f"window is counted in whole seconds, not in {self.window_ms} ms")


class CallBreakerDecl(BreakerDecl):
    """When a service is given time to come back; each call on its own counts."""

    window_calls: Count = 100
    """How many last calls are looked at."""

    minimum_calls: Count = 20
    """From how many calls in the window on the rate is looked at."""


class AnySinkDecl(Declared):
    """What every sink has, whatever it writes to."""

    client: ClassVar[str | None] = None

    puts_states: ClassVar[str | None] = None
    """How a state is put over the one before, as in "with Upsert"; None where records are only added."""

    name: str = Field(alias="<name>")
    """The sink's name: its key in the file."""

    timeout_ms: SinkTimeout = Field(10_000, alias="timeout")
    """How long a batch may take before it is given up and the sink counts as failing; from 100ms to 20s."""

    breaker: BreakerDecl = Field(default_factory=lambda: BreakerDecl.model_validate({}))
    """When the sink is given time to come back, instead of calls."""


class PostgresSinkDecl(AnySinkDecl):
    """A PostgreSQL database: exactly-once, as it keeps the inputs' positions beside the rows."""

    accepts: ClassVar[tuple[str, ...]] = tuple(
        f"holdfast.sinks.postgres.writes:{name}" for name in ("Upsert", "Insert", "Delete", "Execute")
    )

    puts_states: ClassVar[str | None] = "with Upsert"

    type: Literal["postgres"]
    """What kind of system it is."""

    # Not in repr: it may hold a password.
    dsn: Text = Field(repr=False)
    """Where it is: a libpq connection string or URI.

    `${NAME}` stands for an environment variable of the worker. What it does not say is taken from libpq's
    variables, such as `PGPASSWORD`, and files.
    """

    positions: QualifiedName = "holdfast_positions"
    """The table that the inputs' positions are kept in; it is created if it does not exist."""


class HttpSinkDecl(AnySinkDecl):
    """A service over HTTP: each call at least once, with a key by which the service knows it again."""

    accepts: ClassVar[tuple[str, ...]] = ("holdfast.sinks.http.calls:HttpCall",)

    client: ClassVar[str | None] = "holdfast.sinks.http.client:HttpClient"

    puts_states: ClassVar[str | None] = "with PUT"

    type: Literal["http"]
    """What kind of system it is."""

    url: ServiceUrl
    """Where it is: the paths of calls go below it."""

    headers: Mapping[HeaderName, ConfigValue] = Field(default={}, repr=False)
    """Headers of every call; `${NAME}` stands for an environment variable of the worker."""

    call_timeout_ms: SinkTimeout | None = Field(None, alias="call_timeout")
    """How long one call may take before it is given up: 2s, or half of a shorter `timeout`, unless given."""

    attempts: Count = 3
    """How often a call is made at most before the service counts as down."""

    concurrent: Count = 32
    """How many calls are made at once, all of different keys."""

    rate: Count | None = None
    """How many calls a worker begins in a second at most; no limit unless given."""

    down: tuple[Status, ...] = DOWN_STATUSES
    """Answers that are no record's fault: what waits for the service is not set aside."""

    breaker: CallBreakerDecl = Field(default_factory=lambda: CallBreakerDecl.model_validate({}))
    """When the service is given time to come back, instead of calls."""

    @property
    def call_ms(self) -> int:
        """How long one call may take, in milliseconds."""
        if self.call_timeout_ms is not None:
            return self.call_timeout_ms
        # A call that took as long as a handler may would never be given up before it is cut.
        return _CALL_MS if self.timeout_ms > _CALL_MS else self.timeout_ms // 2


class RedisSinkDecl(AnySinkDecl):
    """A Redis, alone or behind Sentinel: exactly-once, as it keeps the inputs' positions beside the data."""

    accepts: ClassVar[tuple[str, ...]] = tuple(
        f"holdfast.sinks.redis.writes:{name}"
        for name in ("Set", "HashSet", "Delete", "Increment", "HashIncrement", "SortedSetAdd", "Command")
    )

    puts_states: ClassVar[str | None] = "with Set or HashSet"

    type: Literal["redis"]
    """What kind of system it is."""

    # Not in repr: it may hold a password.
    url: RedisUrl | None = Field(None, repr=False)
    """Where a single server is; `${NAME}` stands for an environment variable of the worker."""

    sentinels: Annotated[tuple[HostPort, ...], Field(min_length=1)] | None = None
    """Where the Sentinels are, instead of `url`."""

    master: Text | None = None
    """What the Sentinels call the master."""

    username: Text | None = None
    """Who we are at a server behind Sentinel."""

    password: Text | None = Field(None, repr=False)
    """The password there; `${NAME}` stands for an environment variable of the worker."""

    sentinel_password: Text | None = Field(None, repr=False)
    """The password of the Sentinels themselves, likewise."""

    database: Database | None = None
    """The number of the database behind Sentinel, 0 unless given."""

    replicas: Replicas | None = None
    """On how many replicas a batch has to be before it counts: 1 behind Sentinel, else 0, unless given."""

    positions: KeyName = "holdfast:positions"
    """How the keys begin that hold the inputs' positions; the consumer group follows after a colon."""

    @property
    def copies(self) -> int:
        """On how many replicas a batch has to be."""
        return self.replicas if self.replicas is not None else int(self.sentinels is not None)


class ParquetSinkDecl(AnySinkDecl):
    """Parquet files in a folder: exactly-once, as a log beside them says what is written."""

    accepts: ClassVar[tuple[str, ...]] = (
        "holdfast.sinks.parquet.rows:Row",
        "holdfast.schema.event:Event",
    )

    type: Literal["parquet"]
    """What kind of system it is."""

    path: Folder
    """The folder; it has to be there. All workers that write to it see the same one."""

    partition_by: tuple[ColumnName, ...] = ()
    """Columns that become folders, such as `day=2026-11-29`, outermost first."""

    columns: Mapping[ColumnName, ColumnType] | None = Field(None, alias="schema", min_length=1)
    """The type of each column; without it, those of the events' fields."""

    compression: Compression = "zstd"
    """How files are compressed."""


class KafkaSinkDecl(AnySinkDecl):
    """Another Kafka cluster: exactly-once, as it keeps the inputs' positions beside the records."""

    accepts: ClassVar[tuple[str, ...]] = ("holdfast.sinks.kafka.writes:KafkaRecord",)

    puts_states: ClassVar[str | None] = "in a compacted topic"

    type: Literal["kafka"]
    """What kind of system it is."""

    bootstrap_servers: Servers
    """Where some of its brokers are."""

    # Not in repr: they may hold passwords.
    kafka: Mapping[str, ConfigValue] = Field(default={}, repr=False)
    """Client properties of librdkafka; `${NAME}` stands for an environment variable of the worker."""

    positions: TopicPrefix = "holdfast.positions"
    """How the topics' names begin that hold the inputs' positions; the consumer group follows after a dot."""

    timeout_ms: BrokerTimeout = Field(10_000, alias="timeout")
    """How long a batch may take before it is given up and the sink counts as failing; from 1s to 20s."""


class CustomSinkDecl(AnySinkDecl):
    """A system that the application brings a sink for, or something to ask it with."""

    puts_states: ClassVar[str | None] = "where the sink replaces what is there"

    type: Literal["custom"]
    """What kind of system it is."""

    sink: Reference
    """The class of the sink, derived from `holdfast.sinks.base:Sink`, or `Downstream` (`module:name`)."""

    options: Mapping[StrictStr, Any] = Field(default={}, repr=False)
    """Arguments for the class, by name."""


ACCEPTED: Mapping[str, tuple[str, ...]] = {
    "postgres": PostgresSinkDecl.accepts,
    "http": HttpSinkDecl.accepts,
    "redis": RedisSinkDecl.accepts,
    "parquet": ParquetSinkDecl.accepts,
    "kafka": KafkaSinkDecl.accepts,
}
"""What handlers return for sinks of each type, as `module:name`; `custom` sinks say it themselves."""


def _type(data: Any) -> str:
    found = data.get("type") if isinstance(data, dict) else getattr(data, "type", None)
    return NO_TYPE if found is None else str(found)


SinkDecl = Annotated[
    Annotated[PostgresSinkDecl, Tag("postgres")]
    | Annotated[HttpSinkDecl, Tag("http")]
    | Annotated[RedisSinkDecl, Tag("redis")]
    | Annotated[ParquetSinkDecl, Tag("parquet")]
    | Annotated[KafkaSinkDecl, Tag("kafka")]
    | Annotated[CustomSinkDecl, Tag("custom")],
    Discriminator(_type),
]
