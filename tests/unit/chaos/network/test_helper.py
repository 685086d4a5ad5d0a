"""A helper of the network that does not answer is not waited for without end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.chaos.network import helper as module
from holdfast.chaos.network.helper import Helper
from holdfast.errors import ChaosError

ECHO = """
import json, sys
print(json.dumps({"ready": sys.argv[1]}), flush=True)
for line in sys.stdin:
    print(json.dumps({"asked": json.loads(line)}), flush=True)
"""


@pytest.fixture(autouse=True)
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of helpers of the test's own, and little patience."""
    folder = tmp_path / "helpers_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "echo.py").write_text(ECHO)
    (folder / "silent.py").write_text("import sys; sys.stdin.read()")
    (folder / "half.py").write_text("import sys; print('{', end='', flush=True); sys.stdin.read()")
    monkeypatch.setattr(module, "__package__", folder.name)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setattr(module, "READY_S", 1.5)
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    return folder


def test_a_question_has_its_answer(helpers: Path) -> None:
    helper = Helper("echo", {"a": 1})
    assert helper.first == {"ready": '{"a": 1}'}
    long = {"rules": ["x" * 200_000]}
    assert helper.ask(long) == {"asked": long}
    assert helper.ask({"counts": True}) == {"asked": {"counts": True}}
    helper.end()


@pytest.mark.parametrize("name", ["silent", "half"])
def test_one_that_never_is_ready_is_ended(name: str) -> None:
    with pytest.raises(ChaosError, match=f"the {name} of the lab's network .* has said nothing for 1.5 s"):
        Helper(name, {})


def test_one_that_stands_still_is_ended_and_its_late_answer_is_nobodys() -> None:
    helper = Helper("echo", {})
    os.kill(helper.pid, signal.SIGSTOP)
    with pytest.raises(ChaosError, match=r"has said nothing for 0\.5 s and is ended"):
        helper.ask({"n": 1})
    with pytest.raises(ChaosError, match="has ended"):
        helper.ask({"n": 2})
    helper.end()
