"""The page "First steps" works as it is written."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TestCluster
from tests.support.command import holdfast, run_tests_of, write_files_of

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "first-steps.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the page's files, each named by the comment in its first line."""
    write_files_of(PAGE, tmp_path)
    return tmp_path


def test_the_pages_service_has_no_mistakes(folder: Path) -> None:
    """`holdfast check` accepts both declarations."""
    for file in ("topology.yaml", "demo.yaml"):
        done = holdfast("check", file, folder=folder)
        assert done.returncode == 0, done.stderr


def test_the_pages_own_test_passes(folder: Path) -> None:
    """The test without a broker, run by pytest as a reader would."""
    run_tests_of(folder)


@pytest.mark.integration
def test_the_pages_commands_do_what_it_says(
    folder: Path, cluster: TestCluster, unique_name: Callable[[str], str]
) -> None:
    """Publish, look, verify: with topics of this test's own, since the brokers are shared."""
    for file in folder.glob("*"):
        if file.is_file():
            text = re.sub(
                r"\b(measurements|alarms)(?=[\":]\s|\"\)|\])", _renamed(unique_name("t")), file.read_text()
            )
            file.write_text(text.replace("app: boiler", f"app: {unique_name('boiler')}"))
    shutil.copy(folder / "demo.yaml", folder / "topology.yaml")
    servers = ("--bootstrap-servers", cluster.bootstrap_servers)
    done = holdfast("demo", "--topology", "demo.yaml", *servers, folder=folder, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sensors 6" in done.stdout
    shown = holdfast("state", "get", "watch", "streaks", "a", *servers, folder=folder)
    assert re.fullmatch(r'\{"hot":\d+\}\n', shown.stdout), shown


def _renamed(prefix: str) -> str:
    return rf"{prefix}.\1"
