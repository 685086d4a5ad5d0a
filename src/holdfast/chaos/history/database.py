"""A DuckDB that works within bounds: of memory, with the rest in a folder of its own, and of processors."""

from __future__ import annotations

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


class Database:
    """A database that lives in a scratch folder and is gone when it is closed.

    What a killed process could not close may be gigabytes: the next one deletes it.
    """

    def __init__(self, bounds: Bounds) -> None:
        try:
            import duckdb
        except ImportError as missing:
            raise HistoryError(f"histories need the package duckdb: {with_extra('chaos')}") from missing
        self._scratch = ScratchFolder("holdfast-history-", bounds.scratch)
        settings: dict[str, Any] = {
            "memory_limit": bounds.memory,
            "temp_directory": str(self._scratch.path / "spilled"),
            # Nothing here depends on the order of rows in a table, and keeping it costs memory.
            "preserve_insertion_order": False,
        }
        if bounds.threads:
            settings["threads"] = bounds.threads
        self.failure = duckdb.Error
        try:
            self.connection: duckdb.DuckDBPyConnection = duckdb.connect(
                str(self._scratch.path / "work.duckdb"), config=settings
            )
        except BaseException:
            self._scratch.close()
            raise

    def run(self, query: str, parameters: object = None) -> duckdb.DuckDBPyConnection:
        """Runs a query; the answer is read from what is returned, before the next query."""
        return self.connection.execute(query, parameters)

    def rows(self, query: str, parameters: object = None) -> list[tuple[Any, ...]]:
        """All rows of a query that is known to have few."""
        return self.run(query, parameters).fetchall()

    def number(self, query: str) -> int:
        """The one number that a query gives; 0 for none."""
        answer = self.run(query).fetchone()
        return int(answer[0] or 0) if answer else 0

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
