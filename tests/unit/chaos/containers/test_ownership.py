from __future__ import annotations

import os
import subprocess
import sys

import psutil

from holdfast.chaos.containers.ownership import OWNER_LABEL, _is_nobodys, labels


def test_what_a_living_process_made_is_its_own() -> None:
    """Ours, at the moment."""
    assert not _is_nobodys(labels("c")[OWNER_LABEL])


def test_what_a_process_made_that_has_ended_is_nobodys() -> None:
    """Whatever its end was."""
    said = "from holdfast.chaos.containers.ownership import *; print(labels('c')[OWNER_LABEL])"
    done = subprocess.run([sys.executable, "-c", said], check=True, capture_output=True, text=True)
    assert _is_nobodys(done.stdout.strip())


def test_a_pid_that_was_given_out_again_is_another_process() -> None:
    """One that began at another time."""
    machine, pid, began = labels("c")[OWNER_LABEL].rsplit("/", 2)
    assert int(pid) == os.getpid()
    assert float(began) > psutil.boot_time() - 1
    assert _is_nobodys(f"{machine}/{pid}/{float(began) - 60:.2f}")


def test_of_other_machines_nothing_is_removed() -> None:
    """They may share an engine, and their processes cannot be seen from here."""
    assert not _is_nobodys("elsewhere/1/1.00")
