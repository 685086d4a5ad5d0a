"""Which cluster a command talks to: the shared option, and the order in which the answer is looked for."""

from __future__ import annotations

import typer

from holdfast.errors import BrokersUnreachable
from holdfast.kafka.settings import SERVERS_VARIABLE, named_servers
from holdfast.local.cluster import running_bootstrap_servers
from holdfast.local.folders import cluster_folder
from holdfast.topology import Topology

PROPERTY = "bootstrap.servers"
"""The property under ``kafka:`` in the topology that names them."""

BootstrapServers = typer.Option(
    None,
    "--bootstrap-servers",
    "-b",
    metavar="HOST:PORT,...",
    show_default=False,
    help=f"The brokers. Default: the variable {SERVERS_VARIABLE}, then `kafka:` in the topology, "
    "then the running embedded cluster (`holdfast up`).",
)
"""Default of the parameter ``bootstrap_servers: str | None`` of every command that talks to brokers."""


def resolve_bootstrap_servers(option: str | None, topology: Topology | None = None) -> str:
    """Return the brokers to connect to: the first that is given of option, variable, topology, `holdfast up`.

    Args:
        option: the value of ``--bootstrap-servers``.
        topology: the declaration, for commands that have one.

    Raises:
        BrokersUnreachable: none is given, and no embedded cluster runs.
    """
    servers = named_servers(option, topology.kafka if topology else {}) or running_bootstrap_servers()
    if not servers:
        raise BrokersUnreachable(
            f"no brokers are named, and no embedded cluster runs in {cluster_folder()}. Start one with "
            f"`holdfast up`, or name yours with --bootstrap-servers, the variable {SERVERS_VARIABLE}, or "
            f"`kafka: {{{PROPERTY}: ...}}` in the topology."
        )
    return servers
