"""How many workers the commands that start them start: the shared option."""

from __future__ import annotations

import typer

Workers = typer.Option(
    None,
    "--workers",
    "-w",
    metavar="N",
    min=1,
    help="Workers per processor, instead of what the topology says.",
)
"""Default of the parameter ``workers: int | None`` of every command that starts workers."""
