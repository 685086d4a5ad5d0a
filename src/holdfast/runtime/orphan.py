"""A worker whose supervisor is gone ends, whatever it is waiting for.

Its loop notices by itself that nobody reads its status, and stops in good order. But the loop may stand
still: in a commit whose brokers died with the supervisor, in a start that finds no brokers, in a handler.
So a thread waits for the supervisor's end too; after `GRACE_S` it ends the process, which costs no more than
a kill does: what was not committed is done again.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time

from holdfast.runtime.orders import EXIT_ERROR

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""From the supervisor's end to the worker's: enough to commit what is done when the brokers answer."""

LOOK_MS = 1_000
"""Milliseconds between two looks at the parent, for systems that do not tell a writer of the reader's end."""


def end_with_supervisor(descriptor: int | None, grace: float = GRACE_S) -> None:
    """End this process when nobody can read its status any more: SIGTERM first, then at once.

    Args:
        descriptor: the status pipe's write end; None does nothing.
        grace: seconds from SIGTERM to the end.
    """
    if descriptor is not None:
        threading.Thread(
            target=_watch, args=(descriptor, os.getppid(), grace), name="supervisor-watch", daemon=True
        ).start()


def _watch(descriptor: int, parent: int, grace: float) -> None:
    poller = select.poll()
    # No events asked for: what remains is the reader's end, which is always told.
    poller.register(descriptor, 0)
    while not poller.poll(LOOK_MS) and os.getppid() == parent:
        pass
    log.warning("the supervisor is gone; this worker stops")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    log.warning("not stopped within %.0f s; it ends without its last commit", grace)
    os._exit(EXIT_ERROR)
