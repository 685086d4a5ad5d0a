"""Metrics of a supervisor's workers, as a scraper reads them."""

from __future__ import annotations

import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.errors import MetricsError
from holdfast.observe.metrics import Address, MetricsServer, WorkerMetrics
from holdfast.runtime.status import WorkerStatus
from holdfast.runtime.supervisor import WorkerSpec, WorkerState, WorkerView

Samples = dict[tuple[str, str, str], float]


def view(slot: str = "vm-0", state: WorkerState = WorkerState.RUNNING, **status: object) -> WorkerView:
    """A worker as the supervisor sees it."""
    it = WorkerView(WorkerSpec("totals", slot, lambda _: ()), state=state)
    it.take(WorkerStatus(**status))
    return it


def scrape(url: Address) -> Samples:
    """All samples, by name, slot and the state of a shard."""
    with urllib.request.urlopen(str(url), timeout=5) as answer:
        text = answer.read().decode()
    return {
        (it.name, it.labels["slot"], it.labels.get("state", "")): it.value
        for family in text_string_to_metric_families(text)
        for it in family.samples
    }


def served(*views: WorkerView) -> Samples:
    """What a scraper sees of workers."""
    metrics = WorkerMetrics()
    metrics.update(views)
    with MetricsServer(metrics, Address.parse("0")) as server:
        return scrape(server.address)


def test_each_worker_has_its_series() -> None:
    """Counts, shards by state, and whether it runs."""
    seen = served(
        view(records=7, commits=2, aborts=1, shards={"running": 3, "restoring": 1}),
        view("vm-1", WorkerState.FAILED, dead_letters=4, standbys=2, behind=9),
    )
    assert seen["holdfast_records_total", "vm-0", ""] == 7
    assert seen["holdfast_commits_total", "vm-0", ""] == 2
    assert seen["holdfast_aborts_total", "vm-0", ""] == 1
    assert seen["holdfast_shards", "vm-0", "running"] == 3
    assert seen["holdfast_shards", "vm-0", "restoring"] == 1
    assert [seen["holdfast_worker_up", slot, ""] for slot in ("vm-0", "vm-1")] == [1, 0]
    assert seen["holdfast_dead_letters_total", "vm-1", ""] == 4
    assert seen["holdfast_standby_shards", "vm-1", ""] == 2
    assert seen["holdfast_standby_behind_records", "vm-1", ""] == 9


def test_counts_go_on_over_the_lives_of_a_worker() -> None:
    """A counter that fell would look like a restart of whoever is scraped."""
    worker = view(records=7)
    worker.end_life()
    worker.restarts += 1
    worker.take(WorkerStatus(records=2))
    seen = served(worker)
    assert seen["holdfast_records_total", "vm-0", ""] == 9
    assert seen["holdfast_worker_restarts_total", "vm-0", ""] == 1


def test_a_restore_tells_what_is_left_and_how_long_it_takes_once_that_is_known() -> None:
    """The time left is missing, not 0, before there is a rate."""
    worker = view(restoring=1000)
    seen = served(worker)
    assert seen["holdfast_restore_remaining_records", "vm-0", ""] == 1000
    assert ("holdfast_restore_remaining_seconds", "vm-0", "") not in seen
    worker.restore_began = (time.monotonic() - 10, 1000)
    worker.take(WorkerStatus(restoring=500, restored=500))
    seen = served(worker)
    assert seen["holdfast_restore_remaining_seconds", "vm-0", ""] == pytest.approx(10, rel=0.2)
    assert seen["holdfast_restored_records_total", "vm-0", ""] == 500
    worker.take(WorkerStatus(restored=1000))
    assert served(worker)["holdfast_restore_remaining_seconds", "vm-0", ""] == 0


def test_candidates_have_series_of_their_own() -> None:
    """Their runs are no records."""
    leader, other = (
        WorkerView(WorkerSpec("leader", slot, lambda _: (), counts="run")) for slot in ("a", "b")
    )
    leader.take(WorkerStatus(records=3, role="leading (token 5)"))
    other.take(WorkerStatus(role="candidate"))
    seen = served(leader, other)
    assert (seen["holdfast_leader", "a", ""], seen["holdfast_leader", "b", ""]) == (1, 0)
    assert seen["holdfast_leader_runs_total", "a", ""] == 3
    assert {name for name, _, _ in seen} == {"holdfast_leader", "holdfast_leader_runs_total"}


def test_a_scrape_sees_the_workers_as_they_were_at_the_last_look() -> None:
    """The supervisor's thread changes a view while another one reads it."""
    worker, metrics = view(records=1), WorkerMetrics()
    metrics.update([worker])
    worker.take(WorkerStatus(records=2))
    with MetricsServer(metrics, Address.parse("0")) as server:
        assert scrape(server.address)["holdfast_records_total", "vm-0", ""] == 1
        metrics.update([worker])
        assert scrape(server.address)["holdfast_records_total", "vm-0", ""] == 2


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("9400", "http://127.0.0.1:9400/metrics"),
        ("0.0.0.0:9400", "http://0.0.0.0:9400/metrics"),
        ("[::1]:9400", "http://[::1]:9400/metrics"),
    ],
)
def test_an_address_is_a_port_or_a_host_and_a_port(text: str, url: str) -> None:
    """This machine only, unless a host is named."""
    assert str(Address.parse(text)) == url


@pytest.mark.parametrize("text", ["", "here", "here:", ":9400", "70000", "-1", "1.5", "9400:here"])
def test_what_is_no_address_is_refused_with_what_one_looks_like(text: str) -> None:
    """Before anything starts."""
    with pytest.raises(MetricsError, match="give a port, or HOST:PORT"):
        Address.parse(text)


def test_an_address_that_is_taken_is_an_error_that_names_it() -> None:
    """And the one who had it keeps it."""
    with MetricsServer(WorkerMetrics(), Address.parse("0")) as first:
        with pytest.raises(MetricsError, match=f"{first.address.port}/metrics: Address already in use"):
            MetricsServer(WorkerMetrics(), first.address)
        assert scrape(first.address) == {}
    with pytest.raises(MetricsError, match=r"nowhere\.invalid"):
        MetricsServer(WorkerMetrics(), Address("nowhere.invalid", 9400))
