"""The Docker engine: find it, or say what is missing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from holdfast.errors import EngineMissing
from holdfast.extras import with_extra

if TYPE_CHECKING:
    from docker import DockerClient

CALL_TIMEOUT_S = 120
"""Seconds without an answer of the engine. A busy one takes long to make a network or remove a container."""

HOW_TO_GET_ONE = (
    "Start Docker, or name its address in DOCKER_HOST. From a checkout, `compose/engine start` installs and "
    "starts an engine on Debian and Ubuntu, as root or with sudo. The embedded cluster needs none."
)


def connect() -> DockerClient:
    """Return a client of the engine that the environment names; close it after use.

    Raises:
        EngineMissing: the extra is not installed, no engine answers, or this user may not ask it.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise EngineMissing(f"containers need packages of their own: {with_extra('containers')}.") from error
    try:
        client = docker.from_env(timeout=CALL_TIMEOUT_S)
        client.ping()
    except DockerException as error:
        raise EngineMissing(_what_is_wrong(error)) from error
    return client


def _what_is_wrong(error: Exception) -> str:
    said = str(error)
    if "Permission denied" in said or "PermissionError" in said:
        return (
            "this user may not use the Docker engine of this machine. Add it to the group `docker` "
            "(sudo usermod -aG docker $USER, then log in again), or run this as root."
        )
    found = "no Docker engine answers" if shutil.which("dockerd") else "there is no Docker engine"
    return f"{found}: {said}. {HOW_TO_GET_ONE}"
