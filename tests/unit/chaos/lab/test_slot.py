"""What is known of a worker over all its lives, and how it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from holdfast.chaos.faults.members import Ended
from holdfast.chaos.lab import workers as lab_workers
from holdfast.chaos.lab.slot import Slot
from holdfast.chaos.lab.workers import Workers
from holdfast.errors import FaultFailed
from holdfast.runtime.supervisor import WorkerSpec

SAY = """
import json, os, signal, sys, time
say = lambda **message: os.write(int(sys.argv[1]), json.dumps(message).encode() + b"\\n")
"""
WORKS = SAY + "say(type='status', records=5)\nwhile True: time.sleep(1)"
LOSES_A_SHARD = SAY + "say(type='shard_failed', partition=3, message='its code failed')\n" + WORKS
GIVES_UP = SAY + "say(type='error', message='no such topic')\nsys.exit(3)"
HEARS_NOTHING = SAY + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WORKS


def spec(script: str, processor: str = "app") -> WorkerSpec:
    """A worker that is a few lines of Python."""
    return WorkerSpec(processor, "worker-0", lambda status: [sys.executable, "-c", script, str(status)])


Make = Callable[[str], Slot]


@pytest.fixture
def slot() -> Iterator[Make]:
    """Give a function that starts a worker, which is gone after the test."""
    made: list[Slot] = []

    def make(script: str) -> Slot:
        made.append(Slot("worker-0", spec(script), stop_s=1.0))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.kill()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_worker_counted_before_it_was_killed_stays_counted(slot: Make) -> None:
    worker = slot(WORKS)
    until(lambda: worker.records == 5)
    worker.kill()
    assert worker.records == 5
    worker.start()
    until(lambda: worker.records == 10)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (LOSES_A_SHARD, "worker-0: shard 3 stopped: its code failed"),
        (GIVES_UP, "worker-0 cannot go on: no such topic"),
    ],
)
def test_what_went_wrong_is_known_when_the_worker_has_another_life(
    slot: Make, script: str, told: str
) -> None:
    worker = slot(script)
    until(lambda: bool(worker.failures))
    worker.kill()
    worker.start()
    assert list(worker.failures) == [told]


def test_a_crash_that_no_fault_made_is_counted_and_one_that_a_fault_made_is_not(slot: Make) -> None:
    """A failed assertion in a client's library ends the process, and its next life knows nothing of it."""
    worker = slot(SAY + "os.abort()")
    until(lambda: worker.crashes["killed by SIGABRT"] >= 2)
    worker.kill()
    another = slot(WORKS)
    until(lambda: another.records == 5)
    process, view = another.process(), another.view
    assert process is not None
    assert view is not None
    process.kill()
    until(lambda: view.restarts == 1)
    assert view.crashes == {"killed by SIGKILL": 1}
    assert not another.crashes


def test_a_worker_that_ends_when_it_is_told_to_was_not_killed(slot: Make) -> None:
    worker = slot(WORKS)
    until(lambda: worker.records == 5)
    assert worker.stop() == ""
    assert worker.view is None


def test_a_worker_that_does_not_end_is_killed_and_that_is_told(slot: Make) -> None:
    worker = slot(HEARS_NOTHING)
    until(lambda: worker.records == 5)
    assert worker.stop() == "worker-0 did not end within 1 s of SIGTERM, and was killed"


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """Two workers of which one does not hear SIGTERM."""
    monkeypatch.setattr(lab_workers, "Slot", partial(Slot, stop_s=1.0))
    specs = {"worker-0": spec(HEARS_NOTHING), "candidate-0": spec(WORKS, "leader")}
    with Workers(specs, {}) as made:
        for name in made.names:
            made.start(name)
        until(lambda: made.records == 10)
        yield made


def test_a_stop_that_was_a_kill_is_a_fault_that_failed(deaf: Workers) -> None:
    fault = Ended(deaf, ["worker-0"], orderly=True)
    with pytest.raises(FaultFailed, match="worker-0 did not end within 1 s"):
        fault.begin()
    # It is started again, as any other.
    fault.end()
    assert "worker-0" in deaf.running


def test_a_worker_that_has_to_be_killed_at_the_end_is_told(deaf: Workers) -> None:
    deaf.close()
    assert deaf.failures == ("worker-0 did not end within 1 s of SIGTERM, and was killed",)


def test_those_who_lead_can_be_stopped_before_the_others(deaf: Workers) -> None:
    deaf.stop_of("leader")
    assert deaf.running == ("worker-0",)
    assert deaf.failures == ()


def test_a_worker_runs_when_it_has_said_so(deaf: Workers) -> None:
    assert deaf.takes_part("worker-0")
    deaf.kill("worker-0")
    assert not deaf.takes_part("worker-0")
