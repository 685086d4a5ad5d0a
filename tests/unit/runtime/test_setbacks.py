"""Units that fail in a row: patience, and its end."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from holdfast.errors import ClusterError, Fenced
from holdfast.runtime import setbacks as module
from holdfast.runtime.setbacks import FENCED_LIMIT, FENCED_WITHIN_S, Setbacks


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in seconds; none is waited for."""
    made: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=made.append, monotonic=time.monotonic))
    return made


def test_one_unit_too_many_in_a_row_ends_the_worker_with_the_reason(pauses: list[float]) -> None:
    """The first is done again at once, the others after growing pauses."""
    setbacks = Setbacks("counter", 4)
    for _ in range(3):
        setbacks.count("no answer")
    with pytest.raises(ClusterError, match=r"'counter' cannot commit: no answer \(4 units in a row\)"):
        setbacks.count("no answer")
    assert pauses == [0.2, 0.4]
    assert setbacks.total == 4


def test_the_pause_has_a_limit(pauses: list[float]) -> None:
    """A worker that may fail often still looks every two seconds."""
    setbacks = Setbacks("counter", 100)
    for _ in range(20):
        setbacks.count("no answer")
    assert max(pauses) == pauses[-1] == 2.0


def test_a_commit_ends_the_row(pauses: list[float]) -> None:
    """Setbacks that are far apart never add up, and cost no pause."""
    setbacks = Setbacks("counter", 2)
    for _ in range(10):
        setbacks.count("aborted")
        setbacks.count_fenced("fenced")
        setbacks.forget()
    assert setbacks.total == 20
    assert pauses == []


def test_a_worker_that_is_fenced_again_and_again_has_a_rival(pauses: list[float]) -> None:
    """Brokers say it once or twice without one."""
    setbacks = Setbacks("counter", 100)
    for _ in range(FENCED_LIMIT - 1):
        setbacks.count_fenced("fenced")
    with pytest.raises(Fenced, match="another process runs in the same slot"):
        setbacks.count_fenced("fenced")


def test_being_fenced_is_not_one_more_unit_that_failed(pauses: list[float]) -> None:
    """A simulated worker ended so: two lost connections, an old generation, then a rival that was itself."""
    setbacks = Setbacks("counter", 4)
    for _ in range(3):
        setbacks.count("aborted")
    setbacks.count_fenced("fenced")
    assert setbacks.total == 4
    with pytest.raises(ClusterError, match="4 units in a row"):
        setbacks.count("aborted")


def test_a_worker_that_is_fenced_now_and_then_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing to commit it is fenced each time that its machine sleeps, and nothing ends the row."""
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None))
    setbacks = Setbacks("counter", 2)
    for _ in range(3 * FENCED_LIMIT):
        setbacks.count_fenced("fenced")
        now[0] += FENCED_WITHIN_S
