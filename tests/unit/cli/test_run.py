"""What `holdfast run` makes of the cluster that it finds."""

from __future__ import annotations

import pytest

from holdfast.cli.run import (
    FUTILE_RESTARTS,
    FutileRestarts,
    mismatch_text,
    share_a_server,
)
from holdfast.errors import TopologyError, WorkerError
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
