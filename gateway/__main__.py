"""Runs the gateway: `python -m gateway --help`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from gateway.app import JOURNAL, LIMIT


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m gateway", description="A payment gateway that fails on demand."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8420)
    parser.add_argument("--journal", type=Path, required=True, help="what was charged; kept over restarts")
    parser.add_argument(
        "--limit", help="how much of a customer's money may be charged at a time, such as 1500.00"
    )
    arguments = parser.parse_args()
    # The server's worker is a process of its own, and inherits them.
    os.environ[JOURNAL] = str(arguments.journal.absolute())
    if arguments.limit:
        os.environ[LIMIT] = arguments.limit
    # One worker: the book is in its memory.
    Granian(
        "gateway.app:create",
        factory=True,
        interface=Interfaces.ASGI,
        address=arguments.host,
        port=arguments.port,
        workers=1,
        websockets=False,
        log_level=LogLevels.warning,
    ).serve()


if __name__ == "__main__":
    main()
