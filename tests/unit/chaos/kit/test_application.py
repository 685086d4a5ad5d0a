"""What a test is told of the application under test; no broker is asked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.kit import application as kit
from holdfast.chaos.kit.application import ApplicationUnderTest
from tests.support.talking import talking

CHECKS = """
from holdfast.checks import CheckResult

def holds(log):
    return CheckResult("all is told", ok=True, counts={})

def bare(log):
    return CheckResult("stock adds up", ok=False, counts={"total": 3, "articles": 9})

def barest(log):
    return CheckResult("nothing is free", ok=False, counts={})

def shown(log):
    return CheckResult.of("each order ends once", ["order 7 is open", "order 8 is open"])
"""


@pytest.fixture(autouse=True)
def without_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody be asked for topics or records."""
    for name in ("TopicAdmin", "LogScanner"):
        monkeypatch.setattr(kit, name, lambda *_: None)
    monkeypatch.setattr(kit, "provision", lambda *_: None)


def application(folder: Path, *checks: str) -> ApplicationUnderTest:
    """The small application with these checks."""
    module = f"checks_{'_'.join(checks)}"
    (folder / f"{module}.py").write_text(CHECKS)
    lab: Any = SimpleNamespace(bootstrap_servers="127.0.0.1:1")
    file = talking(folder, checks=[f"{module}:{name}" for name in checks])
    return ApplicationUnderTest(file, lab, folder / "home")


def test_checks_that_hold_are_no_error(tmp_path: Path) -> None:
    application(tmp_path, "holds").check()


def test_a_check_that_shows_no_example_has_failed_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        application(tmp_path, "holds", "bare", "barest").check()
    assert str(caught.value).splitlines() == [
        "stock adds up: it does not hold (total 3, articles 9)",
        "nothing is free: it does not hold",
    ]


def test_every_example_of_every_failed_check_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        application(tmp_path, "shown", "barest").check()
    assert str(caught.value).splitlines() == [
        "each order ends once: order 7 is open",
        "each order ends once: order 8 is open",
        "nothing is free: it does not hold",
    ]
