"""The service of the README works when it is pasted into an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import holdfast, write_files_of

README = Path(__file__).parents[2] / "README.md"

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def test_the_readmes_files_and_commands_work_as_they_are(tmp_path: Path) -> None:
    """From `up` to `down`, on brokers of their own; nothing is left running."""
    write_files_of(README, tmp_path)
    (commands,) = re.findall(r"```\n(holdfast up.*?)```", README.read_text(), flags=re.DOTALL)
    environment = {**os.environ, "HOLDFAST_HOME": str(tmp_path / ".home")}
    environment.pop("HOLDFAST_BOOTSTRAP_SERVERS", None)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with (tmp_path / "said.txt").open("w+") as said:
        try:
            done = subprocess.run(
                ["bash", "-e", "-c", commands],
                cwd=tmp_path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                timeout=300,
                check=False,
            )
        finally:
            holdfast("down", folder=tmp_path)
        said.seek(0)
        assert done.returncode == 0, said.read()
    assert '{"total":"12.50"}' in done.stdout.splitlines()
