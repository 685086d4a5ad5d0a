"""One connection to PostgreSQL, whose every use ends in time.

The server's own `statement_timeout` holds only as long as the server answers. One that is stopped, or cut off
without a word, is noticed by a watch that shuts the socket down: what waits for an answer then fails.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import psycopg

from holdfast.errors import SinkDown
from holdfast.sinks.dialling import dial
from holdfast.sinks.postgres.judge import judge, judge_connecting

_BOUND: Final = """
    SELECT set_config('statement_timeout', %s, true),
           set_config('idle_in_transaction_session_timeout', %s, true)
"""
_GRACE_S: Final = 0.5
"""How much later than the server we give up: its own answer says more."""


class BoundedConnection:
    """Connects when it is used first, and again after it failed.

    Args:
        dsn: where to.
        timeout: seconds that one use may take.
        sink: the sink's name, for messages.
    """

    def __init__(self, dsn: str, timeout: float, sink: str) -> None:
        self._dsn = dsn
        self._timeout = timeout
        self._sink = sink
        self._connection: psycopg.Connection | None = None

    @contextlib.contextmanager
    def used(self, begin: Callable[[psycopg.Connection], object]) -> Iterator[psycopg.Connection]:
        """Use the connection, for as long as the timeout allows.

        It is closed after whatever means that the server is down, also while it still answers: when it takes
        no writes any more, only a new connection leads to the server that does.

        Args:
            begin: called with a new connection before it is used.

        Raises:
            SinkDown: there is no connection now, or no answer in time.
            SinkError: there never will be one.
            psycopg.Error: what was done with it failed otherwise.
        """
        connection = self._connection or self._connect()
        with _Watch(connection, self._timeout + _GRACE_S) as watch:
            try:
                if self._connection is None:
                    begin(connection)
                    self._connection = connection
                yield connection
            except psycopg.Error as error:
                if watch.has_cut:
                    self.close(connection)
                    raise SinkDown(
                        f"sink {self._sink!r}: no answer within its timeout of {self._timeout:g} s"
                    ) from error
                if isinstance(judge(error, self._sink), SinkDown):
                    self.close(connection)
                raise
            finally:
                if connection.closed or connection.broken or connection is not self._connection:
                    self.close(connection)

    def _connect(self) -> psycopg.Connection:
        try:
            return dial(self._dial, psycopg.Connection.close, timeout=self._timeout, sink=self._sink)
        except psycopg.Error as error:
            raise judge_connecting(error, self._sink) from error

    def _dial(self) -> psycopg.Connection:
        return psycopg.connect(
            self._dsn,
            autocommit=True,
            # A pooler may hand each transaction to another server, and statements are few and large.
            prepare_threshold=None,
            connect_timeout=max(int(self._timeout), 2),
            application_name=f"holdfast {self._sink}",
            keepalives_idle=30,
        )

    @contextlib.contextmanager
    def transaction(self, connection: psycopg.Connection) -> Iterator[None]:
        """A transaction whose statements, and the pauses between them, end on the server as well."""
        with connection.transaction():
            connection.execute(_BOUND, [f"{self._timeout}s", f"{2 * self._timeout}s"])
            yield

    def close(self, connection: psycopg.Connection | None = None) -> None:
        """Close it; the next use connects again."""
        for each in {connection, self._connection} - {None}:
            with contextlib.suppress(psycopg.Error):
                each.close()  # type: ignore[union-attr]
        self._connection = None


class _Watch:
    """Shuts a connection's socket down when its time is over."""

    def __init__(self, connection: psycopg.Connection, seconds: float) -> None:
        self.has_cut = False
        self._connection = connection
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        try:
            # A copy of the descriptor: the connection keeps and closes its own.
            twin = socket.socket(fileno=os.dup(self._connection.fileno()))
        except (OSError, psycopg.Error):
            return
        with twin, contextlib.suppress(OSError):
            self.has_cut = True
            twin.shutdown(socket.SHUT_RDWR)
