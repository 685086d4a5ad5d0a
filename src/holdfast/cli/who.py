"""Who gives a command, for those who see later what was done."""

from __future__ import annotations

import getpass
import os
import socket


def who() -> str:
    """This user, on this host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user may have no name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
