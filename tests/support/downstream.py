"""What happens to applications that write to a downstream system, or ask it, whichever one it is."""

from __future__ import annotations

import signal
from collections.abc import Iterable

from tests.support.application import Application, Run
from tests.support.events import Added
from tests.support.load import Load


def some(count: int, start: int = 0) -> list[Added]:
    """Events on 40 keys, each with a number of its own."""
    return [Added(key=f"k{i % 40}", n=i) for i in range(start, start + count)]


def by_key(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """The numbers of each key, in their order."""
    found: dict[str, list[int]] = {}
    for key, n in pairs:
        found.setdefault(key, []).append(n)
    return found


def wait_for_system(run: Run, name: str) -> None:
    """Until all workers say that they wait for a system."""
    run.until(lambda: all(view.status.waits_for == name for view in run.views), 30, "it waits")


def kill_under_load(app: Application, *, rate: int) -> None:
    """Two workers, one SIGKILLed again and again under load, until all is handled."""
    with app.run(workers=2) as run:
        run.until_running()
        with Load(app, rate=rate):
            for _ in range(3):
                run.let_run(1.0)
                run.kill(0)
                run.until_running()
            run.let_run(1.0)
        run.until_drained()


def freeze_and_wake_under_load(app: Application, *, rate: int) -> None:
    """A worker is frozen, another has its shards and works, and the first wakes, until all is handled."""
    with app.run("one") as first:
        first.until_running()
        with Load(app, rate=rate):
            first.let_run(1.0)
            first.signal(signal.SIGSTOP)
            with app.run("two") as second:
                second.until_running()
                second.let_run(1.0)
                first.signal(signal.SIGCONT)
                second.let_run(3.0)
        first.until_drained()
