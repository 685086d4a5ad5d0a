"""The Docker engine: find it, or say what is missing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from holdfast.errors import ContainerError, EngineMissing
from holdfast.extras import with_extra

if TYPE_CHECKING:
    from docker import DockerClient

CALL_TIMEOUT_S = 120
"""Seconds without an answer of the engine. A busy one takes long to make a network or remove a container."""

HOW_TO_GET_ONE = (
    "Start Docker, or name its address in DOCKER_HOST. From a checkout, `compose/engine start` installs and "
    "starts an engine on Debian and Ubuntu, as root or with sudo. The embedded cluster needs none."
)


def connect(timeout: float = CALL_TIMEOUT_S) -> DockerClient:
    """Return a client of the engine that the environment names; close it after use.

    Args:
        timeout: seconds without a byte of an answer, after which a call fails.

    Raises:
        EngineMissing: the extra is not installed, no engine answers, or this user may not ask it.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise EngineMissing(f"containers need packages of their own: {with_extra('containers')}.") from error
    try:
        client = docker.from_env(timeout=timeout)
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


@contextlib.contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn what the engine refuses, or does not answer, into an error that says what was being done.

    Raises:
        ContainerError: it refused.
    """
    from docker.errors import DockerException
    from requests import RequestException

    try:
        yield
    except (DockerException, RequestException) as error:
        raise ContainerError(f"{doing}: the Docker engine said {error}") from error
