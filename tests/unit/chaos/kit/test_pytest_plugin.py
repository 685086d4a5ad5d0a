"""The options of the pytest plugin, as pytest itself takes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.pytest_plugin import pytest_configure

TEST = "def test_nothing():\n    pass\n"


def run(folder: Path, *options: str) -> tuple[int, str]:
    """Run a test that asks for no fixture; the exit code, and all that was said."""
    (folder / "test_it.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_network_that_brokers_in_containers_would_not_be_on_is_a_wrong_option(tmp_path: Path) -> None:
    """Taken without a word, its faults would ask for the very option that was given."""
    code, said = run(tmp_path, "--holdfast-cluster", "containers", "--holdfast-network", "isolated")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert (
        "--holdfast-network isolated is for embedded brokers, not for --holdfast-cluster containers" in said
    )
    assert "network.disconnect" in said


@pytest.mark.parametrize(("brokers", "network"), [("containers", "plain"), ("embedded", "isolated")])
def test_each_option_by_itself_is_taken(brokers: str, network: str) -> None:
    given = {"--holdfast-cluster": brokers, "--holdfast-network": network}
    config: Any = SimpleNamespace(getoption=given.get)
    pytest_configure(config)
