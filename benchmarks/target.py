"""Which cluster is measured: the given one, or an embedded one for the length of the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bootstrap_servers(given: str | None) -> Iterator[str]:
    """The bootstrap servers of the option, of HOLDFAST_BOOTSTRAP_SERVERS, or of an embedded cluster."""
    named = given or os.environ.get("HOLDFAST_BOOTSTRAP_SERVERS")
    if not named:
        raise SystemExit("name a cluster with --bootstrap-servers or HOLDFAST_BOOTSTRAP_SERVERS")
    yield named
