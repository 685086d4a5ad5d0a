"""Dead letters of a test's application, by the command that users have."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.support.application import Application
from tests.support.command import rows
from tests.support.versions import command


def dlq(app: Application, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, on the machine of the workers."""
    return command(app, "dlq", *arguments)


def mend(app: Application) -> None:
    """Have the handler handle what is bad."""
    (app.folder / "mended").touch()


def letters(app: Application, state: str = "open") -> list[dict[str, Any]]:
    """The letters, as a program reads them."""
    return [it for it in rows(dlq(app, "list", "--state", state)) if it["type"] == "letter"]
