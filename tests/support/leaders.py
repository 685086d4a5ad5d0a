"""An application with leader tasks for one test, and its candidates as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from holdfast.engine.leader_log import History
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.provision import provision
from holdfast.kafka.scan import LogScanner
from holdfast.runtime.launch import LaunchSettings, worker_specs
from holdfast.runtime.leader_view import read_history
from holdfast.runtime.supervisor import Supervisor, WorkerView
from holdfast.topology import load
from tests.support.patience import patient

JOBS = '''
import pathlib, time
from holdfast import Event, Leadership, leader_task

HERE = pathlib.Path(__file__).parent

class Ticked(Event):
    task: str
    token: int
    at: int
    missed: int

def ticked(task, led):
    at = round(led.scheduled_at.timestamp() * 1000)
    return Ticked(task=task, token=led.token, at=at, missed=led.missed)

@leader_task
def tick(led: Leadership):
    return ticked("tick", led)

@leader_task
def hourly(led: Leadership):
    return ticked("hourly", led)

@leader_task
def held_up(led: Leadership):
    """Tells that it runs, and waits until the test lets it go on."""
    (HERE / f"started.{led.token}").touch()
    while not (HERE / f"go.{led.token}").exists():
        time.sleep(0.001)  # it must return before its process hears that it was fenced
    yield ticked("held_up", led)
    (HERE / f"returned.{led.token}").write_text(str(led.held))

@leader_task
def sleeps(led: Leadership):
    time.sleep(8)
    return ticked("sleeps", led)

@leader_task
def raises():
    raise ValueError("out of luck")

@leader_task
def exits():
    raise SystemExit(3)
'''
"""Tasks to choose from, by the names of their functions."""

_ROLE = re.compile(r"leading \(token (\d+)\)")


class LeaderApplication:
    """An application folder with leader tasks, and its topics on the brokers.

    Args:
        folder: an empty folder.
        servers: the brokers.
        name: the application's name; no other test's.
        tasks: schedule keys of the tasks to declare, by the name of their function.
        session: the leader's session timeout.
        kafka: client properties.
    """

    def __init__(
        self,
        folder: Path,
        servers: str,
        name: str,
        tasks: Mapping[str, Mapping[str, str]],
        *,
        session: str = "6s",
        kafka: Mapping[str, Any] | None = None,
    ) -> None:
        self.servers, self.folder, self.home = servers, folder / "app", folder / "home"
        self.topic = f"{name}.ticks"
        self.folder.mkdir(parents=True)
        (self.folder / "jobs.py").write_text(JOBS)
        declared = {
            "app": name,
            "kafka": dict(kafka or {}),
            "leader_session_timeout": session,
            "topics": {self.topic: {"event": "jobs:Ticked", "key": "task", "partitions": 2}},
            "leader_tasks": {
                task: {"task": f"jobs:{task}", "writes": [self.topic], **keys} for task, keys in tasks.items()
            },
        }
        self.file = self.folder / "topology.yaml"
        self.file.write_text(json.dumps(declared, indent=1))
        self.topology = load(self.file)
        provision(TopicAdmin(servers), self.topology)

    @patient
    def ticks(self, task: str | None = None) -> list[dict[str, Any]]:
        """All committed events that tasks wrote, or those of one task."""
        found = [json.loads(message.value() or b"") for message in LogScanner(self.servers).topic(self.topic)]
        return [tick for tick in found if task in (None, tick["task"])]

    @patient
    def history(self) -> History:
        """What the leader's topic says."""
        return read_history(LogScanner(self.servers), self.topology)

    def allow(self, token: int) -> None:
        """Let the task `held_up` of this leader go on."""
        (self.folder / f"go.{token}").touch()

    def has_started(self, token: int) -> bool:
        """Whether the task `held_up` of this leader runs, or did."""
        return (self.folder / f"started.{token}").exists()

    def has_returned(self, token: int) -> bool:
        """Whether the task `held_up` of this leader ran to its end."""
        return (self.folder / f"returned.{token}").exists()

    @contextlib.contextmanager
    def candidates(self, count: int) -> Iterator[Candidates]:
        """Run candidates while the block lasts, each with a supervisor of its own."""
        made = Candidates(self, count)
        try:
            for supervisor in made.supervisors:
                supervisor.start()
            yield made
        finally:
            made.stop()

    def logs(self) -> str:
        """What the candidates wrote, for a failing test's report."""
        return "\n".join(f"--- {p.name}\n{p.read_text()}" for p in sorted(self.home.rglob("*.log")))


class Candidates:
    """Candidates of one application, as if each were another machine's `holdfast run`."""

    def __init__(self, application: LeaderApplication, count: int) -> None:
        self.application = application
        self.supervisors = [
            Supervisor(
                worker_specs(
                    application.topology,
                    LaunchSettings(application.servers, application.home, f"host{n}", candidates=1),
                )
            )
            for n in range(count)
        ]
        self.gone: set[int] = set()

    def view(self, index: int) -> WorkerView:
        """One candidate as its supervisor sees it."""
        return self.supervisors[index].views[0]

    def poll(self) -> None:
        """Let the supervisors work; those of candidates that are gone for good do not."""
        for index, supervisor in enumerate(self.supervisors):
            if index not in self.gone:
                supervisor.poll(0.02)

    def until(self, condition: Callable[[], object], within: float, what: str) -> None:
        """Let the candidates run until a condition holds."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {within} s\n{self._report()}")
            self.poll()

    def let_run(self, seconds: float) -> None:
        """Let the candidates run for a time: how long a fault lasts, never how long something takes."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.poll()

    def _report(self) -> str:
        views = [supervisor.views[0] for supervisor in self.supervisors]
        roles = [f"{it.spec.slot}: {it.state} {it.status} {it.error}" for it in views]
        return "\n".join([*roles, self.application.logs()[-8000:]])

    def token(self, index: int) -> int | None:
        """The token under which a candidate says that it leads; None if it does not."""
        found = _ROLE.match(self.view(index).status.role)
        return int(found[1]) if found else None

    def leaders(self) -> list[int]:
        """The candidates that say that they lead, as far as they can say anything."""
        return [n for n in range(len(self.supervisors)) if n not in self.gone and self.token(n) is not None]

    def until_led(self, within: float = 40.0, after: int = -1) -> tuple[int, int]:
        """Wait until a candidate leads with a token above `after`; return it and the token."""

        def leads() -> list[int]:
            return [n for n in self.leaders() if (self.token(n) or 0) > after]

        self.until(leads, within, f"a leader with a token above {after}")
        leader = leads()[0]
        token = self.token(leader)
        assert token is not None
        return leader, token

    def until_ticks(self, count: int, task: str | None = None, within: float = 40.0) -> list[dict[str, Any]]:
        """Wait until tasks have written so many events; return them."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = self.application.ticks(task)
            return len(found) >= count

        self.until(enough, within, f"{count} events of {task or 'any task'}")
        return found

    def signal(self, index: int, number: signal.Signals) -> int:
        """Send a signal to a candidate and return its process."""
        pid = self.view(index).pid
        assert pid is not None
        os.kill(pid, number)
        return pid

    def lose(self, index: int) -> None:
        """SIGKILL a candidate that nobody starts again."""
        self.gone.add(index)
        self.signal(index, signal.SIGKILL)

    def stop(self) -> None:
        """Stop all in good order."""
        for supervisor in self.supervisors:
            supervisor.stop(20)
