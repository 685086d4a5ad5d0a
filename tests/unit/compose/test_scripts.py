"""The shell scripts of compose/, where they have nothing to work with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

COMPOSE = Path(__file__).parents[3] / "compose"
TOOLS = ("bash", "cat", "cut", "dirname", "head", "sed", "sort", "tail", "timeout", "grep", "sleep", "env")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of programs: those that any system has, and no Docker."""
    for tool in TOOLS:
        found = next(Path(folder) / tool for folder in ("/usr/bin", "/bin") if (Path(folder) / tool).exists())
        (tmp_path / tool).symlink_to(found)
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    """Put a program there that does what a test wants."""
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)


def run(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of compose/ with the programs of a folder only."""
    return subprocess.run(
        ["/bin/bash", str(COMPOSE / script), *arguments],
        check=False, capture_output=True, text=True,
        env=os.environ | {"PATH": str(folder), "HOLDFAST_ENGINE_STATE": str(folder)},
    )  # fmt: skip


def test_who_is_not_root_and_has_no_sudo_is_told_what_is_needed(bare: Path) -> None:
    """And nothing is tried."""
    program(bare, "id", "echo 1000")
    done = run(bare, "engine", "start")
    assert done.returncode == 1
    assert "needs root, and there is no sudo" in done.stderr


def test_a_system_without_apt_is_told_what_to_install(bare: Path) -> None:
    """Only Debian and Ubuntu are known."""
    program(bare, "id", "echo 0")
    done = run(bare, "engine", "start")
    assert done.returncode == 1
    assert "Install Docker (engine 20.10 or newer) and its Compose plugin" in done.stderr


def test_an_engine_that_answers_is_left_alone_and_compose_needs_go(bare: Path) -> None:
    """Where there is neither a package of Compose nor Go, the message names the release that is needed."""
    program(bare, "id", "echo 1000")
    program(bare, "docker", '[ "$1" = info ]')
    done = run(bare, "engine", "start")
    assert done.returncode == 1
    lines = (COMPOSE / "plugin/go.mod").read_text().splitlines()
    wanted = next(line.split()[1] for line in lines if line.startswith("go "))
    assert f"building it needs Go {wanted} or newer (here: none)" in done.stderr


def test_only_an_engine_of_its_own_is_stopped(bare: Path) -> None:
    """Somebody else's goes on, even one that has the pid of an earlier one."""
    (bare / "dockerd.pid").write_text(str(os.getpid()))
    done = run(bare, "engine", "stop")
    assert done.returncode == 0
    assert "No engine runs that this script started" in done.stdout


@pytest.mark.parametrize(
    ("script", "said"), [("engine", "compose/engine start"), ("crash", "compose/crash broker-2")]
)
def test_a_script_without_arguments_says_how_it_is_used(bare: Path, script: str, said: str) -> None:
    """With the exit code of a wrong call."""
    program(bare, "id", "echo 1000")
    done = run(bare, script)
    assert done.returncode == 2
    assert said in done.stderr


def test_every_script_can_be_read_by_the_shell() -> None:
    """The images' own scripts too, which run on another machine than this."""
    folders = (COMPOSE, COMPOSE.parent / "src/holdfast/chaos/containers/kafka_image")
    scripts = [
        file
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and file.read_bytes().startswith((b"#!/bin/bash", b"#!/usr/bin/env bash"))
    ]
    assert len(scripts) >= 9
    for script in scripts:
        assert os.access(script, os.X_OK), script
        subprocess.run(["bash", "-n", str(script)], check=True)
