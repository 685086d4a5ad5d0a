"""The process of the gates on a system that once does not let a door open: the fourth that is opened."""

from __future__ import annotations

import errno
import itertools
import socket

from holdfast.chaos.gates.process import main

_listen, _times = socket.socket.listen, itertools.count(1)


def _listen_but_once(self: socket.socket, backlog: int) -> None:
    # Whoever looks for a free port lets one connection wait.
    if backlog > 1 and next(_times) == 4:
        raise OSError(errno.EADDRINUSE, "Address already in use")
    _listen(self, backlog)


if __name__ == "__main__":
    socket.socket.listen = _listen_but_once  # type: ignore[method-assign]
    main()
