"""`holdfast state diff` and `holdfast state rebuild` beside real applications."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from holdfast.kafka.partitioner import partition_of
from holdfast.runtime.store import RocksStore, StoreMemory
from tests.conftest import TestCluster
from tests.support.application import COUNTER, Application
from tests.support.command import holdfast, rows
from tests.support.events import Added

pytestmark = pytest.mark.integration


def run(app: Application, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the application's user, on the machine of its workers."""
    return holdfast(
        *arguments,
        "--bootstrap-servers",
        app.servers,
        folder=app.folder,
        HOLDFAST_HOME=str(app.home),
    )


def tampered(app: Application, key: bytes) -> int:
    """Change one value in a store behind everybody's back; return its shard."""
    shard = partition_of(key, 4)
    store = RocksStore(app.state_folder(partition=shard), ["sums"], StoreMemory())
    checkpoint = store.checkpoint("sums")
    assert checkpoint is not None
    store.apply({"sums": [(key, b'{"count":99,"total":99}')]}, {"sums": checkpoint})
    store.close()
    return shard


def test_local_state_is_compared_and_rebuilt(application: Callable[..., Application]) -> None:
    """What was changed in a store is found, thrown away with its shard only, and restored right."""
    app = application()
    app.publish(*(Added(key=f"key-{n % 20}", n=n) for n in range(60)))
    with app.run() as worker:
        worker.until_drained()
        taken = run(app, "state", "rebuild", COUNTER)
        assert taken.returncode == 1
        assert "a worker runs in the slot slot-0" in taken.stderr
        # A comparison needs no rest.
        assert run(app, "state", "diff", COUNTER).returncode == 0
    found = rows(run(app, "state", "diff", COUNTER))
    assert [row["shard"] for row in found] == [0, 1, 2, 3]
    assert sum(row["equal"] for row in found) == 20
    assert all(row["problem"] is None for row in found)

    shard = tampered(app, b"key-7")
    seen = run(app, "state", "diff", COUNTER, "--shard", str(shard))
    assert seen.returncode == 1
    assert '"key": "key-7", "left": "{\\"count\\":99,\\"total\\":99}"' in seen.stdout

    done = run(app, "state", "rebuild", COUNTER, "--shard", str(shard), "--check")
    assert done.returncode == 1
    assert '"differ": 1' in done.stdout
    assert f"thrown away: 1 store of {COUNTER} (slot-0: shard {shard})" in done.stderr
    assert sorted(int(it.name) for it in app.state_folder().iterdir() if it.name.isdecimal()) == [
        n for n in range(4) if n != shard
    ]
    with app.run() as worker:
        worker.until_running()
    assert sum(row["equal"] for row in rows(run(app, "state", "diff", COUNTER))) == 20
    everything = run(app, "state", "rebuild", COUNTER)
    assert (everything.returncode, "thrown away: 4 stores" in everything.stderr) == (0, True)
    assert "nothing to do" in run(app, "state", "rebuild", COUNTER).stderr


@pytest.mark.slow
def test_two_applications_are_compared(
    cluster: TestCluster, tmp_path: Path, unique_name: Callable[[str], str]
) -> None:
    """By their changelogs, from any machine; a difference is shown with both values."""
    apps = []
    for label in ("one", "two"):
        app = Application(tmp_path / label, cluster.bootstrap_servers, unique_name(label))
        app.provision()
        app.publish(*(Added(key=f"key-{n % 10}", n=n) for n in range(30)))
        with app.run() as worker:
            worker.until_drained()
        apps.append(app)
    one, two = apps
    against = ("state", "diff", COUNTER, "--other-topology", str(two.folder / "topology.yaml"))
    assert rows(run(one, *against)) == [
        {
            "table": "sums",
            "equal": 10,
            "differ": 0,
            "only_left": 0,
            "only_right": 0,
            "behind": 0,
            "differences": [],
        }
    ]
    client = Producer({"bootstrap.servers": two.servers})
    for key, value in ((b"key-3", b"{}"), (b"key-4", None), (b"new", b"{}")):
        client.produce(two.changelog, value, key, partition=partition_of(key, 4))
    assert client.flush(20) == 0
    done = run(one, *against, "--first", "2")
    assert done.returncode == 1
    assert '"equal": 8, "differ": 1, "only_left": 1, "only_right": 1' in done.stdout
    assert '"key": "key-4", "left": "{\\"count\\":3' in done.stdout
    assert '"key": "new"' not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("diff", "counters"), 'did you mean "counter"'),
        (("diff", COUNTER, "--table", "sum"), 'did you mean "sums"'),
        (("diff", COUNTER, "--shard", "4"), "its shards are 0 to 3"),
        (("diff", COUNTER), "this machine keeps no state of counter"),
        (("diff", COUNTER, COUNTER), "cannot be compared with itself"),
        (("rebuild", "counters"), 'did you mean "counter"'),
        (("rebuild", COUNTER, "--shard", "4"), "its shards are 0 to 3"),
        (("diff", "stock"), "Faust"),
        (("rebuild", "stock"), "Faust"),
    ],
)
def test_wrong_names_are_told(application: Callable[..., Any], arguments: tuple[str, ...], told: str) -> None:
    """With what is there instead; nothing is changed, and no traceback is shown."""
    app = application()
    file = app.folder / "topology.yaml"
    adds = app.names.topic("adds")
    faust = f'"stock": {{"runtime": "faust", "agent": "a:b", "reads": ["{adds}"]}},\n "counter"'
    file.write_text(file.read_text().replace('"counter"', faust))
    done = run(app, "state", *arguments)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
