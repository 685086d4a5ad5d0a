"""`holdfast dlq` on real brokers: what is redriven is handled once, in the order of its key."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.kafka.scan import LogScanner
from tests.support.application import COUNTER, FOLD, Application
from tests.support.command import rows
from tests.support.events import Added
from tests.support.letters import dlq, letters, mend
from tests.support.versions import another_version, command, drain, outputs, prepare, switch, table

pytestmark = pytest.mark.integration

MENDABLE = FOLD.replace(
    "    before =",
    """    if event.text == "bad" and not (pathlib.Path(__file__).parent / "mended").exists():
        raise ValueError(f"{event.key} {event.n} cannot be handled")
    before =""",
).replace("from holdfast", "import pathlib\nfrom holdfast", 1)
"""The running sum, which cannot handle what is bad until it is mended."""

KEYS = [f"key-{n}" for n in range(12)]
BAD_KEYS = KEYS[:3]

KILLED = """
import os, signal, sys
from pathlib import Path
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.letter_writer import LetterWriter
from holdfast.kafka.scan import LogScanner
from holdfast.runtime.letter_box import LetterBox
from holdfast.runtime.letter_choice import Choice
from holdfast.runtime.redrive import Redriver
from holdfast.topology import load

servers, declared = sys.argv[1], load(Path("topology.yaml"))
TopicAdmin(servers).create([declared.dispositions()])
writer = LetterWriter(
    declared.dlq_id, servers, declared.kafka, largest=1_200_000,
    before_commit=lambda: os.kill(os.getpid(), signal.SIGKILL),
)
box = LetterBox(declared, servers, LogScanner(servers))
Redriver(declared, servers, box, writer, by="a test").redrive(Choice(state="open"))
"""
"""The command, which is killed when everything is with the brokers and nothing is committed."""


def handled(app: Application) -> dict[str, list[int]]:
    """For each key what was handled, in the order of the outputs."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for event in app.decoded("sums"):
        found[event.key].append(event.n)
    return dict(found)


@contextmanager
def load_on(app: Application, per_second: int) -> Iterator[dict[str, int]]:
    """Publish numbers to all keys while the block lasts; yields how many each key got."""
    sent = dict.fromkeys(KEYS, 0)
    ended = threading.Event()

    def publish() -> None:
        with app.producer() as producer:
            while not ended.wait(len(KEYS) / per_second):
                for key in KEYS:
                    text = "bad" if key in BAD_KEYS and sent[key] % 10 == 5 else ""
                    producer.publish(Added(key=key, n=sent[key], text=text))
                    sent[key] += 1

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield sent
    finally:
        ended.set()
        thread.join()


@pytest.mark.slow
def test_parked_keys_are_freed_in_order_under_load_while_a_worker_is_killed(
    application: Callable[..., Application],
) -> None:
    """Records come to the parked keys all the time. Each is handled once, and the sums are right."""
    app = application(handler=MENDABLE, on_error="park-key")
    with app.run(workers=2) as run:
        run.until_running()
        with load_on(app, 300) as sent:
            run.until(lambda: len(app.dead_letters()) > 30, 30, "parked records")
            mend(app)
            freeing = subprocess.Popen(
                [
                    *(sys.executable, "-m", "holdfast", "dlq", "redrive", "--processor", COUNTER),
                    *("--wait", "60", "--bootstrap-servers", app.servers),
                ],
                cwd=app.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            run.let_run(1.5)
            run.kill()
            run.until(lambda: freeing.poll() is not None, 60, "the end of the command")
            freed = time.monotonic()
            # What comes now is not parked any more.
            run.let_run(1.0)
        said = freeing.communicate()
        assert freeing.returncode == 0, (said, time.monotonic() - freed)
        run.until_drained()
    found = handled(app)
    assert found == {key: list(range(count)) for key, count in sent.items()}
    assert {key: (it.count, it.total) for key, it in last_sums(app).items()} == {
        key: (count, count * (count - 1) // 2) for key, count in sent.items()
    }
    assert letters(app) == []
    causes = {it["cause"] for it in letters(app, "redriven")}
    assert causes == {"builtins.ValueError", "holdfast.errors.KeyParked"}


def last_sums(app: Application) -> dict[str, Any]:
    """The last output of each key."""
    return {event.key: event for event in app.decoded("sums")}


def test_a_redrive_that_is_killed_has_done_nothing_and_one_that_runs_twice_does_it_once(
    application: Callable[..., Application],
) -> None:
    """The rate is kept. Before a worker has begun to take redriven records, nothing is sent."""
    app = application(handler=MENDABLE, on_error="dead-letter", redrive=True)
    app.publish(*(Added(key=KEYS[n % 12], n=n, text="bad" if n % 4 == 1 else "") for n in range(120)))
    drain(app)
    assert len(app.dead_letters()) == 30
    before = outputs(app)
    mend(app)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, app.servers],
        cwd=app.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    done = dlq(app, "redrive", "--all", "--dry-run")
    assert "30 letters would be redriven; nothing was changed" in done.stderr, done.stderr
    done = dlq(app, "redrive", "--error", "cannot be handled", "--rate", "15/s")
    assert (done.returncode, "30 letters redriven" in done.stderr) == (0, True), done.stderr
    done = dlq(app, "redrive", "--all")
    assert (done.returncode, "nothing was left to be redriven" in done.stderr) == (0, True), done.stderr
    redriven = list(LogScanner(app.servers).topic(app.topology.redrive_topic))
    assert len(redriven) == 30
    times = sorted(message.timestamp()[1] for message in redriven)
    # Sent in batches of half a second.
    assert times[-1] - times[0] >= 1_000
    assert max(sum(at <= it < at + 1_000 for it in times) for at in times) <= 30 - 4
    assert outputs(app) == before
    drain(app)
    assert {it: sorted(numbers) for it, numbers in handled(app).items()} == {
        key: list(range(n, 120, 12)) for n, key in enumerate(KEYS)
    }
    assert [it["state"] for it in letters(app, "all")] == ["redriven"] * 30
    # The originals come again from the inputs: what was redriven does not.
    state = table(app)
    replayed = command(app, "replay", COUNTER, "--from", "beginning", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    drain(app)
    assert table(app) == state


@pytest.mark.slow
def test_what_is_discarded_is_not_waited_for(application: Callable[..., Application]) -> None:
    """The first record of a parked key is given up, and what waits behind it is handled."""
    app = application(handler=MENDABLE, on_error="park-key")
    app.publish(*(Added(key=key, n=n, text="bad" if n == 1 else "") for n in range(4) for key in KEYS[:2]))
    drain(app)
    assert handled(app) == {key: [0] for key in KEYS[:2]}
    [head] = [it for it in letters(app) if it["key"] == KEYS[0] and it["number"] == 1]
    [shown] = rows(dlq(app, "show", head["place"]))
    assert (shown["value"], shown["cause"]) == ('{"key":"key-0","n":1,"text":"bad"}', "builtins.ValueError")
    assert "test_handler.py" in shown["stacktrace"]
    done = dlq(app, "redrive", "--key", KEYS[0], "--wait", "0.1")
    assert done.returncode == 4, done.stderr
    drain(app)
    # It failed again, and the others went back behind it.
    [head] = [it for it in letters(app) if it["key"] == KEYS[0] and it["number"] == 1]
    assert head["attempts"] == 2
    done = dlq(app, "discard", head["place"], "--why", "a test device")
    assert "1 letter discarded" in done.stderr, done.stderr
    done = dlq(app, "redrive", "--key", KEYS[0], "--error", "KeyParked")
    assert "2 letters redriven" in done.stderr, done.stderr
    app.publish(Added(key=KEYS[0], n=4))
    drain(app)
    if waiting := [it for it in letters(app) if it["key"] == KEYS[0]]:
        # It was read before what was redriven.
        assert [it["cause"] for it in waiting] == ["holdfast.errors.KeyParked"]
        assert dlq(app, "redrive", "--key", KEYS[0]).returncode == 0
        drain(app)
    assert handled(app) == {KEYS[0]: [0, 2, 3, 4], KEYS[1]: [0]}
    again = dlq(app, "discard", head["place"], "--why", "once more")
    assert "1 letter had been dealt with before" in again.stderr, again.stderr
    [given_up] = letters(app, "discarded")
    assert (given_up["place"], given_up["why"]) == (head["place"], "a test device")


def test_letters_of_a_processor_that_takes_none_back_are_refused(
    application: Callable[..., Application],
) -> None:
    """With what to declare; and until its workers run with that."""
    app = application(handler=MENDABLE, on_error="dead-letter")
    app.publish(Added(key="a", n=1, text="bad"))
    drain(app)
    done = dlq(app, "redrive", "--all")
    assert done.returncode == 1
    assert "counter takes no redriven records (1 letter). Declare `redrive: true` for it" in done.stderr
    file = app.folder / "topology.yaml"
    file.write_text(file.read_text().replace('"on_error"', '"redrive": true, "on_error"'))
    applied = command(app, "apply")
    assert applied.returncode == 0, applied.stderr
    done = dlq(app, "redrive", "--all")
    assert done.returncode == 1
    assert "no worker of counter has begun to take redriven records" in done.stderr
    assert len(letters(app)) == 1


@pytest.mark.slow
def test_a_new_version_leaves_redriven_records_to_the_live_one(
    application: Callable[..., Application], tmp_path: Path
) -> None:
    """It handles the originals, with today's code; after the switch nothing comes twice or is missing."""
    app = application(handler=MENDABLE, on_error="dead-letter", redrive=True)
    app.publish(*(Added(key=KEYS[n % 12], n=n, text="bad" if n % 4 == 1 else "") for n in range(60)))
    drain(app)
    mend(app)
    v2 = another_version(app, tmp_path, "v2", on_error="dead-letter", redrive=True)
    prepared = prepare(v2)
    assert prepared.returncode == 0, prepared.stderr
    drain(v2)
    assert dlq(app, "redrive", "--all").returncode == 0
    drain(app)
    drain(v2)
    switched = switch(v2, "v2")
    assert switched.returncode == 0, switched.stderr
    app.publish(*(Added(key=KEYS[n % 12], n=n) for n in range(60, 120)))
    drain(v2)
    everything = {key: list(range(n, 120, 12)) for n, key in enumerate(KEYS)}
    assert {key: sorted(numbers) for key, numbers in handled(app).items()} == everything
    assert {key: (it.count, it.total) for key, it in last_sums(app).items()} == {
        key: (len(numbers), sum(numbers)) for key, numbers in everything.items()
    }
