"""`holdfast replay` in place: the same log gives the same state and outputs, and never half of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.scan import LogScanner
from tests.support.application import ADDS_AND_TAKES, COUNTER, SLOW_FOLD, Application
from tests.support.command import holdfast
from tests.support.events import Added, Taken
from tests.support.two_inputs import BOTH, outputs_since, publish_both, sums_of
from tests.support.versions import command, drain, outputs, table

pytestmark = pytest.mark.integration

RECORDS = 200


@pytest.fixture
def app(application: Callable[..., Application]) -> Application:
    """Give an application that has handled its records and was stopped."""
    made = application()
    made.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(made)
    return made


def replay(app: Application, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, on the machine of the workers."""
    return command(app, "replay", COUNTER, *arguments)


def test_a_muted_replay_makes_the_same_state_and_no_outputs(app: Application) -> None:
    """New records in between are handled as ever, and a worker that is killed keeps the mute."""
    before, written = table(app), outputs(app)
    done = replay(app, "--from", "beginning", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{RECORDS} offsets to pass again, 17 keys deleted" in done.stderr
    assert table(app) == {}
    assert set(app.committed().values()) == {0}
    with app.run() as run:
        run.until(lambda: run.views[0].records > 0, 30, "a first record again")
        run.kill()
        run.until_drained()
    assert table(app) == before
    assert outputs(app) == written
    # Beyond where the group stood it is as if nothing had been.
    app.publish(Added(key="key-3", n=1000))
    drain(app)
    assert sum(map(len, outputs(app).values())) == RECORDS + 1
    assert table(app) != before


def test_a_replay_with_outputs_writes_the_same_ones_again(app: Application) -> None:
    """Byte by byte: keys, values, and their order in each partition."""
    before, written = table(app), outputs(app)
    done = replay(app, "--from", "beginning", "--emit", "--yes")
    assert done.returncode == 0, done.stderr
    assert "outputs are written again" in done.stderr
    drain(app)
    assert table(app) == before
    assert outputs(app) == {partition: each + each for partition, each in written.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"guarantee": "at-least-once"}, {"kafka": {"group.protocol": "consumer"}}], ids=str
)
def test_a_replay_is_muted_whatever_commits_the_positions(
    application: Callable[..., Application], options: dict[str, Any]
) -> None:
    """The consumer, without transactions; or a group of the newer protocol."""
    app = application(**options)
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(app)
    before, written = table(app), outputs(app)
    done = replay(app, "--from", "beginning", "--yes")
    assert done.returncode == 0, done.stderr
    assert table(app) == {}
    drain(app)
    assert (table(app), outputs(app)) == (before, written)
    app.publish(Added(key="key-3", n=1000))
    drain(app)
    assert len(app.read("sums")) == RECORDS + 1


@pytest.mark.slow
def test_workers_that_are_killed_in_the_middle_stay_muted(application: Callable[..., Application]) -> None:
    """Their successors know from the positions how far the mute goes, on whatever shard."""
    app = application(handler=SLOW_FOLD)
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(1000)))
    app.hurry()
    drain(app)
    app.hurry(on=False)
    before, written = table(app), outputs(app)
    assert replay(app, "--from", "beginning", "--yes").returncode == 0
    with app.run() as run:
        for count in (100, 400):
            run.until(lambda: run.views[0].records > count, 40, f"{count} records")  # noqa: B023
            run.kill()
        assert run.views[0].records < 1000, "too late to show anything"
        app.hurry()
        run.until_drained()
    assert (table(app), outputs(app)) == (before, written)


@pytest.fixture
def two_inputs(application: Callable[..., Application]) -> Application:
    """Give an application of two inputs that has handled their records; one has many more of them."""
    app = application(handler=BOTH, inputs=ADDS_AND_TAKES)
    publish_both(app)
    drain(app)
    return app


@pytest.mark.slow
def test_a_shard_with_two_inputs_is_replayed_with_both(two_inputs: Application) -> None:
    """One of them alone would not give its state."""
    app = two_inputs
    before, written = table(app), outputs(app)
    takes = app.names.topic("takes")
    alone = replay(app, "--from", f"{takes}:1:0", "--emit", "--yes")
    assert (alone.returncode, "beginning of all inputs" in alone.stderr) == (1, True), alone.stderr
    both = replay(app, "--from", f"{takes}:1:0,{app.names.topic('adds')}:1:0", "--emit", "--yes")
    assert both.returncode == 0, both.stderr
    assert {place for place, offset in app.committed().items() if not offset} == {("adds", 1), ("takes", 1)}
    drain(app)
    assert table(app) == before
    # The states in between depend on which input came first.
    assert {p: len(it) for p, it in outputs(app).items()} == {
        p: len(it) * (2 if p == 1 else 1) for p, it in written.items()
    }


def test_new_records_of_one_input_wait_for_the_old_ones_of_another(two_inputs: Application) -> None:
    """They are not muted, and what they tell comes from the whole state."""
    app = two_inputs
    written, sums = outputs(app), sums_of(app)
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(50)))
    done = replay(app, "--from", "beginning", "--yes")
    assert done.returncode == 0, done.stderr
    drain(app)
    assert outputs_since(app, written, sums) == 50
    assert sums_of(app) == sums


@pytest.mark.slow
def test_without_tables_a_replay_may_start_anywhere(application: Callable[..., Application]) -> None:
    """Only the outputs of what is replayed come again."""
    stateless = (
        "from holdfast import processor\nfrom test_events import Added, Taken\n\n@processor\n"
        "def handle(event: Added) -> Taken:\n    return Taken(key=event.key, n=event.n)\n"
    )
    app = application(handler=stateless, tables={}, outputs={"sums": (Taken,)})
    app.publish(*(Added(key=f"key-{n % 17}", n=n) for n in range(RECORDS)))
    drain(app)
    written = outputs(app)
    middle = app.committed()["adds", 2] // 2
    done = replay(app, "--from", f"2:{middle}", "--emit", "--yes")
    assert done.returncode == 0, done.stderr
    drain(app)
    assert outputs(app) == {**written, 2: written[2] + written[2][middle:]}


KILLED = """
import os, signal, sys
from confluent_kafka import Producer
from holdfast.kafka import moves

class Dying(Producer):
    def commit_transaction(self, *arguments):
        self.flush(30)
        os.kill(os.getpid(), signal.SIGKILL)

moves.Producer = Dying
from holdfast.cli.main import main
sys.argv = ["holdfast", *sys.argv[1:]]
main()
"""
"""The command, killed in the last moment in which nothing is decided yet."""


@pytest.mark.slow
def test_a_replay_that_is_killed_has_changed_nothing(app: Application) -> None:
    """Its deletions and positions are one transaction: the next command ends it, and does all of it."""
    before, stood = table(app), app.committed()
    arguments = ["replay", COUNTER, "--from", "beginning", "--yes", "--bootstrap-servers", app.servers]
    died = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], cwd=app.folder, capture_output=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert table(app) == before
    # This one takes over the transactional id: what was open is aborted, and nothing is asked to be done.
    refused = replay(app, "--from", "0:999")
    assert refused.returncode == 1
    done = replay(app, "--from", "beginning", "--yes")
    assert done.returncode == 0, done.stderr
    assert (table(app), set(app.committed().values())) == ({}, {0})
    drain(app)
    assert (table(app), app.committed()) == (before, stood)


@pytest.mark.slow
def test_only_the_named_shards_are_replayed(app: Application) -> None:
    """By offsets; the others keep their positions and their keys."""
    before, stood = table(app), app.committed()
    done = replay(app, "--from", "1:0", "--yes")
    assert done.returncode == 0, done.stderr
    assert app.committed() == {**stood, ("adds", 1): 0}
    left = {
        record.key() for record in LogScanner(app.servers).topic(app.changelog, lambda p: p.partition != 1)
    }
    assert table(app).keys() == left
    drain(app)
    assert (table(app), sum(map(len, outputs(app).values()))) == (before, RECORDS)


@pytest.mark.slow
def test_what_would_be_wrong_is_refused(app: Application) -> None:
    """With the reason, before anything is changed. One test for all of it: the application takes seconds."""
    before, stood = table(app), app.committed()
    middle = stood["adds", 1] // 2
    expected = {
        ("--from", "beginning"): "say --yes",
        ("--from", "soon", "--yes"): "Say `beginning`, a time",
        ("--from", "9:0", "--yes"): "partitions 0 to 3",
        ("--from", "1:99999", "--yes"): "cannot start at 99999",
        ("--from", f"1:{middle}", "--yes"): "--keep-state",
        ("--from", "2199-01-01T00:00:00", "--yes"): "nothing to replay",
    }
    for arguments, told in expected.items():
        done = replay(app, *arguments)
        assert (done.returncode, told in done.stderr) == (1, True), (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    with app.run() as run:
        run.until_running()
        busy = replay(app, "--from", "beginning", "--yes")
    assert busy.returncode == 1
    assert f"workers of {COUNTER} run: {app.group}.slot-0" in busy.stderr
    assert (table(app), app.committed()) == (before, stood)


@pytest.mark.slow
def test_state_may_be_kept(app: Application) -> None:
    """Records are then counted twice, as the refusal said."""
    stood = app.committed()
    middle = stood["adds", 1] // 2
    counts = sum(event.count for event in last_of_each_key(app))
    done = replay(app, "--from", f"1:{middle}", "--keep-state", "--emit", "--yes")
    assert done.returncode == 0, done.stderr
    drain(app)
    assert sum(event.count for event in last_of_each_key(app)) == counts + stood["adds", 1] - middle
    assert app.committed() == stood


def last_of_each_key(app: Application) -> list[object]:
    """The last output of each key."""
    return list({event.key: event for event in app.decoded("sums")}.values())


@pytest.mark.slow
def test_a_time_is_a_start(app: Application) -> None:
    """Before the first record it is the beginning, and nothing has to be kept."""
    before = table(app)
    done = replay(app, "--from", "2001-01-01T00:00:00+01:00", "--yes")
    assert done.returncode == 0, done.stderr
    assert set(app.committed().values()) == {0}
    drain(app)
    assert table(app) == before
    # In the middle: in each partition the first record that is not older, told in another zone.
    records = app.read("adds")
    at = sorted(record.timestamp()[1] for record in records)[len(records) // 2]
    zone = timezone(timedelta(hours=5, minutes=30))
    text = datetime.fromtimestamp(at / 1000, zone).isoformat(timespec="milliseconds")
    done = replay(app, "--from", text, "--keep-state", "--yes")
    assert done.returncode == 0, done.stderr
    expected: dict[int, int] = {}
    for record in records:
        if record.timestamp()[1] >= at:
            expected.setdefault(record.partition(), record.offset())
    stood = app.committed()
    assert {n: stood["adds", n] for n in expected} == expected


@pytest.mark.slow
def test_inputs_that_lost_their_first_records_are_told(app: Application) -> None:
    """State made anew would lack them for good, so that it has to be said that this is meant."""
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": app.servers})
    for answer in admin.delete_records([TopicPartition(app.names.topic("adds"), 1, 3)]).values():
        answer.result(20)
    refused = replay(app, "--from", "1:0", "--yes")
    assert refused.returncode == 1
    assert "--incomplete" in refused.stderr
    done = replay(app, "--from", "1:0", "--incomplete", "--yes")
    assert done.returncode == 0, done.stderr
    assert "it starts there, not at 0" in done.stderr
    assert app.committed()["adds", 1] == 3


@pytest.mark.slow
def test_a_faust_processor_and_a_wrong_name_are_refused(application: Callable[..., Application]) -> None:
    """And a processor that never ran has nothing to replay."""
    app = application()
    assert TopicAdmin(app.servers).topics([app.changelog])
    never = replay(app, "--from", "beginning", "--yes")
    assert (never.returncode, "nothing to replay" in never.stderr) == (1, True)
    file = app.folder / "topology.yaml"
    adds = app.names.topic("adds")
    faust = f'"stock": {{"runtime": "faust", "agent": "a:b", "reads": ["{adds}"]}},\n "counter"'
    file.write_text(file.read_text().replace('"counter"', faust))
    for name, told in (("stock", "Faust application"), ("counters", 'did you mean "counter"')):
        done = holdfast(
            "replay", name, "--from", "beginning", "--bootstrap-servers", app.servers, folder=app.folder
        )
        assert (done.returncode, told in done.stderr) == (1, True), done.stderr
        assert "Traceback" not in done.stderr
