"""Which cluster is measured: the given one, or an embedded one for the length of the run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.local.cluster import EmbeddedCluster


@contextmanager
def bootstrap_servers(given: str | None) -> Iterator[str]:
    """The servers of the option, of HOLDFAST_BOOTSTRAP_SERVERS, or of a temporary embedded cluster.

    From here on SIGTERM ends the program in order, so that engines, topics and groups are cleared away.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    named = given or os.environ.get("HOLDFAST_BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    with EmbeddedCluster.temporary() as cluster:
        yield cluster.bootstrap_servers
