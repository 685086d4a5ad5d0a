"""What `holdfast run` makes of the cluster that it finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdfast.cli.main import build_app
from holdfast.cli.run import (
    FUTILE_RESTARTS,
    FutileRestarts,
    mismatch_text,
    share_a_server,
)
from holdfast.errors import ClusterError, TopologyError, TopologyErrors, WorkerError
from holdfast.runtime.launch import check_slot_prefix
from holdfast.runtime.status import WorkerStatus
from holdfast.runtime.supervisor import WorkerSpec, WorkerView
from holdfast.topology import Difference, TopicSpec

EMBEDDED = "127.0.0.1:9001,127.0.0.1:9002,127.0.0.1:9003"
MISSING = Difference("missing", TopicSpec("orders", 3, 3, {}), "orders: is missing")
OTHER = Difference("partitions", TopicSpec("spending", 3, 3, {}), "spending: 6 partitions, not 3")


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (EMBEDDED, True),
        ("127.0.0.1:9003, 127.0.0.1:9001", True),
        ("localhost:9002", True),
        ("elsewhere:9002", False),
        ("127.0.0.1:9092", False),
    ],
)
def test_the_embedded_cluster_is_known_by_any_of_its_servers(servers: str, expected: bool) -> None:
    """Whatever their order, and however many of them are named."""
    assert share_a_server(servers, EMBEDDED) is expected


def test_no_server_is_in_an_empty_list() -> None:
    """No embedded cluster runs."""
    assert not share_a_server("127.0.0.1:9001", "")


def test_missing_topics_are_for_apply() -> None:
    """And nothing else is said to be wrong."""
    assert mismatch_text([MISSING]) == (
        "topics are missing; create them with `holdfast apply`:\norders: is missing"
    )


def test_apply_is_not_recommended_for_what_it_will_not_change() -> None:
    """The text of each difference says what to do."""
    assert mismatch_text([OTHER]) == "the cluster is not as declared:\nspending: 6 partitions, not 3"


def test_what_apply_refuses_comes_before_what_it_creates() -> None:
    """As it creates nothing while anything differs."""
    assert mismatch_text([MISSING, OTHER]) == (
        "the cluster is not as declared:\nspending: 6 partitions, not 3\n"
        "topics are missing; once that is settled, create them with `holdfast apply`:\norders: is missing"
    )


def test_restarts_without_progress_end_a_run_that_is_to_drain() -> None:
    """It would never end otherwise; restarts on the way to something are allowed."""
    view = WorkerView(WorkerSpec("watch", "vm-0", ()), error="cannot commit")
    futile = FutileRestarts()
    for life in range(1, 4 * FUTILE_RESTARTS):
        view.restarts, view.status = life, WorkerStatus(records=life)
        futile.look([view])
    view.restarts += FUTILE_RESTARTS - 1
    futile.look([view])
    view.restarts += 1
    with pytest.raises(WorkerError, match=r"watch \(vm-0\).*cannot commit"):
        futile.look([view])


@pytest.mark.parametrize("prefix", ["rack 7", "a;b", "eu/1", "höhe"])
def test_a_slot_prefix_that_cannot_be_part_of_a_name_is_refused(prefix: str) -> None:
    """Slots are in names on the brokers, in notes beside positions, and in folders."""
    with pytest.raises(TopologyError, match=f'slot prefix "{prefix}" cannot be used; it may have letters'):
        check_slot_prefix(prefix)


def test_a_slot_prefix_may_be_a_machines_name() -> None:
    assert check_slot_prefix("db-1.example.org_2") == "db-1.example.org_2"


SHOP = """\
app: shop
topics:
  days: {event: schemas_run:Day, key: name, partitions: 1}
sinks:
  cache: {type: redis, url: "redis://:${RUN_TOKEN}@h"}
processors:
  plain: {handler: schemas_run:plain, reads: [days]}
  keeps: {handler: schemas_run:keeps, reads: [days], sink: cache}
producers:
  days: {source: schemas_run:days, writes: [days]}
"""
SHOP_MODULE = """\
from collections.abc import Iterator
from holdfast import Event
from holdfast.sinks.redis import Set
class Day(Event):
    name: str
def plain(day: Day) -> None: ...
def keeps(day: Day) -> Set: ...
def days() -> Iterator[Day]: ...
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topology whose one sink needs a variable that is empty here; nothing gets as far as a broker."""

    def reached(*_: object) -> None:
        raise ClusterError("it came to the brokers")

    monkeypatch.setattr("holdfast.cli.run.prepare_topics", reached)
    monkeypatch.setattr("holdfast.cli.demo._cluster", reached)
    monkeypatch.setenv("RUN_TOKEN", "")
    (tmp_path / "schemas_run.py").write_text(SHOP_MODULE)
    (tmp_path / "topology.yaml").write_text(SHOP)
    return str(tmp_path / "topology.yaml")


@pytest.mark.parametrize("command", [["run", "keeps"], ["run"], ["demo"]], ids=" ".join)
def test_a_sink_that_is_going_to_be_used_needs_its_variables(shop: str, command: list[str]) -> None:
    """Told before anything starts."""
    given = [*command, "-t", shop, "--bootstrap-servers", "127.0.0.1:1"]
    done = CliRunner().invoke(build_app(), given)
    assert isinstance(done.exception, TopologyErrors)
    assert "5: sinks.cache.url: the environment variable RUN_TOKEN is set, but empty" in str(done.exception)


def test_the_sinks_of_processors_that_do_not_run_need_nothing(shop: str) -> None:
    """They run on other machines, with their variables."""
    given = ["run", "plain", "-t", shop, "--bootstrap-servers", "127.0.0.1:1"]
    done = CliRunner().invoke(build_app(), given)
    assert str(done.exception) == "it came to the brokers"


def test_a_check_does_not_need_the_variables_of_a_run(shop: str) -> None:
    done = CliRunner().invoke(build_app(), ["check", shop])
    assert done.exit_code == 0, done.exception
