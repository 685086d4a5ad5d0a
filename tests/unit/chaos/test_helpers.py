"""A process beside a run that does not answer is not waited for without end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from holdfast.chaos import helpers as module
from holdfast.chaos.helpers import Helper
from holdfast.errors import ChaosError

ECHO = """
import json, sys
print(json.dumps({"ready": sys.argv[1]}), flush=True)
for line in sys.stdin:
    print(json.dumps({"asked": json.loads(line)}), flush=True)
"""


@pytest.fixture(autouse=True)
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of helpers of the test's own, and little patience."""
    folder = tmp_path / "helpers_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "echo.py").write_text(ECHO)
    (folder / "silent.py").write_text("import sys; sys.stdin.read()")
    (folder / "half.py").write_text("import sys; print('{', end='', flush=True); sys.stdin.read()")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setattr(module, "READY_S", 1.5)
    monkeypatch.setattr(module, "ANSWER_S", 0.5)


def start(name: str, **settings: object) -> Helper:
    """A helper of the test's own."""
    return Helper(f"helpers_of_a_test.{name}", f"the {name}", settings, loss="nobody answers any more")


def test_a_question_has_its_answer() -> None:
    helper = start("echo", a=1)
    assert helper.first == {"ready": '{"a": 1}'}
    long = {"rules": ["x" * 200_000]}
    assert helper.ask(long) == {"asked": long}
    assert helper.ask({"counts": True}) == {"asked": {"counts": True}}
    helper.end()


@pytest.mark.parametrize("name", ["silent", "half"])
def test_one_that_never_is_ready_is_ended(name: str) -> None:
    with pytest.raises(ChaosError, match=f"the {name} .* has said nothing for 1.5 s"):
        start(name)


def test_one_that_stands_still_is_ended_and_its_late_answer_is_nobodys() -> None:
    helper = start("echo")
    os.kill(helper.pid, signal.SIGSTOP)
    with pytest.raises(ChaosError, match=r"nothing for 0\.5 s and is ended: nobody answers any more"):
        helper.ask({"n": 1})
    with pytest.raises(ChaosError, match="has ended"):
        helper.ask({"n": 2})
    helper.end()
