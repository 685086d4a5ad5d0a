"""A class of tests for a sink that lacks something, or misspells it, is told so: it never only looks run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.testing.sinks import SinkConformance, WithHangs, WithOutages, WithRefusals


@pytest.mark.parametrize(
    ("kind", "method", "arguments"),
    [
        (SinkConformance, "sink", ()),
        (SinkConformance, "value", ("k", 1)),
        (SinkConformance, "held", ("k",)),
        (WithRefusals, "refused", ("k",)),
        (WithOutages, "stop", ()),
        (WithOutages, "start", ()),
        (WithHangs, "freeze", ()),
        (WithHangs, "thaw", ()),
    ],
)
def test_a_method_that_is_missing_is_named(
    kind: type[SinkConformance], method: str, arguments: tuple[Any, ...]
) -> None:
    """By the class that lacks it."""

    class TestIndex(kind):  # type: ignore[valid-type, misc]
        pass

    with pytest.raises(NotImplementedError, match=f"^TestIndex has no method `{method}`, which these tests"):
        getattr(TestIndex(), method)(*arguments)


LACKING = """
from holdfast.testing.sinks import SinkConformance

class TestIndex(SinkConformance):
    def value(self, key, payload): ...
    def held(self, key): ...
"""


def test_a_class_that_lacks_a_method_is_run_and_fails(tmp_path: Path) -> None:
    """An abstract class is passed over by pytest, without a word."""
    tests = tmp_path / "test_index.py"
    tests.write_text(LACKING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    ran = subprocess.run([*command, str(tests)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED, ran.stdout
    assert "TestIndex has no method `sink`" in ran.stdout


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        (SinkConformance, "keeps_al", "keeps_all"),
        (SinkConformance, "onec", "once"),
        (SinkConformance, "timeout", "timeout_s"),
        (WithRefusals, "atomic", "is_atomic"),
    ],
)
def test_an_attribute_that_is_misspelt_is_refused_with_the_one_that_is_meant(
    kind: type[SinkConformance], name: str, meant: str
) -> None:
    """When the class is made: the tests would run with the default."""
    with pytest.raises(TypeError, match=rf"^TestIndex has an attribute `{name}`.*did you mean `{meant}`\?"):
        type("TestIndex", (kind,), {name: True})


def test_attributes_of_ones_own_are_nobodys_business() -> None:
    """Also methods, whatever their names, private ones, and such as those of a base of one's own."""
    own: dict[str, Any] = {"server1": 1, "onece": lambda _: 1, "_once": 1, "pytestmark": [], "once": True}
    first = type("First", (WithRefusals,), own)
    type("Second", (first,), {"server2": 2, "keeps_all": False})
