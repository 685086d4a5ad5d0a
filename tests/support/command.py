"""Runs `holdfast` as a user does: a process of its own, without a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def holdfast(
    *arguments: str, folder: Path, timeout: float = 60.0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Args:
        arguments: after `holdfast`.
        folder: where; with the topology.
        timeout: seconds after which the test fails.
        environment: variables added to ours.
    """
    return subprocess.run(
        [sys.executable, "-m", "holdfast", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "HOLDFAST_HOME": str(folder / ".home"), **environment},
    )


def startup_seconds() -> float:
    """How long a command takes here and now that does nothing: not what is meant by "says so within 10 s"."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "holdfast", "--version"], capture_output=True, check=True)
    return time.monotonic() - began


def run_tests_of(folder: Path) -> None:
    """Run the tests that lie in a folder, as a reader of the page they come from would; all must pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def write_files_of(page: Path, folder: Path) -> None:
    """Write a page's files, each named by the comment in its first line, as a reader would paste them."""
    for code in re.findall(r"```(?:python|yaml)\n(.*?)```", page.read_text(), flags=re.DOTALL):
        (folder / code.splitlines()[0].removeprefix("# ")).write_text(code)


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The JSON lines that a successful command printed."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
