"""The brokers' logs, as a run keeps them."""

from __future__ import annotations

from pathlib import Path

LOG_BYTES = 4_000_000
"""Of each broker: some ten minutes. Brokers that serve many runs one after the other write more."""


def write_log(folder: Path, broker: str, content: bytes) -> None:
    """Keep the end of a broker's log.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{broker}.log").write_bytes(content[-LOG_BYTES:])
