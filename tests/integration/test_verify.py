"""`holdfast verify invariants` and `holdfast demo`, as users run them, over real topics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.producer import Producer
from holdfast.kafka.provision import provision
from holdfast.topology import load, resolve
from tests.conftest import TestCluster
from tests.support.command import holdfast, rows
from tests.support.shop import write_shop

pytestmark = pytest.mark.integration

Names = Callable[[str], str]


def demo(folder: Path, cluster: TestCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo of an application on the shared brokers."""
    return holdfast(
        "demo", "--bootstrap-servers", cluster.bootstrap_servers, *arguments, folder=folder, timeout=120
    )


def verify(folder: Path, cluster: TestCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the checks of an application."""
    servers = ("--bootstrap-servers", cluster.bootstrap_servers)
    return holdfast("verify", "invariants", *servers, *arguments, folder=folder)


def publish_without_workers(folder: Path, cluster: TestCluster) -> None:
    """Create the topics and publish one order that nobody processes."""
    topology = load(folder / "topology.yaml")
    provision(TopicAdmin(cluster.bootstrap_servers), topology)
    producer = resolve(topology).producers["orders"]
    with Producer.for_topics(producer.writes, cluster.bootstrap_servers, source="test") as client:
        for event in producer.source(count=2):
            client.publish(event)


def children_of(pid: int) -> list[psutil.Process]:
    """All processes below a process."""
    return psutil.Process(pid).children(recursive=True)


def test_the_demo_runs_an_application_and_proves_its_result(
    cluster: TestCluster, tmp_path: Path, unique_name: Names
) -> None:
    """Published, processed and verified in one command; the same check holds when it is run alone."""
    app = unique_name("shop")
    folder = write_shop(tmp_path, app)
    done = demo(folder, cluster, "--set", "count=500", "--set", "orders.customers=3")
    assert done.returncode == 0, done.stderr
    assert "The invariant holds" in done.stdout
    assert f"ordered {sum(range(500)):,}" in done.stdout
    for phase in (
        "create topics",
        "start workers",
        "publish and process",
        "stop workers",
        "check invariants",
    ):
        assert f"✓ {phase}" in done.stderr
    (result,) = rows(verify(folder, cluster, "--json"))
    assert result == {
        "check": "every order is billed",
        "ok": True,
        "counts": {"ordered": 124750, "booked": 124750},
        "violations": 0,
        "examples": [],
    }
    assert [row["lag"] for row in rows(holdfast_groups(folder, cluster))] == [0, 0]


def holdfast_groups(folder: Path, cluster: TestCluster) -> subprocess.CompletedProcess[str]:
    """Run `holdfast groups` for an application."""
    return holdfast("groups", "--bootstrap-servers", cluster.bootstrap_servers, folder=folder)


@pytest.mark.slow
def test_a_broken_invariant_fails_the_demo_and_is_shown(
    cluster: TestCluster, tmp_path: Path, unique_name: Names
) -> None:
    """The verdict names what does not hold, with examples; a check that raises does not hide the others."""
    checks = ("nobody_pays_more_than_nothing", "breaks", "every_order_is_billed")
    folder = write_shop(tmp_path, unique_name("shop"), *checks)
    done = demo(folder, cluster, "--set", "count=50")
    assert done.returncode == 1
    assert "2 of 3 invariants do not hold" in done.stdout
    assert "c0 pays" in done.stdout
    assert "… and 2 more" in done.stdout  # seven customers, five examples
    assert "the check raised KeyError('no such key')" in done.stdout
    # One check alone can be asked for, by the name of its function.
    alone = verify(folder, cluster, "every_order_is_billed")
    assert alone.returncode == 0, alone.stderr
    assert verify(folder, cluster, "breaks").returncode == 1
    unknown = verify(folder, cluster, "every_order_is_bild")
    assert unknown.returncode == 1
    assert 'did you mean "every_order_is_billed"?' in unknown.stderr


def test_a_failing_worker_fails_the_demo_with_its_reason(
    cluster: TestCluster, tmp_path: Path, unique_name: Names
) -> None:
    """A handler that raises ends the run with the cause and the log's place, and no worker is left."""
    folder = write_shop(tmp_path, unique_name("shop"))
    done = demo(folder, cluster, "--set", "count=10", "--set", "bad=1")
    assert done.returncode == 1
    assert "a negative amount" in done.stderr
    assert "logs are kept in" in done.stderr
    assert "Traceback" not in done.stderr
    left = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())]
    assert left == []


def test_verify_says_when_not_everything_is_processed(
    cluster: TestCluster, tmp_path: Path, unique_name: Names
) -> None:
    """Violations that are only work still to do come with a remark, so that nobody searches for a fault."""
    folder = write_shop(tmp_path, unique_name("shop"))
    publish_without_workers(folder, cluster)
    done = verify(folder, cluster)
    assert done.returncode == 1
    assert "not everything is processed yet" in done.stderr
    assert "ordered 1, billed 0, booked 0" in done.stdout


def test_an_argument_that_no_producer_takes_is_a_usage_error(tmp_path: Path) -> None:
    """Before anything is started; exit code 2."""
    folder = write_shop(tmp_path, "shop")
    done = holdfast("demo", "--set", "cuont=5", folder=folder)
    assert done.returncode == 2
    assert "no producer takes" in done.stderr
    assert holdfast("demo", "--set", "count", folder=folder).returncode == 2


def test_ctrl_c_stops_the_demos_workers(cluster: TestCluster, tmp_path: Path, unique_name: Names) -> None:
    """Interrupted in the middle of the work, the demo leaves no process and says so."""
    folder = write_shop(tmp_path, unique_name("shop"))
    servers = ("--bootstrap-servers", cluster.bootstrap_servers)
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "demo", *servers, "--set", "count=50000000"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOLDFAST_HOME": str(folder / ".home")},
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "processed" in line:
                break
        workers = children_of(process.pid)
        assert len(workers) == 2
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == 130
        assert "interrupted" in rest
        assert not any(worker.is_running() for worker in workers)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["Starting Apache Kafka", "start workers", "publish and process"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_with_brokers_of_its_own_leaves_nothing_behind(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    """However and whenever it is ended, its brokers and workers end too."""
    folder = write_shop(tmp_path, "shop")
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "demo", "--set", "count=50000000"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOLDFAST_HOME": str(folder / ".home")},
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(moment):
                break
        below = children_of(process.pid)
        process.send_signal(number)
        process.stderr.read()
        process.wait(90)
        deadline = time.monotonic() + 60
        while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in below):
            assert time.monotonic() < deadline, below
            time.sleep(0.2)
    finally:
        process.kill()
        process.communicate()
