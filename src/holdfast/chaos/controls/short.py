"""Many short runs of what is right, with faults that leave clients without an answer: none may be blamed.

One run of what is right shows little: a rule that is wrong in one history of a hundred is found by hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from holdfast.chaos.clients.loop.orders import CLIENT, Control
from holdfast.chaos.controls.cases import ABORTS, HOLDFAST, LOST_ANSWERS, RAW, Case, Situation

_SITUATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "crashes": ("9s", {"fault": "worker.crash", "target": "all", "times": 2, "every": "4s"}),
    "away": ("10s", {"fault": "worker.kill", "target": "any", "for": "6s"}),
    "frozen": ("12s", {"fault": "worker.freeze", "target": "any", "for": "8s"}),
    "leader": ("9s", {"fault": "broker.kill", "target": "leader", "for": "4s"}),
    "coordinator": ("9s", {"fault": "broker.kill", "target": "transaction coordinator", "for": "4s"}),
    "leader-frozen": ("12s", {"fault": "broker.freeze", "target": "leader", "for": "8s"}),
}

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


def short_runs(first: int, count: int) -> Iterator[tuple[int, Case]]:
    """Runs with their seeds: whoever is right in every situation, again and again.

    Args:
        first: the seed of the first run.
        count: how many there are.
    """
    for seed in range(first, first + count):
        what, who = divmod(seed % (len(_SITUATIONS) * len(_WHO)), len(_WHO))
        yield seed, _case(seed, _WHO[who], list(_SITUATIONS)[what])


def _case(seed: int, who: tuple[str, str, str, Control], what: str) -> Case:
    name, engine, workload, control = who
    limit, fault = _SITUATIONS[what]
    situation = Situation(what, limit, {"at": "2s", **fault})
    return Case(f"{name}-{what}-{seed}", engine, workload, situation, None, control, is_short=True)
