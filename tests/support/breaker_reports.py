"""What workers tell of their circuit breakers."""

from __future__ import annotations

from typing import Any

from holdfast.engine.breaker_log import Report
from holdfast.resilience import CircuitState


def report(slot: str = "a-0", **fields: Any) -> Report:
    """What a worker tells of a closed breaker."""
    known: dict[str, Any] = {
        "processor": "payments",
        "slot": slot,
        "host": "node",
        "pid": 7,
        "sinks": ("gateway",),
        "state": CircuitState.CLOSED,
        "state_s": 3.0,
        "wait_s": 0.0,
        "calls": 1_200,
        "every_s": 30.0,
        "failure_rate": 0.0,
        "slow_call_rate": None,
        "succeeded": 9,
        "failed": 0,
        "refused": 0,
    }
    return Report.model_validate({**known, **fields})
