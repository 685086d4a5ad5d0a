"""Many short runs of what is right, with faults that leave clients without an answer: none may be blamed.

One run of what is right shows little: a rule that is wrong in one history of a hundred is found by hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from holdfast.chaos.clients.loop.orders import CLIENT, Control
from holdfast.chaos.controls.cases import ABORTS, HOLDFAST, LOST_ANSWERS, RAW, Case, Situation

_SITUATIONS = (
    Situation(
        "crashes", "9s", {"at": "2s", "fault": "worker.crash", "target": "all", "times": 2, "every": "4s"}
    ),
    Situation("away", "10s", {"at": "2s", "fault": "worker.kill", "target": "any", "for": "6s"}),
    Situation("frozen", "12s", {"at": "2s", "fault": "worker.freeze", "target": "any", "for": "8s"}),
    Situation("leader", "9s", {"at": "2s", "fault": "broker.kill", "target": "leader", "for": "4s"}),
    Situation(
        "coordinator",
        "9s",
        {"at": "2s", "fault": "broker.kill", "target": "transaction coordinator", "for": "4s"},
    ),
    Situation(
        "leader-frozen", "12s", {"at": "2s", "fault": "broker.freeze", "target": "leader", "for": "8s"}
    ),
)

_INJECTED = Control(aborts=ABORTS, lost_answers=LOST_ANSWERS)

_WHO: tuple[tuple[str, str, str, Control], ...] = (
    ("client-sequence", CLIENT, "sequence", _INJECTED),
    ("client-bank", CLIENT, "bank", _INJECTED),
    ("batches-sequence", CLIENT, "sequence", replace(_INJECTED, batches=True)),
    ("holdfast-sequence", HOLDFAST, "sequence", Control()),
    ("holdfast-bank", HOLDFAST, "bank", Control()),
    ("raw", RAW, RAW, Control()),
)
"""Name, engine, workload, and what is injected."""

_CASES = tuple(
    Case(f"{name}-{situation.name}", engine, workload, situation, None, control, is_short=True)
    for situation in _SITUATIONS
    for name, engine, workload, control in _WHO
)


def short_runs(first: int, count: int) -> Iterator[tuple[int, Case]]:
    """Runs with their seeds: whoever is right in every situation, again and again.

    Args:
        first: the seed of the first run.
        count: how many there are.
    """
    for seed in range(first, first + count):
        case = _CASES[seed % len(_CASES)]
        yield seed, replace(case, name=f"{case.name}-{seed}")
