"""The two consoles of the command line.

Results go to standard output, progress and complaints to standard error, so that
`holdfast state list ... > file` holds nothing but the result.
"""

from __future__ import annotations

from rich.console import Console

out = Console()
"""Results."""

err = Console(stderr=True)
"""Progress, warnings and errors."""
