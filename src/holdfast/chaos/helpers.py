"""Processes that a run has beside it: it speaks with them in lines of JSON until its end of the pipe closes.

The kernel closes that, however a run ends. So nothing that such a process does outlives the program that
asked for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from holdfast.errors import ChaosError

READY_S = 30.0
"""Seconds for a helper to be ready: it starts Python, and makes hosts or opens ports."""

ANSWER_S = 10.0
"""Seconds for an answer, which takes it milliseconds: one that is silent for so long will stay so."""

_END_S = 5.0
_CHUNK = 65_536


class Helper:
    """A process as its owner has it. It ends when we do, however we end.

    Args:
        module: what it runs.
        name: what it is, for messages.
        settings: what it is told at its start; others on this machine can see that.
        loss: what follows from its end, for messages.

    Attributes:
        first: what it said when it was ready.

    Raises:
        ChaosError: it says that it cannot do its work, says nothing in time, or has ended.
    """

    def __init__(self, module: str, name: str, settings: dict[str, Any], *, loss: str) -> None:
        self._name = name
        self._loss = loss
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for its owner, who may need it to end in order.
            start_new_session=True,
        )
        try:
            self.first = self._read(READY_S)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a line, and return the answer.

        Raises:
            ChaosError: it refuses, says nothing in time, or has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            """It has ended; what it said before is read below."""
        return self._read(ANSWER_S)

    def _read(self, within: float) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._line(within))
        if "error" in answer:
            raise ChaosError(answer["error"])
        return answer

    def _line(self, within: float) -> bytes:
        assert self._process.stdout is not None
        descriptor, deadline = self._process.stdout.fileno(), time.monotonic() + within
        while b"\n" not in self._rest:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                # What it says later would be taken for the answer to the next question.
                self._process.kill()
                raise ChaosError(
                    f"{self._name} (pid {self.pid}) has said nothing for {within:g} s and is ended: "
                    f"{self._loss}"
                )
            part = os.read(descriptor, _CHUNK)
            if not part:
                raise ChaosError(f"{self._name} has ended (pid {self.pid}).")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def end(self) -> None:
        """End it, and wait for that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Lines:
    """What the owner says, on the process's side: complete lines of a descriptor that is read when it can be.

    Args:
        descriptor: what is read.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def read(self) -> Iterator[Any]:
        """Yield what has come, parsed.

        Raises:
            EOFError: the other side is gone.
        """
        data = os.read(self._descriptor, 65_536)
        if not data:
            raise EOFError
        *lines, self._rest = (self._rest + data).split(b"\n")
        yield from map(json.loads, lines)


def say(answer: dict[str, Any]) -> None:
    """Say something to the owner."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
