"""The load ends in time, whatever its brokers do."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from holdfast.chaos.clients import load as module
from holdfast.chaos.clients.load import Load, encoded
from holdfast.chaos.history import Recorder
from holdfast.chaos.workloads.plans import SEQUENCE
from holdfast.schema import TopicEncoder

NOBODY = "127.0.0.1:1"


def test_an_interrupted_run_does_not_wait_for_acknowledgements_that_nobody_will_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HURRY_S", 0.2)
    source = SEQUENCE.source
    encoder = TopicEncoder(source.name, (source.event,), source.key)
    with Recorder(tmp_path / "recordings") as recorder:
        load = Load(NOBODY, encoded(encoder, 2, SEQUENCE.offer(10, random.Random(1))), 100, recorder)
        load.__enter__()
        deadline = time.monotonic() + 10
        while not load.published:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        began = time.monotonic()
        load.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert time.monotonic() - began < 10
        assert load.acknowledged == 0
