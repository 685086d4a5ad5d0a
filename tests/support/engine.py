"""A real Docker engine for tests, started by the project's own script, and the application on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from holdfast.local.ports import free_ports

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
PORTS = (
    "BROKER_1_PORT",
    "BROKER_2_PORT",
    "BROKER_3_PORT",
    "GATEWAY_PORT",
    "POSTGRES_PORT",
    "PROMETHEUS_PORT",
)
INSTALL_S = 900.0


class Engine:
    """The engine of a test run. One that ran before is used, and left running."""

    def __enter__(self) -> Self:
        self._was_there = docker("info", check=False).returncode == 0
        try:
            _run_script("engine", "start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._was_there:
            _run_script("engine", "stop")

    def make_images(self) -> None:
        """Those of compose.yaml; what is there already stays."""
        _run_script("images/build")


class Shop:
    """The application of compose.yaml, under a name and with ports of its own."""

    def __init__(self) -> None:
        self.project = f"holdfast-test-{uuid.uuid4().hex[:8]}"
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._environment = os.environ | {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_PROGRESS": "quiet",
            **{name: str(port) for name, port in self.ports.items()},
        }

    def __enter__(self) -> Self:
        try:
            self.compose("up", "--detach", "--wait", timeout=180)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--timeout", "3", timeout=120)

    def compose(self, *arguments: str, timeout: float = 60, check: bool = True) -> str:
        """Run `docker compose`, and return what it prints."""
        command = ["docker", "compose", "--file", str(COMPOSE / "compose.yaml"), *arguments]
        done = _run(command, environment=self._environment, timeout=timeout)
        if check and done.returncode != 0:
            logs = _run([*command[:4], "logs", "--tail", "10"], environment=self._environment, timeout=60)
            pytest.fail(f"docker compose {' '.join(arguments)}:\n{done.stdout}{done.stderr}\n{logs.stdout}")
        return done.stdout

    def crash(self, service: str) -> None:
        """Kill all processes of a service, as compose/crash does."""
        done = _run([str(COMPOSE / "crash"), service], environment=self._environment, timeout=60)
        assert done.returncode == 0, done.stderr

    def load(self, orders: int, seed: int) -> None:
        """Publish orders; returns when the brokers have all of them."""
        said = self.compose("run", "--rm", "-T", "load", "--set", f"count={orders}", "--set", f"seed={seed}")
        assert "all acknowledged" in said

    def verify(self) -> str:
        """What the application's own checks say now."""
        return self.compose("run", "--rm", "-T", "verify", check=False)

    def state(self, service: str) -> Mapping[str, Any]:
        """What the engine knows of the only container of a service: `RestartCount`, `State`, ..."""
        (container,) = self.compose("ps", "--all", "--quiet", service).split()
        found: Mapping[str, Any] = json.loads(docker("inspect", container).stdout)[0]
        return found


def placed(verdict: str) -> int:
    """How many orders the checks saw."""
    found = re.search(r"placed ([\d,]+)", verdict)
    return int(found[1].replace(",", "")) if found else 0


def docker(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the engine's command line. Where it is not installed it fails like where no engine answers."""
    try:
        done = _run(["docker", *arguments], timeout=60)
    except FileNotFoundError as missing:
        done = subprocess.CompletedProcess(arguments, 127, "", str(missing))
    assert not check or done.returncode == 0, done.stderr
    return done


def _run_script(name: str, *arguments: str) -> None:
    """Run a script of the project; what it lacks is what the test fails with."""
    done = _run([str(COMPOSE / name), *arguments], timeout=INSTALL_S)
    if done.returncode != 0:
        pytest.fail(f"compose/{name} {' '.join(arguments)} failed:\n{done.stderr}", pytrace=False)


def _run(
    command: list[str], *, environment: Mapping[str, str] | None = None, timeout: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=timeout,
        env=environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip
