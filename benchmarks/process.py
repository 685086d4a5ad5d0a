"""One engine as a subprocess: start it, hear what it says, account for it, end it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import psutil

from benchmarks.environments import REPOSITORY
from benchmarks.runners.common import Settings

STOP_TIMEOUT = 30.0


class EngineFailedError(Exception):
    """An engine ended or hung before its work was done; the message holds the end of its log."""


@dataclass(slots=True)
class EngineProcess:
    """A running engine.

    Attributes:
        process: the subprocess, leader of its own process group.
        log: file that holds everything it wrote, except the contract's lines.
        started_ns: unix time at the start.
        versions: what its hello line said.
        first_ns: unix time of the first record, from its own line.
    """

    process: subprocess.Popen[str]
    log: Path
    started_ns: int
    versions: dict[str, str] = field(default_factory=dict)
    first_ns: int | None = None

    def check_alive(self) -> None:
        """Raise `EngineFailedError` if the engine has ended."""
        if self.process.poll() is not None:
            raise EngineFailedError(f"ended with status {self.process.returncode}\n{self.log_tail()}")

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_first(self, timeout: float) -> int:
        """Wait for the first record and return its unix time in ns."""
        deadline = time.monotonic() + timeout
        while self.first_ns is None:
            self.check_alive()
            if time.monotonic() > deadline:
                raise EngineFailedError(f"no record processed within {timeout:g} s\n{self.log_tail()}")
            time.sleep(0.005)
        return self.first_ns

    def cpu_seconds(self) -> float:
        """User and system time of the process, its live descendants and those it has waited for."""
        total = 0.0
        for process in self._tree():
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def memory_mb(self) -> float:
        """Resident memory now, summed over the process tree."""
        return sum(_resident(process) for process in self._tree()) / 1e6

    def peak_memory_mb(self) -> float:
        """Highest resident memory so far (VmHWM), summed over the process tree."""
        return sum(_peak(process) for process in self._tree()) / 1e6

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for the whole group if it does not end in time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """SIGKILL for the engine's own process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def listen(self, lines: IO[str], log: IO[str]) -> None:
        """Take the contract's lines out of the engine's output, the rest goes to the log."""
        for line in lines:
            if line.startswith("BENCH hello "):
                self.versions = json.loads(line.removeprefix("BENCH hello "))
            elif line.startswith("BENCH first "):
                self.first_ns = self.first_ns or int(line.removeprefix("BENCH first "))
            else:
                log.write(line)
                log.flush()

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@contextmanager
def start(command: list[str], settings: Settings, log: Path) -> Iterator[EngineProcess]:
    """Start `command` with `settings` as its options; ended at the end of the block."""
    options = [
        word for name, value in asdict(settings).items() for word in (f"--{_dashed(name)}", str(value))
    ]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as sink:
        process = subprocess.Popen(
            [*command, *options],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        engine = EngineProcess(process, log, time.time_ns())
        listener = threading.Thread(target=engine.listen, args=(process.stdout, sink), daemon=True)
        listener.start()
        try:
            yield engine
        finally:
            engine.stop()
            listener.join(5)


@contextmanager
def state_folder() -> Iterator[str]:
    """An empty folder for local state, deleted at the end."""
    folder = tempfile.mkdtemp(prefix="bench-state-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def _peak(process: psutil.Process) -> int:
    """VmHWM where the system has /proc, else the present value."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return _resident(process)
