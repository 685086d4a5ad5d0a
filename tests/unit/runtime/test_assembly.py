"""What a worker is put together of, where its parts are declared apart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from holdfast.engine.plan import plan_processor
from holdfast.runtime.assembly import _stage
from holdfast.topology import load, resolve

APPLICATION = """
from holdfast import Event, processor
from holdfast.downstream import Client
from holdfast.resilience import CircuitBreaker
from holdfast.sinks.base import Downstream


class Asked(Event):
    key: str


class Oracle(Client):
    pass


class Plain(Downstream):
    client = Oracle

    def client_for(self, identity: str) -> Oracle:
        return Oracle()


class Guarded(Plain):
    def __init__(self) -> None:
        self.breaker = CircuitBreaker("its own")


@processor
async def ask(event: Asked, guarded: Oracle, first: Oracle, second: Oracle) -> None:
    pass
"""

TOPOLOGY = """
app: shop
topics:
  asks: {event: asked_app:Asked, key: key, partitions: 1}
processors:
  ask: {handler: asked_app:ask, reads: [asks], asks: [guarded, first, second]}
sinks:
  guarded: {type: custom, sink: asked_app:Guarded, breaker: {open: 3s}}
  first: {type: custom, sink: asked_app:Plain, breaker: {open: 6s}}
  second: {type: custom, sink: asked_app:Plain, breaker: {open: 7s}}
"""


def test_a_system_that_is_asked_has_the_breaker_that_it_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of another system, whose own breaker is not even declared."""
    (tmp_path / "asked_app.py").write_text(APPLICATION)
    (tmp_path / "topology.yaml").write_text(TOPOLOGY)
    monkeypatch.syspath_prepend(str(tmp_path))
    processor = resolve(load(tmp_path / "topology.yaml")).processors["ask"]
    stage = _stage(processor, plan_processor(processor, "shop", "shop.dead-letters", time.monotonic))
    assert stage is not None
    found = {guard.sinks: (guard.breaker.name, guard.breaker.settings.open_s) for guard in stage.guards}
    stage.close()
    assert found == {
        ("guarded",): ("its own", 5.0),
        ("first",): ("first", 6.0),
        ("second",): ("second", 7.0),
    }
