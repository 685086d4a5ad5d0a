"""Ctrl-C while a command starts: it ends as one that was interrupted, without a traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

STARTED = """
import sys, os, signal
sys.argv = ["holdfast", "groups"]
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from holdfast.entry import main
main()
"""


@pytest.mark.parametrize("module", ["holdfast.cli.main", "typer", "rich.markup", "confluent_kafka", "yaml"])
def test_ctrl_c_while_the_commands_are_imported_is_no_traceback(module: str) -> None:
    """It takes a second or more, and is easily hit."""
    command = [sys.executable, "-c", STARTED.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_the_package_itself_imports_nothing_heavy() -> None:
    """So that nothing can be interrupted before somebody is there who knows what to do."""
    command = "import sys, holdfast.entry; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    heavy = {"pydantic", "confluent_kafka", "typer", "rich"}
    assert not heavy & set(done.stdout.split())


def test_a_name_that_the_package_does_not_have_is_told() -> None:
    """As of any other module; and those that it has are found by `dir`."""
    import holdfast

    with pytest.raises(AttributeError, match="module 'holdfast' has no attribute 'Evnt'"):
        _ = holdfast.Evnt
    assert set(holdfast.__all__) <= set(dir(holdfast))
