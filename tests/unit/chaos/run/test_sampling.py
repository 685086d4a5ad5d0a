"""What is sampled a few times a second."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.chaos.run import sampling
from holdfast.chaos.run.sampling import Sampler


class Load:
    """A load that seems to have published less for a while, as when one of its clients is killed."""

    def __init__(self) -> None:
        self._said = itertools.chain([0, 10, 4], itertools.repeat(14))

    @property
    def published(self) -> int:
        return next(self._said)


def test_no_interval_has_fewer_records_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_S", 0.001)
    watch: Any = SimpleNamespace(take_latencies=list, silent_s=0.0)
    load: Any = Load()
    parts: Any = SimpleNamespace(lag=())
    with Sampler(load, watch, parts) as sampler:
        while len(sampler.samples(0.0)) < 4:
            time.sleep(0.01)
    assert [it.published for it in sampler.samples(0.0)][:4] == [10, 0, 10, 0]
