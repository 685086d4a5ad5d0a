"""Who owns a container: labels by which it is found, and removed when its owner is gone.

Testcontainers has a container of its own for that (Ryuk), which it fetches from a registry. Where there is
none, a process does the same; see `holdfast.chaos.containers.reaper`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from docker import DockerClient

CLUSTER_LABEL = "com.holdfast.cluster"
"""Which cluster a container or network is a part of."""

OWNER_LABEL = "com.holdfast.owner"
"""The process that made it: machine, pid and time of its start, as pids are given out again."""

CHAOS_LABEL = "com.holdfast.chaos"
CHAOS_ALLOWED = "allowed"
"""Whether experiments may kill, pause or cut off a container."""

REMOVE_TRIES = 5
REMOVE_PAUSE_S = 0.5


def labels(cluster: str) -> dict[str, str]:
    """Return the labels of what this process makes for a cluster."""
    return {CLUSTER_LABEL: cluster, OWNER_LABEL: _name_of(os.getpid()), CHAOS_LABEL: CHAOS_ALLOWED}


def remove(client: DockerClient, cluster: str) -> None:
    """Remove all containers, with their data, and networks of a cluster; none is fine.

    Raises:
        docker.errors.APIError: something cannot be removed.
    """
    from docker.errors import APIError

    for tries_left in reversed(range(REMOVE_TRIES)):
        try:
            _remove_once(client, {"label": f"{CLUSTER_LABEL}={cluster}"})
            return
        except APIError:
            # One that is being made, or removed by somebody else, is not to be had for a moment.
            if not tries_left:
                raise
            time.sleep(REMOVE_PAUSE_S)


def _remove_once(client: DockerClient, filters: dict[str, str]) -> None:
    from docker.errors import NotFound

    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)
    for network in client.networks.list(filters=filters):
        with contextlib.suppress(NotFound):
            network.remove()


def sweep(client: DockerClient) -> None:
    """Remove the clusters of processes of this machine that are gone, and whose reaper is gone, too."""
    filters = {"label": OWNER_LABEL}
    found = [*client.containers.list(all=True, filters=filters, ignore_removed=True)]
    marked = [container.labels for container in found]
    marked += [network.attrs.get("Labels") or {} for network in client.networks.list(filters=filters)]
    for cluster in {mark[CLUSTER_LABEL] for mark in marked if _is_nobodys(mark[OWNER_LABEL])}:
        remove(client, cluster)


def _name_of(pid: int) -> str:
    return f"{socket.gethostname()}/{pid}/{psutil.Process(pid).create_time():.2f}"


def _is_nobodys(owner: str) -> bool:
    """Tell whether a process was of this machine and has ended; of another machine nothing is known."""
    machine, pid, _ = owner.rsplit("/", 2)
    if machine != socket.gethostname():
        return False
    try:
        return _name_of(int(pid)) != owner
    except psutil.NoSuchProcess:
        return True
