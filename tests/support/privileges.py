"""What tests need of the user who runs them."""

from __future__ import annotations

import os

import pytest

as_root = pytest.mark.skipif(
    os.geteuid() != 0,
    reason="it makes network namespaces and mounts disks: run the tests as root (CI does) to have it run",
)
"""Marks tests of faults that take root."""
