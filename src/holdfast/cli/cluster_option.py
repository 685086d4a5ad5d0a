"""Which cluster a command talks to."""

from __future__ import annotations

import os

from holdfast.errors import BrokersUnreachable
from holdfast.local.cluster import running_bootstrap_servers
from holdfast.topology import Topology

VARIABLE = "HOLDFAST_BOOTSTRAP_SERVERS"
"""Environment variable that names the brokers."""

PROPERTY = "bootstrap.servers"
"""The property under ``kafka:`` in the topology that names them."""


def resolve_bootstrap_servers(option: str | None, topology: Topology | None = None) -> str:
    """Return the brokers to connect to: the first that is given of option, variable, topology, `holdfast up`.

    Raises:
        BrokersUnreachable: none is given, and no embedded cluster runs.
    """
    named = option or os.environ.get(VARIABLE) or (topology.kafka.get(PROPERTY) if topology else None)
    servers = named or running_bootstrap_servers()
    if not servers:
        raise BrokersUnreachable(
            "no brokers are named and no embedded cluster runs. Start one with `holdfast up`, or name "
            f"yours with --bootstrap-servers, the variable {VARIABLE}, or `kafka: {{{PROPERTY}: ...}}` "
            "in the topology."
        )
    return servers
