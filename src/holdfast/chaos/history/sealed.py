"""A sealed history: a folder of Parquet files and a manifest, which many tools can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from holdfast.chaos.history.database import Bounds, Database, quoted
from holdfast.chaos.history.tables import COLUMNS, VIEWS
from holdfast.errors import HistoryError

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class History:
    """What was recorded in one run; see `tables` for what it holds."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the history says of itself.

        Raises:
            HistoryError: this is no sealed history, or one of another format.
        """
        try:
            manifest: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text())
        except (OSError, ValueError) as error:
            raise HistoryError(f"{self.folder} is no sealed history: {MANIFEST} cannot be read") from error
        if manifest.get("format") != FORMAT:
            raise HistoryError(
                f"{self.folder} has format {manifest.get('format')}; this Holdfast reads {FORMAT}"
            )
        return manifest

    @property
    def operations(self) -> int:
        """How many operations it holds."""
        return int(self.manifest["rows"]["operations"])

    @cached_property
    def sends(self) -> Mapping[str, int]:
        """How many records somebody tried to write, by what became of it: `ok`, `fail`, `unknown`.

        Raises:
            HistoryError: it cannot be read.
        """
        with Database(Bounds()) as database:
            self.attach(database)
            return dict(
                database.rows(
                    "SELECT outcome, count(*) FROM steps JOIN operations USING (op) "
                    "WHERE kind = 'send' GROUP BY outcome"
                )
            )

    @property
    def unknown_sends(self) -> int:
        """Records of which their senders do not know whether they were written.

        Raises:
            HistoryError: it cannot be read.
        """
        return self.sends.get("unknown", 0)

    def attach(self, database: Database) -> None:
        """Makes the history's tables readable in a database, under their names.

        Raises:
            HistoryError: a file is missing or is no Parquet file.
        """
        _ = self.manifest
        for table in COLUMNS:
            try:
                file = quoted(self.folder / f"{table}.parquet")
                database.run(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({file})")
            except HistoryError as error:
                raise HistoryError(f"{self.folder / f'{table}.parquet'} cannot be read: {error}") from error
        for name, query in VIEWS.items():
            database.run(f"CREATE VIEW {name} AS {query}")
