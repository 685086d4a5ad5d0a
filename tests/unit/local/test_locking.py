from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.errors import EmbeddedClusterError
from holdfast.local.locking import exclusive

HOLD = """
import sys
from pathlib import Path
from holdfast.local.locking import exclusive
with exclusive(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(file: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its input closes."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_second_waits_until_the_first_is_done(tmp_path: Path) -> None:
    """It says so once, and then has the lock."""
    with hold(tmp_path / "lock") as holder:
        assert holder.stdin is not None
        with exclusive(tmp_path / "lock", holder.stdin.close):
            assert holder.wait() == 0


def test_a_killed_holder_leaves_no_lock_behind(tmp_path: Path) -> None:
    """The kernel frees it, whatever happened."""
    with hold(tmp_path / "lock") as holder:
        holder.kill()
        holder.wait()
        with exclusive(tmp_path / "lock", lambda: pytest.fail("had to wait")):
            pass


def test_a_holder_that_hangs_is_a_clear_error(tmp_path: Path) -> None:
    """After the longest wait, with the file's name."""
    with hold(tmp_path / "lock") as holder:
        with (
            pytest.raises(EmbeddedClusterError, match=r"has been holding .*lock"),
            exclusive(tmp_path / "lock", lambda: None, longest=0.05),
        ):
            pass
        holder.communicate()
