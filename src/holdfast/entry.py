"""The command `holdfast`, from its first moment on.

It imports the commands itself, which takes a second: who presses Ctrl-C meanwhile gets no traceback.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from holdfast.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
