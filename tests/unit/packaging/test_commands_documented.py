"""Every command tells what it does, in its help and in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from holdfast.cli.main import build_app

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "guide" / "commands.md"


def commands(group: Any, path: tuple[str, ...] = ("holdfast",)) -> Iterator[tuple[str, Any]]:
    """All commands below a group, with the words that call them."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        if getattr(command, "invoke_without_command", not hasattr(command, "commands")):
            yield " ".join((*path, name)), command


ALL = dict(commands(get_command(build_app())))


@pytest.mark.parametrize("words", ALL)
def test_every_command_and_option_has_a_help_text(words: str) -> None:
    """Nobody has to guess from a name."""
    command = ALL[words]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{words} {parameter.name} says nothing about itself"


@pytest.mark.parametrize("words", ALL)
def test_every_command_is_documented_with_its_options(words: str) -> None:
    """The page of commands has a section for each, which names every option."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    section = next((text for text in sections if text.startswith(f"`{words}`")), None)
    assert section is not None, f"docs/guide/commands.md has no section `{words}`"
    for parameter in ALL[words].params:
        if parameter.param_type_name == "option":
            option = max(parameter.opts, key=len)
            assert option in section, f"the section `{words}` does not name {option}"


def test_the_page_holds_no_command_that_does_not_exist() -> None:
    """What was removed or renamed goes from the page too."""
    found = re.findall(r"^## `(holdfast [^`]+)`", PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(found) == sorted(ALL)
