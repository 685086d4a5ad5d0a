"""How the embedded cluster tells what it is doing; the command line draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives what happens during a start. May be called from several threads."""

    def step(self, text: str) -> None:
        """A step begins; `text` is a short sentence for the user."""

    def download(self, total_bytes: int) -> None:
        """A download of `total_bytes` begins."""

    def received(self, count: int) -> None:
        """`count` more bytes of the download have arrived (negative: a try is repeated)."""


class Silent:
    """A `Progress` that says nothing."""

    def step(self, text: str) -> None:
        """Ignore the step."""

    def download(self, total_bytes: int) -> None:
        """Ignore the download."""

    def received(self, count: int) -> None:
        """Ignore the bytes."""
