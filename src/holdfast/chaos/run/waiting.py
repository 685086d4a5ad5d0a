"""Waiting in a run: what does not come in time is trouble, and no reason to end it."""

from __future__ import annotations

import time
from collections.abc import Callable

from holdfast.chaos.run.scene import Scene

LOOK_S = 0.1
"""Seconds between two looks at whatever is waited for."""

START_S = 90.0
"""Seconds for brokers to lead all partitions, and for workers to run all shards, when no fault is there."""


def until(scene: Scene, condition: Callable[[], bool], within: float, what: str) -> bool:
    """Wait for a condition; False, and trouble, if it does not hold within so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            scene.trouble.append(f"not {what} within {within:.0f} s")
            return False
        time.sleep(LOOK_S)
    return True


def steady(scene: Scene, when: str) -> bool:
    """Wait for the steady state of the experiment; False, and trouble, if it does not come."""
    wanted = scene.experiment.steady_state
    scene.told.phase(f"wait for the steady state {when}")
    since: float | None = None

    def is_steady() -> bool:
        nonlocal since
        if not scene.watch.fresh_within(wanted.fresh_within_ms / 1000):
            since = None
        elif since is None:
            since = time.monotonic()
        return since is not None and time.monotonic() - since >= wanted.for_ms / 1000

    return until(scene, is_steady, wanted.reached_within_ms / 1000, f"steady {when}")
