"""The two consoles of the command line.

Results go to standard output, progress and complaints to standard error, so that
`holdfast state list ... > file` holds nothing but the result.
"""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console
from rich.markup import escape

from holdfast.errors import HoldfastError

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells expect it."""


class PlainConsole(Console):
    """A console that breaks lines in a terminal only: a message in a file or pipe stays in one line."""

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print as `rich.console.Console.print` does."""
        super().print(*objects, soft_wrap=not self.is_terminal or soft_wrap, **options)


out = PlainConsole()
"""Results."""

err = PlainConsole(stderr=True)
"""Progress, warnings and errors."""


def print_error(error: HoldfastError) -> None:
    """Say what went wrong, without a traceback."""
    err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)


def is_live(console: Console) -> bool:
    """Whether something that redraws itself may be shown now.

    A terminal is not enough: what a job in the background redraws lands on the prompt. Ask again
    before each drawing, as `fg`, `bg` and Ctrl-Z change the answer.
    """
    if not console.is_terminal:
        return False
    try:
        return os.tcgetpgrp(console.file.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        # No controlling terminal of ours, so there is no prompt either (a test, or FORCE_COLOR).
        return True
