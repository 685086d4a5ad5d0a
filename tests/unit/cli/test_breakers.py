"""What `holdfast breakers` makes of what workers and operators wrote, and what it refuses to write."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from holdfast.cli import breakers
from holdfast.cli.breaker_rows import breaker_rows, breakers_table, order_rows, order_text, remarks
from holdfast.cli.main import build_app
from holdfast.cli.rows import print_table
from holdfast.cli.words import span
from holdfast.engine.breaker_log import BreakerLog, ControlRecord, Order, Report, key_of, value_of
from holdfast.errors import HoldfastError
from holdfast.resilience import CircuitState
from holdfast.runtime import breaker_view
from holdfast.topology import Topology
from holdfast.topology.load import load
from tests.support.breaker_reports import report

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FILE = """
app: shop
topics:
  orders: {event: m:E, key: id, partitions: 6}
sinks:
  gateway: {type: http, url: "http://gateway"}
  history: {type: postgres, dsn: dbname=x}
  unused:  {type: postgres, dsn: dbname=x}
processors:
  payments:      {handler: m:f, reads: [orders], asks: [gateway]}
  order-history: {handler: m:f, reads: [orders], sink: history}
  sums:          {handler: m:f, reads: [orders]}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Topology:
    """An application with two processors that have breakers, and one that has none."""
    (tmp_path / "topology.yaml").write_text(FILE)
    return load(tmp_path / "topology.yaml")


DOWN = report(
    "a-1",
    state=CircuitState.OPEN,
    wait_s=9.0,
    failure_rate=0.6,
    every_s=5.0,
    paused=(0, 1, 2, 4),
    reason="60 of 100 calls failed",
    trouble="no answer within 2 s",
)
FORCED = report(
    "a-2",
    state=CircuitState.FORCED_OPEN,
    wait_s=None,
    order=3,
    every_s=5.0,
    paused=(1,),
    reason="forced open by ann@ops: maintenance",
    trouble="forced open by ann@ops: maintenance",
)
GIVEN = Order(sink="gateway", mode="open", by="ann@ops", why="maintenance", for_s=1_800.0)


def log(*written: Order | Report) -> BreakerLog:
    """What these records add up to, each a second after the one before."""
    found = BreakerLog()
    for offset, each in enumerate(written):
        at = round((NOON + timedelta(seconds=offset)).timestamp() * 1000)
        found.take(ControlRecord(offset, at, key_of(each), value_of(each)))
    return found


ALL = (report("a-0"), DOWN, report("a-3", state=CircuitState.METRICS_ONLY, order=3), GIVEN, FORCED)


def test_every_breaker_has_its_row_also_one_that_nobody_told_of(shop: Topology) -> None:
    """In the order of the file; times go on since they were told."""
    rows = breaker_rows(log(*ALL), shop, NOON + timedelta(seconds=5))
    assert [(row["processor"], row["slot"], row["sink"], row["state"]) for row in rows] == [
        ("payments", "a-0", "gateway", "closed"),
        ("payments", "a-1", "gateway", "open"),
        ("payments", "a-2", "gateway", "forced open"),
        ("payments", "a-3", "gateway", "forced closed"),
        ("order-history", None, "history", None),
    ]
    down = rows[1]
    assert (down["state_s"], down["tries_again_s"], down["seen_s"]) == (7.0, 5.0, 4.0)
    assert (down["failure_rate"], down["calls"], down["paused"]) == (0.6, 1_200, [0, 1, 2, 4])
    assert not any(row["stale"] for row in rows)


def test_a_worker_that_does_not_answer_is_stale_with_its_age(shop: Topology) -> None:
    """What it said last is told as what it was."""
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    rows = breaker_rows(log(DOWN), shop, NOON + timedelta(minutes=5))
    print_table(breakers_table(console, rows), console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().splitlines()
    assert "stale (was open)" in shown[1]
    assert shown[1].rstrip().endswith("5 min ago")
    assert "its worker (host node, pid 7) has said nothing for 5 min" in remarks(rows[0])
    assert "no worker" in shown[2]


def test_a_closed_breaker_tells_of_its_outage_and_not_of_how_it_closed(shop: Topology) -> None:
    """That may be long ago; as soon as the system answers there is nothing to tell."""
    closed = {"state": CircuitState.CLOSED, "reason": "1 of 1 probes succeeded"}
    for trouble in ("POST /mails was answered with 429", ""):
        row, *_ = breaker_rows(log(report(trouble=trouble, **closed)), shop, NOON)
        assert remarks(row) == trouble
        assert row["reason"] == "1 of 1 probes succeeded"


def test_a_breaker_that_is_forced_for_a_time_tells_when_that_ends(shop: Topology) -> None:
    """By the order that it follows; one that has no end ends when it is released."""
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    forced = FORCED.model_copy(update={"order": 0})
    for order in (GIVEN, GIVEN.model_copy(update={"for_s": None})):
        rows = breaker_rows(log(order, forced), shop, NOON + timedelta(minutes=10))
        print_table(breakers_table(console, rows), console)
    assert isinstance(console.file, io.StringIO)
    shown = [line for line in console.file.getvalue().splitlines() if line.startswith("payments")]
    assert "in 20 min" in shown[0]
    assert "when released" in shown[1]


class Controls:
    """The topic of the breakers in memory; its first orders are a minute old."""

    def __init__(self, *written: Order | Report) -> None:
        self._new: list[ControlRecord] = []
        self._count = 0
        for each in written:
            self.write(key_of(each), value_of(each), age_s=0 if isinstance(each, Report) else 60)

    def write(self, key: bytes, value: bytes | None, age_s: int = 0) -> None:
        """Append a record."""
        at = datetime.now(UTC) - timedelta(seconds=age_s)
        self._new.append(ControlRecord(self._count, round(at.timestamp() * 1000), key, value))
        self._count += 1

    def flush(self) -> None:
        """All is there."""

    def read(self, _: float) -> tuple[list[ControlRecord], bool]:
        """What came since the last call."""
        new, self._new = self._new, []
        return new, True

    def close(self) -> None:
        """Nothing is to be let go of."""


@pytest.mark.parametrize(
    ("before", "command", "said"),
    [
        ((), ["release"], "gateway was not forced, so nothing had to be released"),
        ((GIVEN.model_copy(update={"for_s": 5.0}),), ["release"], "gateway was not forced, so nothing had"),
        ((GIVEN,), ["release"], "gateway is released"),
        ((), ["force", "open", "--why", "x", "--for", "12s"], "gateway is forced open for 12 s"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_what_an_order_does_is_told(
    shop: Topology,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[Order, ...],
    command: list[str],
    said: str,
    workers: int,
) -> None:
    """Also that there was nothing to do, and how many breakers follow."""
    monkeypatch.setattr(breaker_view, "record_of", lambda it: it)
    # None follows an order that is not there, which is what a release leaves; a forced one is not followed.
    monkeypatch.setattr(breakers, "FOLLOW_S", 0.05 if command[0] == "force" else 5.0)
    controls = Controls(*before, *(report(f"a-{number}") for number in range(workers)))
    monkeypatch.setattr(breakers, "_controls", lambda *_: controls)
    name, *more = command
    arguments = ["breakers", name, "gateway", *more, "-t", str(shop.source.path), "-b", "127.0.0.1:1"]
    done = CliRunner().invoke(build_app(), arguments, env={"COLUMNS": "200"})
    count = 0 if name == "force" else workers
    told = {
        0: "no worker of payments answers",
        1: f"{count} of 1 breaker follows.",
        2: f"{count} of 2 breakers follow.",
    }
    assert done.stderr.startswith(said)
    assert told[workers] in done.stderr
    assert done.exit_code == (breakers.NOT_FOLLOWED if count < workers else 0)


def test_a_breaker_that_is_not_closed_has_its_reason_told_once(shop: Topology) -> None:
    """What opened it, and what the system said; for a forced one both are the same."""
    closed, down, forced, *_ = breaker_rows(log(*ALL), shop, NOON + timedelta(seconds=5))
    assert remarks(closed) == ""
    assert remarks(down) == "60 of 100 calls failed; no answer within 2 s"
    assert remarks(forced) == "forced open by ann@ops: maintenance"


@pytest.mark.parametrize(
    ("state", "fields", "after", "told"),
    [
        (CircuitState.CLOSED, {"pause_s": 60.0}, 15, "in 45 s"),
        (CircuitState.CLOSED, {"pause_s": 4.0}, 5, "with the next record"),
        (CircuitState.METRICS_ONLY, {"pause_s": 10.0, "order": 3}, 5, "in 5 s"),
        (CircuitState.OPEN, {"pause_s": 60.0, "wait_s": 9.0}, 15, "in 45 s"),
        (CircuitState.OPEN, {"pause_s": 1.0, "wait_s": 9.0}, 4, "in 5 s"),
        (CircuitState.FORCED_OPEN, {"pause_s": 0.0, "wait_s": None}, 5, "when released"),
        (CircuitState.CLOSED, {}, 5, ""),
    ],
)
@pytest.mark.parametrize("width", [80, 200])
def test_it_is_told_when_a_system_is_tried_again_whatever_the_state(
    shop: Topology, state: CircuitState, fields: dict[str, Any], after: int, told: str, width: int
) -> None:
    """Also of a closed breaker: one that asked for a pause, by Retry-After say, is waited for as well."""
    given = report("a-1", state=state, every_s=5.0, trouble="answered with 429", **fields)
    rows = breaker_rows(log(given), shop, NOON + timedelta(seconds=after))
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_table(breakers_table(console, rows), console)
    assert isinstance(console.file, io.StringIO)
    head, shown, *_ = console.file.getvalue().splitlines()
    if told:
        begin = head.index("tries again")
        assert shown[begin:].startswith(told)
    else:
        assert rows[0]["tries_again_s"] is None


def test_orders_that_hold_are_told_with_who_when_and_why() -> None:
    """And how many of the workers that answer follow."""
    (row,) = order_rows(log(*ALL), NOON + timedelta(seconds=5))
    assert (row["mode"], row["by"], row["why"]) == ("open", "ann@ops", "maintenance")
    assert order_text(row) == (
        "gateway is forced open by ann@ops since 2026-03-02 12:00:03 UTC, until 2026-03-02 12:30:03 UTC: "
        "maintenance (followed by 2 of 4 breakers)"
    )
    assert not list(order_rows(log(*ALL), NOON + timedelta(minutes=31)))


def test_the_table_fits_eighty_columns_with_names_and_states_whole(shop: Topology) -> None:
    """Counts give way."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    rows = breaker_rows(log(*ALL), shop, NOON + timedelta(seconds=5))
    print_table(breakers_table(console, rows), console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().splitlines()
    assert len(shown) == 6
    assert [line.split()[0] for line in shown[1:]] == ["payments"] * 4 + ["order-history"]
    assert "forced closed" in shown[4]
    assert "0-2, 4" in shown[2]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (119, "119 s"), (600, "10 min"), (10_000, "3 h"), (200_000, "2 d")]
)
def test_times_are_said_in_one_unit(seconds: float, said: str) -> None:
    """As exact as is of use."""
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["force", "gatewya", "open", "--why", "x"], 1, 'did you mean "gateway"? (declared: gateway, '),
        (["force", "unused", "open", "--why", "x"], 1, 'no processor uses sink "unused"'),
        (
            ["force", "gateway", "ajar", "--why", "x"],
            2,
            'open|closed: expected open or closed after the sink, got "ajar"',
        ),
        (["force", "open", "gateway", "--why", "x"], 2, 'got "gateway"; `holdfast breakers release SINK`'),
        (["force", "gateway", "open", "--why", "\udcff"], 2, "--why: this is no text in UTF-8"),
        (["force", "gateway", "open", "--why", "x", "--by", "\udcff"], 2, "--by: this is no text in UTF-8"),
        (["release", "gateway", "--why", "\udcff"], 2, "--why: this is no text in UTF-8"),
        (["force", "gateway", "open"], 2, "Missing option '--why'"),
        (["force", "gateway", "open", "--why", " "], 2, "say why"),
        (["force", "gateway", "open", "--why", "x", "--for", "soon"], 2, "such as 30s, got"),
        (["release", "gatewya"], 1, 'did you mean "gateway"?'),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_before_it_is_written(
    shop: Topology, arguments: list[str], code: int, said: str
) -> None:
    """No brokers are needed to say so."""
    done = CliRunner().invoke(
        build_app(), ["breakers", *arguments, "-t", str(shop.source.path)], env={"COLUMNS": "200"}
    )
    assert done.exit_code == code
    assert "Value error" not in done.output
    assert said in (str(done.exception) if isinstance(done.exception, HoldfastError) else done.output)


def test_options_before_the_command_are_not_lost_in_silence(shop: Topology) -> None:
    """They would be those of the listing."""
    arguments = ["breakers", "-t", str(shop.source.path), "release", "gateway"]
    done = CliRunner().invoke(build_app(), arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "give options after the command" in done.output


def test_an_application_without_sinks_has_no_breakers(tmp_path: Path) -> None:
    """It says why."""
    file = tmp_path / "topology.yaml"
    file.write_text("app: shop\ntopics:\n  orders: {event: m:E, partitions: 6}\n")
    done = CliRunner().invoke(build_app(), ["breakers", "-t", str(file)])
    assert done.exit_code == 1
    assert "so there are no breakers" in str(done.exception)
