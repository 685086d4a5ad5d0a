"""Two versions of one application's processor, each deployed from a folder of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from holdfast.kafka.groups import partitions_of
from holdfast.kafka.positions import Committed
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.standing import standing
from holdfast.kafka.topic_reader import fold
from tests.support.application import COUNTER, FOLD, PARTITIONS, Application
from tests.support.command import holdfast
from tests.support.patience import patient

Rows = dict[int, list[tuple[bytes | None, bytes | None]]]
"""Keys and values of a topic, in the order of each partition."""


def another_version(
    app: Application, folder: Path, version: str, handler: str = FOLD, **options: Any
) -> Application:
    """The same application with its processor in another version; it creates no topics."""
    return Application(
        folder / version,
        app.servers,
        app.names.app,
        handler=handler,
        inputs=app.inputs,
        outputs=app.outputs,
        version=version,
        **options,
    )


def command(app: Application, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `holdfast` in an application's folder, on its brokers."""
    servers = ("--bootstrap-servers", app.servers)
    return holdfast(*arguments, *servers, folder=app.folder, HOLDFAST_HOME=str(app.home))


def prepare(app: Application, *arguments: str, start: str = "beginning") -> subprocess.CompletedProcess[str]:
    """Prepare the application's version as a shadow."""
    version = app.topology.native[COUNTER].version or ""
    return command(app, "replay", COUNTER, "--from", start, "--into", version, "--yes", *arguments)


def switch(app: Application, to: str) -> subprocess.CompletedProcess[str]:
    """Make a version live. On a busy machine brokers may be too slow for it, and it is to be said again."""
    for _ in range(5):
        done = command(app, "switch", COUNTER, "--to", to, "--yes")
        if "too slowly" not in done.stderr:
            break
    return done


@patient
def table(app: Application) -> dict[bytes, bytes]:
    """The version's table `sums` in bytes."""
    return fold(LogScanner(app.servers).topic(app.changelog))


@patient
def rows_of(app: Application, topic: str) -> Rows:
    """What a topic holds."""
    found: Rows = {}
    for record in LogScanner(app.servers).topic(topic):
        found.setdefault(record.partition(), []).append((record.key(), record.value()))
    return found


def outputs(app: Application) -> Rows:
    """What is on the declared output topic, whoever wrote it."""
    return rows_of(app, app.names.topic("sums"))


def shadow_outputs(app: Application) -> Rows:
    """What this version wrote as a shadow."""
    return rows_of(app, app.topology.native[COUNTER].shadow(app.names.topic("sums")))


@patient
def stands(app: Application) -> dict[int, Committed]:
    """Where the version stands in its input, with its notes, by partition."""
    places = partitions_of([app.names.topic("adds")], PARTITIONS)
    found = standing(app.group, places, app.servers, {}).committed
    return {place.partition: it for place, it in found.items()}


def drain(app: Application) -> None:
    """Let a worker of this version handle what is there."""
    with app.run() as run:
        run.until_drained()
        assert all(view.restarts == 0 for view in run.views)
