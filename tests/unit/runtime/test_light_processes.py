"""Processes that only start workers, or speak to their supervisor, stay light."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("rocksdict", "holdfast.engine.shard", "holdfast.kafka.consumer", "holdfast.runtime.worker")


@pytest.mark.parametrize("name", ["faust_process", "supervisor", "launch"])
def test_a_process_without_shards_loads_neither_store_nor_worker(name: str) -> None:
    """A Faust worker and the supervisor speak the status pipe; they need no RocksDB and no loop for it."""
    program = f"""
import sys
import holdfast.runtime.{name}
print(*[module for module in {HEAVY!r} if module in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_candidate_for_leadership_loads_no_store() -> None:
    """It has a consumer and a producer, and no shards."""
    program = "import sys, holdfast.runtime.leader_process as _; print('rocksdict' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
