"""Takes a sample of everything a few times a second."""

from __future__ import annotations

import time

from holdfast.chaos.clients.output_watch import OutputWatch
from holdfast.chaos.run.background import Background
from holdfast.chaos.run.parts import Observation
from holdfast.chaos.run.result import Sample
from holdfast.chaos.workloads.base import Offering

SAMPLE_S = 0.25


class Sampler(Background):
    """Samples of load and output, from a thread of its own, on the monotonic clock until `samples` is asked.

    Args:
        load: what is offered.
        watch: what comes out.
        parts: what is seen of the group.
    """

    def __init__(self, load: Offering, watch: OutputWatch, parts: Observation) -> None:
        self._load = load
        self._watch = watch
        self._parts = parts
        self._taken: list[Sample] = []
        super().__init__("sampler")

    def samples(self, zero: float) -> tuple[Sample, ...]:
        """All samples, their times in seconds since `zero`."""
        return tuple(
            Sample(
                one.at - zero,
                one.seconds,
                one.published,
                one.committed,
                one.latency_ms,
                one.lag,
                one.silent_s,
            )
            for one in self._taken
        )

    def _work(self) -> None:
        before, published = time.monotonic(), self._load.published
        while not self._end.wait(SAMPLE_S):
            now, offered = time.monotonic(), self._load.published
            latencies = self._watch.take_latencies()
            self._taken.append(
                Sample(
                    now,
                    now - before,
                    # What a client that was killed had said last may come late.
                    max(0, offered - published),
                    len(latencies),
                    _spread(latencies),
                    self._parts.lag,
                    self._watch.silent_s,
                )
            )
            before, published = now, offered


def _spread(ordered: list[float]) -> tuple[float, float, float] | None:
    """p50, p95 and maximum in milliseconds (nearest rank)."""
    if not ordered:
        return None
    places = (len(ordered) // 2, min(len(ordered) * 95 // 100, len(ordered) - 1), len(ordered) - 1)
    p50, p95, most = (round(ordered[place] * 1000, 1) for place in places)
    return p50, p95, most
