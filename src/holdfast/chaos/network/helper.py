"""A process of the lab's network, spoken to in lines of JSON on its standard input and output."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import Any

from holdfast.errors import ChaosError

READY_S = 30.0
"""Seconds for a helper to be ready: it starts Python, and makes the hosts."""

ANSWER_S = 10.0
"""Seconds for an answer, which takes it milliseconds: one that is silent for so long will stay so."""

_END_S = 5.0
_CHUNK = 65_536


class Helper:
    """A helper ends when we do, however we end.

    Args:
        module: of this package.
        settings: what it is told on its command line.

    Attributes:
        first: what it said when it was ready.

    Raises:
        ChaosError: it refuses, says nothing in time, or has ended.
    """

    def __init__(self, module: str, settings: dict[str, Any]) -> None:
        self._name = module
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.{module}", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for its owner, who may need the network to end in order.
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
                    f"the {self._name} of the lab's network (pid {self.pid}) has said nothing for "
                    f"{within:g} s and is ended: brokers and workers do not reach each other any more"
                )
            part = os.read(descriptor, _CHUNK)
            if not part:
                raise ChaosError(f"the {self._name} of the lab's network has ended (pid {self.pid}).")
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
