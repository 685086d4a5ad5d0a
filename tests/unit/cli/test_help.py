"""What `--help` says: one look for all commands."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from holdfast.cli.main import build_app

COMMANDS = [
    *("up", "down", "status", "check", "apply", "topics", "publish", "produce", "run", "groups", "demo"),
    *("state list", "state get", "verify invariants", "verify replicas", "replay", "compare", "switch"),
    *("breakers", "breakers force", "breakers release"),
    *("chaos list", "chaos plan", "chaos report"),
]

WITHOUT_AN_APPLICATION = ("up", "down", "status", "chaos list", "chaos plan", "chaos report")
"""They are about a cluster, or about files of their own."""


def help_of(command: str) -> str:
    """The help of a command, in a wide terminal."""
    done = CliRunner().invoke(build_app(), [*command.split(), "--help"], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_no_types_and_no_doubled_brackets(command: str) -> None:
    """Values have names such as FILE; flags have none."""
    said = help_of(command)
    assert not re.search(r"<(bool|path|file|str|int|list)", said), said
    assert "[[" not in said


@pytest.mark.parametrize("command", [it for it in COMMANDS if it not in WITHOUT_AN_APPLICATION])
def test_every_command_takes_the_topology_by_its_short_option(command: str) -> None:
    """Also `publish`."""
    assert re.search(r"--topology\s+-t\s+FILE", help_of(command))


def test_arguments_are_named_in_capitals() -> None:
    """As everywhere on the page of commands."""
    assert "{TOPIC}" in help_of("publish")
    assert "{TOPIC}..." in help_of("verify replicas")
    assert "[PROCESSOR]..." in help_of("run")
    assert "[FILE]" in help_of("check")
