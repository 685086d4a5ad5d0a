"""Protection of calls to other systems: usable in topology.yaml and alone; it knows no Kafka.

A `Policy` wraps a call, sync or asyncio, in the layers that it is given, always in this order, outermost
first:

    fallback -> retry (with its budget) -> bulkhead -> rate limit -> circuit breaker -> timeout -> the call

The breaker is asked after all waiting is done, so a call that waited is refused if the circuit opened
meanwhile, time spent waiting never counts as a slow call, and a full bulkhead is no failure of the
downstream.
"""

from holdfast.resilience.backoff import Backoff
from holdfast.resilience.breaker import BreakerSnapshot, CircuitBreaker
from holdfast.resilience.budget import RetryBudget
from holdfast.resilience.bulkhead import Bulkhead
from holdfast.resilience.deadline import Timeout, time_left
from holdfast.resilience.fallback import Fallback
from holdfast.resilience.policy import Policy
from holdfast.resilience.rate_limit import RateLimit
from holdfast.resilience.retry import Retry
from holdfast.resilience.settings import BreakerSettings
from holdfast.resilience.states import CircuitState, Transition

__all__ = [
    "Backoff",
    "BreakerSettings",
    "BreakerSnapshot",
    "Bulkhead",
    "CircuitBreaker",
    "CircuitState",
    "Fallback",
    "Policy",
    "RateLimit",
    "Retry",
    "RetryBudget",
    "Timeout",
    "Transition",
    "time_left",
]
