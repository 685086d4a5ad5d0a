"""One broker process: find it, format its storage, start it, end it.

Whether a broker runs is read from the process table: a process is node N of this cluster if
it runs ``kafka.Kafka`` with this node's ``server.properties``. A pid file alone could name
another program (pids are reused) or be missing (its writer was killed); so the file is only a
hint that saves looking through all processes, and what it names is checked before it is believed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from holdfast.errors import EmbeddedClusterError
from holdfast.local.housing import Housing
from holdfast.local.jvm import BROKER_CLASS, Kafka
from holdfast.local.settings import LOG4J2, Overrides, server_properties
from holdfast.local.spec import ClusterSpec, NodeSpec

TAIL_LINES = 15
"""Lines of a log that a message about a failed start shows."""

POLL_S = 0.02
"""Pause between looks at a process that is ending."""


_started: dict[Path, subprocess.Popen[bytes]] = {}
"""Brokers started by this process, by their properties file. They may outlive the object that started
them; their handles are kept here so that one that dies is reaped and does not stay in the process table."""


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """Paths of one node inside the cluster's folder."""

    folder: Path
    id: int

    @property
    def home(self) -> Path:
        """Folder of the node: configuration, pid and data."""
        return self.folder / "nodes" / str(self.id)

    @property
    def properties(self) -> Path:
        """Its configuration; also what identifies its process."""
        return self.home / "server.properties"

    @property
    def data(self) -> Path:
        """Its topics and metadata."""
        return self.home / "data"

    @property
    def pid(self) -> Path:
        """Its pid, as a hint."""
        return self.home / "pid"

    @property
    def log(self) -> Path:
        """Its log, kept when the cluster stops."""
        return self.folder / "logs" / f"node-{self.id}.log"

    @property
    def output(self) -> Path:
        """What the JVM itself prints: wrong options, crashes."""
        return self.folder / "logs" / f"node-{self.id}.out"


@dataclass(frozen=True, slots=True)
class Formatting:
    """A running storage formatter."""

    node: Node
    workspace: Path
    process: subprocess.Popen[str]

    def finish(self) -> None:
        """Wait for the formatter and put the data folder in place.

        Raises:
            EmbeddedClusterError: it failed.
        """
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            last = "\n".join(f"  {line}" for line in output.strip().splitlines()[-TAIL_LINES:])
            raise EmbeddedClusterError(
                f"cannot format the storage of node {self.node.id} in {self.node.files.home}; "
                f"Kafka's storage tool said:\n{last}"
            )
        (self.workspace / "data").rename(self.node.files.data)
        shutil.rmtree(self.workspace, ignore_errors=True)


class Node:
    """A broker of the cluster in one folder.

    Attributes:
        spec: its id and ports.
        files: its paths.
    """

    def __init__(self, folder: Path, spec: NodeSpec) -> None:
        self.spec = spec
        self.files = NodeFiles(folder, spec.id)

    @property
    def id(self) -> int:
        """Kafka's ``node.id``."""
        return self.spec.id

    def process(self) -> psutil.Process | None:
        """Return the running broker process, or None.

        psutil remembers when the process was created and refuses to signal a successor with the same pid.
        """
        own = _started.get(self.files.properties)
        if own is not None and own.poll() is None:
            # Our child for certain; its command line is empty for a moment while the program is loaded.
            return psutil.Process(own.pid)
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            hinted = psutil.Process(int(self.files.pid.read_text()))
            if self._is_ours(hinted):
                return hinted
        return next((process for process in psutil.process_iter() if self._is_ours(process)), None)

    @property
    def pid(self) -> int | None:
        """Process id of the running broker, or None."""
        process = self.process()
        return process.pid if process else None

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            command = process.cmdline()
        except psutil.Error:
            return False
        return command[-2:] == [BROKER_CLASS, str(self.files.properties)]

    def is_formatted(self) -> bool:
        """Tell whether there is a complete storage."""
        return (self.files.data / "meta.properties").exists()

    def configure(self, cluster: ClusterSpec, overrides: Overrides, housing: Housing) -> None:
        """Write the node's configuration files."""
        wanted = overrides(cluster, self.spec) if callable(overrides) else overrides
        settings = {**housing.settings(cluster, self.spec), **wanted}
        self.files.home.mkdir(parents=True, exist_ok=True)
        self.files.log.parent.mkdir(parents=True, exist_ok=True)
        self.files.properties.write_text(
            server_properties(cluster, self.spec, self.files.data, settings), encoding="utf-8"
        )
        self._log4j2.write_text(LOG4J2, encoding="utf-8")

    @property
    def _log4j2(self) -> Path:
        return self.files.home / "log4j2.xml"

    def begin_format(self, kafka: Kafka, cluster: ClusterSpec) -> Formatting:
        """Start Kafka's own storage formatter, which also sets the feature versions of the release.

        It works in a folder of its own that becomes the data folder when it has succeeded. So a
        formatter that is cut short, or that outlives a killed `holdfast up`, spoils nothing.
        """
        for leftover in self.files.home.glob(".format-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.rmtree(self.files.data, ignore_errors=True)
        workspace = Path(tempfile.mkdtemp(prefix=".format-", dir=self.files.home))
        properties = workspace / "server.properties"
        properties.write_text(server_properties(cluster, self.spec, workspace / "data"), encoding="utf-8")
        process = subprocess.Popen(
            kafka.formatter("--cluster-id", cluster.cluster_id, "--config", str(properties)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Formatting(self, workspace, process)

    def launch(self, kafka: Kafka, housing: Housing) -> None:
        """Start the broker in a session of its own, so that it outlives the terminal.

        Raises:
            EmbeddedClusterError: the program cannot be run.
        """
        plain = kafka.broker(self.files.properties, log4j2=self._log4j2, log=self.files.log)
        command = housing.command(self.spec, plain)
        with self.files.output.open("wb") as output:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self.files.home,
                    env={**os.environ, **housing.environment(self.spec)},
                    start_new_session=True,
                )
            except OSError as error:
                raise EmbeddedClusterError(f"cannot run {command[0]}: {error.strerror or error}.") from error
        _started[self.files.properties] = process
        self.files.pid.write_text(str(process.pid))

    def signal(self, number: signal.Signals) -> psutil.Process | None:
        """Send a signal to the broker if it runs; return its process."""
        process = self.process()
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return process

    def last_words(self) -> str:
        """Return the end of the node's output and log, for a message about its failure."""
        lines = [*_tail(self.files.output), *_tail(self.files.log)]
        text = "\n".join(f"  {line}" for line in lines) or "  (nothing was written)"
        return f"Last lines of node {self.id}:\n{text}\nFull log: {self.files.log}"


def wait_until_gone(
    processes: Iterable[psutil.Process], timeout: float, *, but_for: int = 0
) -> list[psutil.Process]:
    """Wait until all processes but `but_for` have ended, return those alive after `timeout` seconds."""
    alive = list(processes)
    deadline = time.monotonic() + timeout
    while True:
        alive = [process for process in alive if not _has_ended(process)]
        if len(alive) <= but_for or time.monotonic() >= deadline:
            return alive
        time.sleep(POLL_S)


def _has_ended(process: psutil.Process) -> bool:
    """Tell whether a process is over, with all its threads, so that its ports and files are free.

    One that has ended counts as over even if its parent has not taken note: brokers of a command that
    is done belong to the system's first process, which in some containers looks only now and then.
    But a process is also called a zombie when only its first thread is over and the others go on.
    """
    for child in _started.values():
        # A child whose end was noted may have left its pid to another process, even to a broker.
        if child.pid == process.pid and child.returncode is None:
            return child.poll() is not None
    try:
        return not process.is_running() or (
            process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
        )
    except psutil.NoSuchProcess:
        return True


def _tail(file: Path) -> list[str]:
    """Return the Last lines of a text file; none if it is not there."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 8192))
            return stream.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
