"""`holdfast chaos allow` and `forbid`: which clusters of one's own experiments may load."""

from __future__ import annotations

import typer
from rich.markup import escape

from holdfast.chaos.lab.fair_game import allow as mark
from holdfast.chaos.lab.fair_game import described, mark_of
from holdfast.chaos.lab.fair_game import forbid as unmark
from holdfast.cli.chaos import chaos
from holdfast.cli.cluster_option import BootstrapServers, resolve_bootstrap_servers
from holdfast.cli.console import out


def allow(
    cluster_id: str = typer.Argument(
        ..., metavar="CLUSTER-ID", help="Which one: its id, as a run that was refused shows it."
    ),
    bootstrap_servers: str | None = BootstrapServers,
) -> None:
    """Mark a cluster as fair game: experiments with `kind: external` may load it, and crash workers on it.

    The mark is a topic on the cluster. The id is asked for so that neither a wrong address nor a copied
    script marks another cluster.
    """
    servers = resolve_bootstrap_servers(bootstrap_servers)
    cluster = mark(servers, cluster_id)
    _say(f"{described(cluster)} is fair game now: it has the topic {mark_of(cluster_id)}.")
    _say(f"To take that back: holdfast chaos forbid --bootstrap-servers {servers}")


def forbid(bootstrap_servers: str | None = BootstrapServers) -> None:
    """Take the mark from a cluster: no experiment is run on it any more."""
    cluster = unmark(resolve_bootstrap_servers(bootstrap_servers))
    _say(f"{described(cluster)} is not fair game.")


def _say(text: str) -> None:
    out.print(escape(text), highlight=False, soft_wrap=True)


def register(_app: typer.Typer) -> None:
    """Add both to `chaos`."""
    chaos.command()(allow)
    chaos.command()(forbid)
