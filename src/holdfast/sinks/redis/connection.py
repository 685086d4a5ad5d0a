"""One connection to the Redis that takes the writes, whose every use ends in time.

Behind Sentinel it asks who that is, each time that it connects: after a fail-over the old connection is of no
use, as its server is gone, or has become a replica that takes no writes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import hiredis
from redis import exceptions
from redis.connection import Connection, SSLConnection, parse_url
from redis.sentinel import MasterNotFoundError, Sentinel

from holdfast.errors import SinkDown, SinkError
from holdfast.sinks.dialling import dial
from holdfast.sinks.redis.judge import judge_connecting, text_of

_FAILURES: Final = (exceptions.RedisError, OSError)
_DEFAULT_PORT: Final = 6379
_DEFAULT_SENTINEL_PORT: Final = 26379

Reply = Any


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is, and who we are there.

    Attributes:
        url: of a single server; empty behind Sentinel.
        sentinels: `host:port` of each.
        master: what they call it.
        username: of a server behind Sentinel.
        password: likewise.
        database: its number, likewise.
        sentinel_password: of the Sentinels themselves.
    """

    url: str = field(default="", repr=False)
    sentinels: tuple[str, ...] = ()
    master: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    sentinel_password: str | None = field(default=None, repr=False)


class BoundedConnection:
    """Connects when it is used first, and again after it failed.

    Args:
        address: where to.
        timeout: seconds that one use may take, and connecting as well.
        sink: the sink's name, for messages.
    """

    def __init__(self, address: Address, timeout: float, sink: str) -> None:
        self._address = address
        self._timeout = timeout
        self._sink = sink
        self._connection: Connection | None = None
        self._deadline = 0.0

    @contextlib.contextmanager
    def used(self, begin: Callable[[], object]) -> Iterator[None]:
        """Use the connection, for as long as the timeout allows; it is closed if it failed then.

        Args:
            begin: called with a new connection before it is used.

        Raises:
            SinkDown: there is no connection now, or no answer in time.
            SinkError: there never will be one.
        """
        is_new = self._connection is None
        connection = self._connection = self._connection or self._connect()
        self._deadline = time.monotonic() + self._timeout
        is_well = False
        try:
            if is_new:
                begin()
            yield
            is_well = True
        except exceptions.TimeoutError as error:
            raise SinkDown(
                f"sink {self._sink!r}: no answer from {where(connection)} within its timeout of "
                f"{self._timeout:g} s"
            ) from error
        except _FAILURES as error:
            raise judge_connecting(error, self._sink, where(connection)) from error
        finally:
            if not is_well:
                # Answers may be on their way that nobody reads any more.
                self.close()

    @property
    def seconds_left(self) -> float:
        """Seconds that the present use may still take.

        Raises:
            redis.exceptions.TimeoutError: none.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise exceptions.TimeoutError("the time is over")
        return left

    def send(self, *command: Any) -> None:
        """Send a command; its reply is read later, in the order of the commands.

        Raises:
            redis.exceptions.RedisError: it could not be sent, or not in time.
        """
        connection = self._open()
        # What `connection.pack_command` does before this takes ten times as long.
        packed = hiredis.pack_command(command)
        connection.update_current_socket_timeout(self.seconds_left)
        connection.send_packed_command([packed], check_health=False)

    def reply(self) -> Reply:
        """The next reply; one that is an error is returned as it is.

        Raises:
            redis.exceptions.RedisError: there is none, or not in time.
        """
        try:
            return self._open().read_response(timeout=self.seconds_left)
        except exceptions.ResponseError as error:
            return error

    def ask(self, *command: Any) -> Reply:
        """Send a command and return its reply.

        Raises:
            redis.exceptions.RedisError: there is none, not in time, or it is an error.
        """
        self.send(*command)
        reply = self.reply()
        if isinstance(reply, exceptions.ResponseError):
            raise reply
        return reply

    @property
    def server(self) -> str:
        """Which server it is."""
        return where(self._open())

    def close(self) -> None:
        """Close it; the next use connects again."""
        if self._connection is not None:
            with contextlib.suppress(*_FAILURES):
                self._connection.disconnect()
        self._connection = None

    def _open(self) -> Connection:
        assert self._connection is not None, "inside of `used`"
        return self._connection

    def _connect(self) -> Connection:
        # Each Sentinel is asked by itself, too.
        return dial(self._dial, Connection.disconnect, timeout=self._timeout, sink=self._sink)

    def _dial(self) -> Connection:
        connection = self._to_master() if self._address.sentinels else self._to_server()
        try:
            connection.connect()
        except _FAILURES as error:
            raise judge_connecting(error, self._sink, where(connection)) from error
        return connection

    def _to_server(self) -> Connection:
        try:
            settings = parse_url(self._address.url)
        except ValueError:
            # Its text may have a part of a password in it.
            raise SinkError(
                f"sink {self._sink!r}: its `url` is no address of a Redis server, such as "
                "redis://:${REDIS_PASSWORD}@cache.internal:6379/0, when its variables are filled in"
            ) from None
        kind = settings.pop("connection_class", Connection)
        return self._connection_to(kind, **settings)

    def _to_master(self) -> Connection:
        address = self._address
        # Any of them may hang; the next is asked while there is time left.
        each = self._timeout / (2 * len(address.sentinels))
        asked = Sentinel(
            [_pair(sentinel) for sentinel in address.sentinels],
            sentinel_kwargs={
                "socket_timeout": each,
                "socket_connect_timeout": each,
                "password": address.sentinel_password,
                "retry": None,
                "protocol": 2,
            },
        )
        try:
            host, port = asked.discover_master(address.master)
        except MasterNotFoundError as error:
            raise self._no_master(asked, error) from error
        except _FAILURES as error:
            raise judge_connecting(error, self._sink, "a Sentinel") from error
        finally:
            asked.close()
        return self._connection_to(
            Connection,
            host=host,
            port=int(port),
            db=address.database,
            username=address.username,
            password=address.password,
        )

    def _no_master(self, asked: Sentinel, error: MasterNotFoundError) -> SinkError:
        """Tell a fail-over from a name that is not known."""
        for sentinel in asked.sentinels:
            with contextlib.suppress(*_FAILURES):
                if known := list(sentinel.sentinel_masters()):
                    if self._address.master in known:
                        return SinkDown(
                            f"sink {self._sink!r}: Sentinel has no master {self._address.master!r} that is "
                            "up: a fail-over is under way, or there is no replica to become master"
                        )
                    return SinkError(
                        f"sink {self._sink!r}: Sentinel knows no master called {self._address.master!r}; it "
                        f"knows {', '.join(map(str, known))} (its `master`)"
                    )
        return SinkDown(f"sink {self._sink!r}: no Sentinel answers: {text_of(error)}")

    def _connection_to(self, kind: type[Connection | SSLConnection], **settings: Any) -> Connection:
        return kind(
            **settings,
            socket_timeout=self._timeout,
            socket_connect_timeout=self._timeout,
            socket_keepalive=True,
            client_name=f"holdfast-{self._sink}",
            driver_info=None,
            protocol=2,
        )


def where(connection: Connection) -> str:
    """Which server a connection leads to."""
    return f"{connection.host}:{connection.port}"


def _pair(address: str) -> tuple[str, int]:
    split = urlsplit(f"//{address}")
    return split.hostname or "", split.port or _DEFAULT_SENTINEL_PORT
