"""An environment of its own for every engine: virtual environments, and the Kafka Streams program."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.local.maven import MavenProgram

ROOT = Path(__file__).resolve().parent
REPOSITORY = ROOT.parent
ENVIRONMENTS = ROOT / ".envs"
BUILD_TIMEOUT = 900
JVM_OPTIONS = "-Xms512m -Xmx512m -XX:+UseParallelGC"


class UnavailableError(Exception):
    """This engine cannot run on this machine; the message says why."""


def python(name: str) -> Path:
    """The interpreter of the environment `name`, made from its requirements file if that has changed."""
    requirements = ROOT / "requirements" / f"{name}.txt"
    folder = ENVIRONMENTS / name
    interpreter = folder / "bin" / "python"
    stamp = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()
    ready = folder / ".ready"
    if interpreter.exists() and ready.exists() and ready.read_text() == stamp:
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], what=f"the virtual environment {name}")
    _run(
        [str(interpreter), "-m", "pip", "install", "-q", "-r", str(requirements)], what=f"packages of {name}"
    )
    ready.write_text(stamp)
    return interpreter


def kafka_streams_command() -> list[str]:
    """Command of the Kafka Streams program, built with Maven if its sources have changed."""
    program = MavenProgram(
        "the Kafka Streams program", ROOT / "kafka_streams", ENVIRONMENTS / "kafka_streams"
    )
    try:
        return program.command("bench.Bench", os.environ.get("BENCH_JVM_OPTIONS", JVM_OPTIONS).split())
    except HoldfastError as error:
        raise UnavailableError(str(error)) from error


def _run(command: list[str], *, what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{what}: not ready after {BUILD_TIMEOUT} s") from error
    if done.returncode:
        raise UnavailableError(f"{what} could not be made: {(done.stderr or done.stdout).strip()[-500:]}")
