"""Which program is at the other end of a connection on this machine, and which host it stands for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from holdfast.chaos.network.hosts import HOST_VARIABLE

_LOCAL, _INODE = 1, 9
"""Columns of /proc/net/tcp (Linux, Documentation/networking/proc_net_tcp.rst)."""


class ConnectionOwners:
    """Looks connections up in the process table.

    Args:
        pid: a process in the network namespace where the connections are.
    """

    def __init__(self, pid: int) -> None:
        self._table = Path(f"/proc/{pid}/net/tcp")

    def host_of(self, port: int) -> str | None:
        """The host for which the program with this local port stands; None if it stands for none."""
        inode = self._inode(port)
        if inode is None:
            return None
        for pid in filter(str.isdigit, os.listdir("/proc")):
            # What is no worker costs the reading of one file; its descriptors would be many.
            if (host := _said(pid)) is not None and _has_socket(pid, inode):
                return host
        return None

    def _inode(self, port: int) -> str | None:
        wanted = f":{port:04X}"
        with contextlib.suppress(OSError), self._table.open() as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                if fields[_LOCAL].endswith(wanted) and fields[_INODE] != "0":
                    return fields[_INODE]
        return None


def _said(pid: str) -> str | None:
    prefix = f"{HOST_VARIABLE}=".encode()
    with contextlib.suppress(OSError):
        for item in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if item.startswith(prefix):
                return item.removeprefix(prefix).decode()
    return None


def _has_socket(pid: str, inode: str) -> bool:
    wanted = f"socket:[{inode}]"
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{name}") == wanted:
                    return True
    return False
