"""What this machine and this user have, as far as faults need it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from holdfast.chaos.experiment import NEEDS, Facts
from holdfast.chaos.experiment.needs import CONTAINERS_EXTRA, ENGINE, LIBFAKETIME, TOOLS
from holdfast.chaos.lab.clocks import find_library

# Bits of the set of capabilities (linux/capability.h).
_BITS = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


def facts_of_this_machine() -> Facts:
    """Look at everything that a need names."""
    devices = {device for need in NEEDS for device in need.devices if os.access(device, os.R_OK | os.W_OK)}
    looks = ((LIBFAKETIME, _has_faketime), (ENGINE, _has_engine), (CONTAINERS_EXTRA, _has_extra))
    parts = {part for part, there in looks if there()} | {tool for tool in TOOLS if shutil.which(tool)}
    return Facts(_capabilities(), frozenset(devices), frozenset(parts))


def _capabilities() -> frozenset[str]:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return frozenset()
    effective = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return frozenset(name for name, bit in _BITS.items() if effective >> bit & 1)


def _has_faketime() -> bool:
    return find_library() is not None


def _has_extra() -> bool:
    return all(importlib.util.find_spec(package) is not None for package in ("docker", "testcontainers"))


def _has_engine() -> bool:
    command = ["docker", "info"]
    try:
        # Whichever client the user's path has is the one that will be used.
        answer = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0
