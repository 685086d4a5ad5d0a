"""A DuckDB that works within bounds: of memory, with the rest in a folder of its own, and of processors."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from holdfast.errors import HistoryError
from holdfast.extras import with_extra
from holdfast.local.scratch import ScratchFolder

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Bounds:
    """What DuckDB may use.

    Attributes:
        memory: of its buffers. A process with 1,200 MB stays below 2 GB as a whole.
        threads: None for one per processor.
        scratch: the folder in which what does not fit is kept meanwhile; None for the system's.
    """

    memory: str = "1200MB"
    threads: int | None = None
    scratch: Path | None = None


_BATCH = 10_000
"""Rows of a stream that are in Python at once."""


class Database:
    """A database that lives in a scratch folder and is gone when it is closed.

    What a killed process could not close may be gigabytes: the next one deletes it.

    Attributes:
        connection: DuckDB's, for what the methods do not do; its errors are its own, but within `telling`.
        malformed: what DuckDB raises of a file whose content it cannot take.

    Raises:
        HistoryError: it cannot be made: the package is missing, or there is no place for it.
    """

    def __init__(self, bounds: Bounds) -> None:
        try:
            import duckdb
        except ImportError as missing:
            raise HistoryError(f"histories need the package duckdb: {with_extra('chaos')}") from missing
        try:
            self._scratch = ScratchFolder("holdfast-history-", bounds.scratch)
        except OSError as error:
            place = bounds.scratch or tempfile.gettempdir()
            raise HistoryError(f"no database can be made in {place}: {error.strerror or error}") from error
        settings: dict[str, Any] = {
            "memory_limit": bounds.memory,
            "temp_directory": str(self._scratch.path / "spilled"),
            # Nothing here depends on the order of rows in a table, and keeping it costs memory.
            "preserve_insertion_order": False,
        }
        if bounds.threads:
            settings["threads"] = bounds.threads
        self._memory = bounds.memory
        self._failure, self._no_room = duckdb.Error, duckdb.OutOfMemoryException
        self.malformed = (duckdb.ProgrammingError, duckdb.DataError)
        try:
            with self.telling():
                self.connection: duckdb.DuckDBPyConnection = duckdb.connect(
                    str(self._scratch.path / "work.duckdb"), config=settings
                )
        except BaseException:
            self._scratch.close()
            raise

    def run(self, query: str, parameters: object = None) -> None:
        """Runs a query that gives no rows.

        Raises:
            HistoryError: it cannot be run. So do the other ways to run one.
        """
        with self.telling():
            self.connection.execute(query, parameters)

    def rows(self, query: str, parameters: object = None) -> list[tuple[Any, ...]]:
        """All rows of a query that is known to have few."""
        with self.telling():
            return self.connection.execute(query, parameters).fetchall()

    def number(self, query: str) -> int:
        """The one number that a query gives; 0 for none."""
        with self.telling():
            answer = self.connection.execute(query).fetchone()
        return int(answer[0] or 0) if answer else 0

    def stream(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query that may have many; other queries may be run meanwhile."""
        cursor = self.connection.cursor()
        with self.telling():
            cursor.execute(query)
        while batch := self._next_of(cursor):
            yield from batch

    def _next_of(self, cursor: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
        with self.telling():
            return cursor.fetchmany(_BATCH)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tells what DuckDB refuses to do in the block as what it is to a history.

        Raises:
            HistoryError: in DuckDB's words; where it has no room, with what to do about it.
        """
        try:
            yield
        except self._no_room as error:
            what, place = str(error).partition("\n")[0].rstrip("."), self._scratch.path.parent
            raise HistoryError(
                f"{what}. It may use {self._memory} of memory, and what is free in {place}: "
                "make room there, or let a run be shorter or its `rate` lower"
            ) from error
        except self._failure as error:
            raise HistoryError(str(error)) from error

    @contextmanager
    def limited(self, seconds: float, what: str) -> Iterator[None]:
        """Gives up the query that runs when the block has taken so long.

        Args:
            seconds: how long.
            what: what runs, for the error.

        Raises:
            HistoryError: it was given up.
        """
        over = threading.Event()

        def end() -> None:
            over.set()
            self.connection.interrupt()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            yield
        except Exception as error:
            if over.is_set():
                raise HistoryError(f"{what} was given up after {seconds:g} s") from error
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Removes everything."""
        self.connection.close()
        self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def quoted(text: str | Path) -> str:
    """A text as SQL writes it."""
    return "'" + str(text).replace("'", "''") + "'"
