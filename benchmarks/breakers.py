"""What protection costs a call that succeeds: Holdfast's beside the known Python packages, in one run.

    python -m benchmarks.breakers [--calls N] [--rounds N]

Every loop calls the same function, which does nothing, through one protection; the loop that calls it
directly is subtracted. The rounds alternate, because a shared machine is never equally fast for long, and
of each loop the median of the rounds is told. Each peer has its defaults, but a limit that is never
reached; Holdfast has its defaults, so it alone keeps a window of outcomes and looks at the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks import environments
from holdfast.resilience import Bulkhead, CircuitBreaker, Policy, Retry, RetryBudget, Timeout

BREAKER_BAR_US, RETRY_BAR_US = 2.0, 3.0
"""Microseconds that a breaker, and a retry with its budget, may cost a call."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One protection: `run` makes so many calls through it."""

    name: str
    kind: str
    run: Callable[[int], None]


def answer() -> int:
    """What is called."""
    return 1


async def answer_later() -> int:
    """What is awaited."""
    return 1


def plain(name: str, kind: str, call: Callable[[], object]) -> Loop:
    """A loop of plain calls."""

    def run(calls: int) -> None:
        for _ in range(calls):
            call()

    return Loop(name, kind, run)


def awaited(name: str, kind: str, call: Callable[[], Awaitable[object]]) -> Loop:
    """A loop of awaited calls in one event loop."""

    async def work(calls: int) -> None:
        for _ in range(calls):
            await call()

    return Loop(name, kind, lambda calls: asyncio.run(work(calls)))


def ours() -> list[Loop]:
    """Holdfast's protections."""
    breaker, retry = CircuitBreaker("one"), Retry(budget=RetryBudget())
    tired = RetryBudget(per_s=0, capacity=1_000_000_000)
    tired.take()  # not full, so that each call pays in, as it does while a downstream is ill
    paying = Retry(budget=tired)
    ailing = CircuitBreaker("ailing")
    for failed in (False, False, True):
        (ailing.fail if failed else ailing.succeed)(ailing.acquire(), 0.0)
    full = Policy(retry=retry, bulkhead=Bulkhead("one"), breaker=breaker, timeout=Timeout("one", 5))

    return [
        plain("holdfast CircuitBreaker", "breaker", lambda: breaker.call(answer)),
        plain("holdfast CircuitBreaker, a failure in its window", "breaker", lambda: ailing.call(answer)),
        plain("holdfast Retry with RetryBudget", "retry", lambda: retry.call(answer)),
        plain("holdfast Retry, budget not full", "retry", lambda: paying.call(answer)),
        plain("holdfast Policy: retry, bulkhead, breaker, timeout", "policy", lambda: full.call(answer)),
        awaited(
            "holdfast CircuitBreaker, asyncio", "breaker, asyncio", lambda: breaker.call_async(answer_later)
        ),
        awaited(
            "holdfast Retry with RetryBudget, asyncio",
            "retry, asyncio",
            lambda: retry.call_async(answer_later),
        ),
    ]


def peers() -> list[Loop]:
    """The same with other packages, from an environment of their own."""
    interpreter = environments.python("breakers")
    sys.path += [str(path) for path in interpreter.parents[1].glob("lib/*/site-packages")]
    import circuitbreaker  # type: ignore[import-not-found]
    import purgatory  # type: ignore[import-not-found]
    import pybreaker  # type: ignore[import-not-found]
    import stamina  # type: ignore[import-not-found]
    import tenacity  # type: ignore[import-not-found]

    by_pybreaker = pybreaker.CircuitBreaker(fail_max=1_000_000)
    # Its `call` never refuses: only what it decorates asks whether the circuit is open.
    decorate = circuitbreaker.CircuitBreaker(failure_threshold=1_000_000)
    of_circuitbreaker, of_circuitbreaker_later = decorate(answer), decorate(answer_later)
    of_purgatory = purgatory.SyncCircuitBreakerFactory(default_threshold=1_000_000).get_breaker("one")
    of_tenacity = tenacity.Retrying(stop=tenacity.stop_after_attempt(3))
    of_stamina = stamina.retry(on=ValueError)(answer)
    factory = purgatory.AsyncCircuitBreakerFactory(default_threshold=1_000_000)

    def by_purgatory() -> object:
        with of_purgatory:
            return answer()

    async def by_purgatory_async() -> object:
        async with await factory.get_breaker("one"):
            return await answer_later()

    return [
        plain("pybreaker 1.4.1", "breaker", lambda: by_pybreaker.call(answer)),
        plain("circuitbreaker 2.1.3", "breaker", of_circuitbreaker),
        plain("purgatory 3.0.1", "breaker", by_purgatory),
        plain("tenacity 9.2.1", "retry", lambda: of_tenacity(answer)),
        plain("stamina 26.1.0", "retry", of_stamina),
        awaited("purgatory 3.0.1, asyncio", "breaker, asyncio", by_purgatory_async),
        awaited(
            "circuitbreaker 2.1.3, asyncio",
            "breaker, asyncio",
            of_circuitbreaker_later,
        ),
    ]


def measure(loop: Loop, calls: int) -> float:
    """Microseconds that one call took."""
    began = time.perf_counter()
    loop.run(calls)
    return (time.perf_counter() - began) / calls * 1e6


def report(bases: dict[str, float], costs: dict[str, tuple[Loop, float]]) -> bool:
    """Print the table; tell whether the bars are reached."""
    table = Table("kind", "protection", "us per call", "Holdfast costs", title="What protection costs a call")
    own = {loop.kind: cost for loop, cost in reversed(costs.values()) if loop.name.startswith("holdfast")}
    for loop, cost in sorted(costs.values(), key=lambda one: (one[0].kind, one[1])):
        ratio = f"{own[loop.kind] / cost:.2f}x" if loop.kind in own else ""
        table.add_row(loop.kind, loop.name, f"{cost:.2f}", ratio)
    Console(width=110).print(table)
    print("a call alone: " + ", ".join(f"{name} {cost:.2f} us" for name, cost in bases.items()))
    breaker, retry = costs["holdfast CircuitBreaker"][1], costs["holdfast Retry, budget not full"][1]
    print(f"bar: breaker under {BREAKER_BAR_US} us: {'reached' if breaker < BREAKER_BAR_US else 'MISSED'}")
    print(f"bar: retry and budget under {RETRY_BAR_US} us: {'reached' if retry < RETRY_BAR_US else 'MISSED'}")
    return breaker < BREAKER_BAR_US and retry < RETRY_BAR_US


def main() -> int:
    """Run the benchmark; exit code 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    # The lambdas are what the loops of the protections have too.
    bases = [plain("call", "base", lambda: answer()), awaited("await", "base", lambda: answer_later())]  # noqa: PLW0108
    loops = [*bases, *ours(), *peers()]
    taken: dict[str, list[float]] = {loop.name: [] for loop in loops}
    for _ in range(arguments.rounds):
        for loop in loops:
            taken[loop.name].append(measure(loop, arguments.calls))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    costs = {
        loop.name: (loop, medians[loop.name] - medians["await" if "asyncio" in loop.kind else "call"])
        for loop in loops
        if loop.kind != "base"
    }
    return 0 if report({name: medians[name] for name in ("call", "await")}, costs) else 1


if __name__ == "__main__":
    sys.exit(main())
