"""`holdfast run --drain`, and the watch behind it, on real brokers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.errors import BrokersUnreachable, ClusterError
from holdfast.kafka.drain import DrainWatch, group_inputs
from holdfast.kafka.groups import GroupAdmin
from tests.support.application import Application
from tests.support.command import holdfast
from tests.support.events import Added

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
Make = Callable[..., Application]

REFUSES = """
from holdfast import processor
from test_events import Added

@processor
def handle(event: Added) -> None:
    if event.n == 13:
        raise ValueError("unlucky")
"""


def run_drain(app: Application, *arguments: str) -> tuple[int, str]:
    """`holdfast run --drain` in the application's folder; its exit code and what it said."""
    done = holdfast(
        "run", "--drain", "--bootstrap-servers", app.servers, *arguments, folder=app.folder, timeout=90
    )
    return done.returncode, done.stderr


def test_a_drained_run_ends_by_itself(application: Make) -> None:
    """Everything is processed and committed when it returns."""
    app = application()
    app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(500)))
    code, said = run_drain(app)
    assert code == 0, said
    assert len(app.decoded("sums")) == 500
    assert app.lag() == 0
    assert run_drain(app)[0] == 0, "nothing was left to do"


def test_a_drained_run_ends_when_a_shard_cannot_go_on(application: Make) -> None:
    """It would wait for ever; instead it ends with the reason."""
    app = application(handler=REFUSES, outputs={}, tables={})
    app.publish(*(Added(key=f"k{n % 7}", n=n) for n in range(100)))
    code, said = run_drain(app)
    assert code == 1
    assert "unlucky" in said or "failed: counter" in said


def wait_for(watch: DrainWatch) -> None:
    """Wait until the watch sees everything handled."""
    deadline = time.monotonic() + 60
    while not watch.is_drained(since=0.0):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_watch_gives_up_when_brokers_are_away_for_too_long(application: Make) -> None:
    """The error names the servers that do not answer."""
    app = application()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    with (
        DrainWatch(nobody, group_inputs(app.topology), away=1.0) as watch,
        pytest.raises(BrokersUnreachable, match=nobody),
    ):
        wait_for(watch)


def test_a_watch_goes_on_after_brokers_were_away(application: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It connects anew, also when they were not there at the start."""
    app, refusals = application(), iter([True, True])

    class Late(GroupAdmin):
        """Finds nobody at first."""

        def __init__(self, *arguments: Any) -> None:
            if next(refusals, False):
                raise BrokersUnreachable("nobody is there yet")
            super().__init__(*arguments)

    monkeypatch.setattr("holdfast.kafka.drain.GroupAdmin", Late)
    with DrainWatch(app.servers, group_inputs(app.topology)) as watch:
        wait_for(watch)
    assert next(refusals, None) is None


def test_a_watch_says_what_it_cannot_see(application: Make, topic_name: str) -> None:
    """An input that does not exist ends the wait."""
    app = application()
    places = [place._replace(topic=topic_name) for place in group_inputs(app.topology)[app.group]]
    with (
        DrainWatch(app.servers, {app.group: places}) as watch,
        pytest.raises(ClusterError, match=topic_name),
    ):
        wait_for(watch)
