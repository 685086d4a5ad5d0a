"""The breaker does what a slow and plain model of its rules does, whatever happens in whatever order.

The model keeps the whole history and counts again at every step; it shares no code with the breaker.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import CircuitOpen
from holdfast.resilience import BreakerSettings, CircuitBreaker, CircuitState
from tests.unit.resilience.clock import ManualClock

PASSES_ALL = ("CLOSED", "DISABLED", "METRICS_ONLY")


@dataclass
class Call:
    """A call that the model admitted: in which era of the circuit, and how it ended."""

    era: int
    result: tuple[float, bool, bool] | None = None  # when, failed, slow
    released: bool = False


@dataclass
class Model:
    """The rules as one would write them on paper."""

    rules: BreakerSettings
    now: float
    state: str = "CLOSED"
    era: int = 1
    until: float = 0.0
    opened_in_a_row: int = 0
    calls: list[Call] = field(default_factory=list)
    done: list[Call] = field(default_factory=list)  # in the order in which they ended
    succeeded: int = 0
    failed: int = 0
    late: int = 0

    def enter(self, state: str) -> None:
        self.state = state
        self.era += 1
        if state == "OPEN":
            grown = self.rules.open_s * self.rules.open_growth**self.opened_in_a_row
            self.until = self.now + min(self.rules.open_limit_s, grown)
            self.opened_in_a_row += 1
        if state == "HALF_OPEN":
            self.until = self.now + self.rules.half_open_s
        if state == "CLOSED":
            self.opened_in_a_row = 0

    def of_this_era(self) -> list[Call]:
        return [call for call in self.calls if call.era == self.era and not call.released]

    def ask(self) -> bool:
        if self.state == "OPEN" and self.now >= self.until:
            self.enter("HALF_OPEN")
        elif self.state == "HALF_OPEN" and self.now >= self.until:
            self.enter("OPEN")
        admitted = self.state in PASSES_ALL or (
            self.state == "HALF_OPEN" and len(self.of_this_era()) < self.rules.half_open_calls
        )
        if admitted:
            self.calls.append(Call(self.era))
        return admitted

    def end(self, call: Call, failed: bool, slow: bool) -> None:
        call.result = (self.now, failed, slow)
        if call.era != self.era:
            self.late += 1
        elif failed:
            self.failed += 1
        else:
            self.succeeded += 1
        if call.era != self.era or self.state == "DISABLED":
            return
        self.done.append(call)
        results = [one.result for one in self.done if one.era == self.era and one.result is not None]
        if self.state == "HALF_OPEN":
            of = self.rules.half_open_calls
            if self.reached(results, of):
                self.enter("OPEN")
            elif len(results) == of:
                self.enter("CLOSED")
            return
        if self.rules.window_calls is not None:
            results = results[-self.rules.window_calls :]
        else:
            assert self.rules.window_s is not None
            results = [one for one in results if int(one[0]) > int(self.now) - self.rules.window_s]
        if (
            self.state == "CLOSED"
            and len(results) >= self.rules.minimum_calls
            and self.reached(results, len(results))
        ):
            self.enter("OPEN")

    def reached(self, results: list[tuple[float, bool, bool]], of: int) -> bool:
        failed = sum(failed for _, failed, _ in results)
        slow = sum(slow for _, _, slow in results)
        by_failures = self.rules.failure_rate is not None and failed / of >= self.rules.failure_rate
        return by_failures or (
            self.rules.slow_call_rate is not None and slow / of >= self.rules.slow_call_rate
        )


@st.composite
def rules(draw: st.DrawFn) -> BreakerSettings:
    by_calls = draw(st.booleans())
    window = draw(st.integers(1, 8))
    slow = draw(st.booleans())
    open_s = draw(st.sampled_from([1.0, 2.5]))
    return BreakerSettings(
        failure_rate=draw(st.sampled_from([0.1, 0.3, 0.5, 0.55, 1.0] + ([None] if slow else []))),
        slow_call_rate=draw(st.sampled_from([0.25, 0.5, 1.0])) if slow else None,
        slow_call_s=1.0 if slow else None,
        window_calls=window if by_calls else None,
        window_s=None if by_calls else window,
        minimum_calls=draw(st.integers(1, window)),
        open_s=open_s,
        open_growth=draw(st.sampled_from([1.0, 2.0])),
        open_limit_s=open_s * draw(st.sampled_from([1, 3])),
        open_jitter=0.0,
        half_open_calls=draw(st.integers(1, 4)),
        half_open_s=draw(st.sampled_from([2.0, 10.0])),
    )


_ORDERS = {
    "CLOSED": CircuitBreaker.close,
    "OPEN": CircuitBreaker.open,
    "DISABLED": CircuitBreaker.disable,
    "FORCED_OPEN": CircuitBreaker.force_open,
    "METRICS_ONLY": CircuitBreaker.observe_only,
}

_end = st.tuples(st.just("end"), st.integers(0, 5), st.booleans(), st.booleans())
_steps = st.lists(
    st.just(("begin",))
    | _end
    | _end
    | st.tuples(st.just("cancel"), st.integers(0, 5))
    | st.tuples(st.just("wait"), st.sampled_from([0.25, 0.5, 1.0, 2.0, 2.5, 7.0]))
    | st.tuples(st.just("call"), st.booleans(), st.booleans())
    | st.tuples(st.just("call"), st.booleans(), st.booleans())
    | st.tuples(st.just("order"), st.sampled_from(sorted(_ORDERS))),
    max_size=80,
)


@settings(max_examples=400, deadline=None)
@given(rules=rules(), steps=_steps)
def test_the_breaker_agrees_with_a_model_that_counts_everything_again(
    rules: BreakerSettings, steps: list[tuple[object, ...]]
) -> None:
    clock = ManualClock()
    breaker = CircuitBreaker("downstream", rules, clock=clock, jitter=lambda: 0.5)
    model = Model(rules, clock.now)
    under_way: list[tuple[int, Call]] = []

    def begin() -> None:
        if model.ask():
            under_way.append((breaker.acquire(), model.calls[-1]))
        else:
            refuse(breaker.acquire)

    def pass_through(failed: bool, slow: bool) -> None:
        # As users do it, and the quick way with it.
        if not model.ask():
            refuse(lambda: breaker.call(lambda: None))
            return
        admitted = model.calls[-1]

        def work() -> None:
            clock.advance(1.0 if slow else 0.0)
            if failed:
                raise OSError("down")

        with contextlib.suppress(OSError):
            breaker.call(work)
        model.now = clock.now
        model.end(admitted, failed, slow)

    def refuse(ask: Callable[[], object]) -> None:
        with pytest.raises(CircuitOpen) as refused:
            ask()
        assert refused.value.wait_s == (
            float("inf") if model.state == "FORCED_OPEN" else model.until - clock.now
        )

    def end(which: int, failed: bool, slow: bool) -> None:
        permit, call = under_way.pop(which % len(under_way))
        (breaker.fail if failed else breaker.succeed)(permit, 1.0 if slow else 0.999)
        model.end(call, failed, slow)

    for step in steps:
        match step:
            case ("begin",):
                begin()
            case ("call", bool(failed), bool(slow)):
                pass_through(failed, slow)
            case ("end", int(which), bool(failed), bool(slow)) if under_way:
                end(which, failed, slow)
            case ("cancel", int(which)) if under_way:
                permit, call = under_way.pop(which % len(under_way))
                breaker.release(permit)
                call.released = True
            case ("wait", float(seconds)):
                clock.advance(seconds)
                model.now = clock.now
            case ("order", str(state)):
                _ORDERS[state](breaker)
                model.enter(state)
        assert breaker.state is CircuitState[model.state]
    # Only now: a look at the counts would count what was only noted.
    counted = breaker.snapshot()
    assert (counted.succeeded, counted.failed, counted.late) == (model.succeeded, model.failed, model.late)


@given(failed=st.integers(0, 100), limit=st.integers(1, 100))
def test_a_rate_that_equals_its_limit_opens_whatever_floats_do(failed: int, limit: int) -> None:
    rules = BreakerSettings(failure_rate=limit / 100, window_calls=100, window_s=None, minimum_calls=100)
    breaker = CircuitBreaker("downstream", rules)
    for number in range(100):
        permit = breaker.acquire()
        (breaker.fail if number < failed else breaker.succeed)(permit, 0.0)
    assert (breaker.state is CircuitState.OPEN) == (failed >= limit)
