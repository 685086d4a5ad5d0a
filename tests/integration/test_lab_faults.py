"""Every fault of the lab happens to real brokers, proves it, and is over when it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer

from holdfast.chaos.faults import members
from holdfast.chaos.faults.clocks import ClockJump
from holdfast.chaos.faults.disks import DiskFull, DiskSlow
from holdfast.chaos.faults.fault import seen
from holdfast.chaos.faults.members import Ended, Rolled, Suspended
from holdfast.chaos.faults.network import Disturbed
from holdfast.chaos.kit.chaos import Chaos
from holdfast.chaos.lab.clocks import find_library
from holdfast.chaos.lab.embedded import EmbeddedLab, LabSettings
from holdfast.chaos.network.hosts import HOST_VARIABLE, MOST
from holdfast.chaos.network.isolated import IsolatedNetwork, between
from holdfast.chaos.network.links import LinkRule
from holdfast.chaos.workloads.application_parts import names_for_any
from holdfast.errors import ChaosError, ClusterError, FaultFailed, NothingMet
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.broker_clock import BrokerClocks
from holdfast.kafka.roles import BrokerRoles
from holdfast.kafka.settings import producer_config
from holdfast.record import TopicPartition
from holdfast.topology import TopicSpec
from tests.support.packages import install
from tests.support.privileges import as_root

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), as_root]

TOPIC = "faults"
BROKERS = ("broker-1", "broker-2", "broker-3")


@pytest.fixture(scope="module")
def lab() -> Iterator[EmbeddedLab]:
    """Brokers with everything that can be broken."""
    if find_library() is None:
        install("libfaketime")
    settings = LabSettings(isolated=True, small_disks=True, clocks=True, workers=names_for_any(MOST, 16))
    with EmbeddedLab(settings) as lab:
        TopicAdmin(lab.cluster.bootstrap_servers).create([TopicSpec(TOPIC, 3, 3)])
        yield lab


@pytest.fixture(autouse=True)
def whole(lab: EmbeddedLab) -> None:
    """Every test begins with brokers that serve, whatever the last one left."""
    for name in lab.brokers.names:
        lab.brokers.resume(name)
        lab.brokers.start(name)
    lab.brokers.wait_until_whole(60)


@pytest.fixture
def network(lab: EmbeddedLab) -> IsolatedNetwork:
    """The lab's network."""
    assert lab.network is not None
    return lab.network


def publish(lab: EmbeddedLab, count: int = 30, within: float = 30.0, partition: int = -1) -> float:
    """Write records with a new client; return how long the slowest took to be acknowledged."""
    producer = Producer(
        {
            "bootstrap.servers": lab.cluster.bootstrap_servers,
            "acks": "all",
            "log_level": 0,
            "message.timeout.ms": int(within * 1000),
            # A leader that is silent is left for the next as soon as that is known.
            "request.timeout.ms": 2_000,
            "topic.metadata.refresh.interval.ms": 500,
        }
    )
    took: list[float] = []
    errors: list[object] = []
    for _ in range(count):
        began = time.monotonic()
        producer.produce(
            TOPIC,
            b"x" * 500,
            partition=partition,
            on_delivery=lambda error, _, began=began: (
                errors.append(error) if error else took.append(time.monotonic() - began)
            ),
        )
        producer.poll(0.01)
    producer.flush(within + 1)
    assert not errors, errors[0]
    return max(took)


def leader(lab: EmbeddedLab, partition: int = 0) -> str:
    """The broker that leads a partition of the topic."""
    roles = BrokerRoles(lab.cluster.bootstrap_servers)
    return f"broker-{roles.leader(TopicPartition(TOPIC, partition))}"


@pytest.mark.parametrize("orderly", [False, True], ids=["killed", "stopped"])
def test_a_broker_is_ended_and_comes_back_as_another_process(lab: EmbeddedLab, orderly: bool) -> None:
    fault = Ended(lab.brokers, [leader(lab)], orderly=orderly)
    begun = fault.begin()
    publish(lab)
    ended = fault.end()
    assert "killed" not in begun
    assert begun["ended"].keys() == ended["started"].keys()
    assert begun["ended"] != ended["started"]


def test_the_last_of_all_brokers_does_not_end_in_good_order_and_that_is_told(lab: EmbeddedLab) -> None:
    """No quorum is left that lets it go."""
    fault = Ended(lab.brokers, BROKERS, orderly=True)
    begun = fault.begin()
    fault.end()
    assert "broker-3" in begun["killed"]
    assert "broker-1" not in begun["killed"]


def test_a_broker_that_is_down_cannot_be_killed_again(
    lab: EmbeddedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "BACK_S", 1.0)
    fault = Ended(lab.brokers, ["broker-1"], orderly=False)
    fault.begin()
    with pytest.raises(FaultFailed, match="broker-1 is up: not seen within 1 s; another fault has ended it"):
        Suspended(lab.brokers, ["broker-1"]).undo()
    fault.end()


def test_a_broker_that_is_down_is_no_follower(lab: EmbeddedLab) -> None:
    roles, place = BrokerRoles(lab.cluster.bootstrap_servers), TopicPartition(TOPIC, 0)
    down, *others = roles.followers(place)
    fault = Ended(lab.brokers, [f"broker-{down}"], orderly=False)
    fault.begin()
    seen(lambda: roles.followers(place) == tuple(others), "only the other one follows", 30)
    fault.end()


def test_a_suspended_broker_keeps_its_connections_and_does_nothing(lab: EmbeddedLab) -> None:
    name = leader(lab)
    fault = Suspended(lab.brokers, [name])
    fault.undo()
    begun = fault.begin()
    assert lab.brokers.is_suspended(name)
    publish(lab)
    assert fault.end()["resumed"] == begun["suspended"]
    assert not lab.brokers.is_suspended(name)


def test_brokers_are_restarted_one_after_the_other(lab: EmbeddedLab) -> None:
    before = {name: lab.brokers.incarnation(name) for name in BROKERS}
    assert set(Rolled(lab.brokers, BROKERS).begin()["restarted"]) == set(BROKERS)
    after = {name: lab.brokers.incarnation(name) for name in BROKERS}
    assert not set(before.values()) & set(after.values())
    publish(lab)


def test_a_broker_is_restarted_while_another_is_down(lab: EmbeddedLab) -> None:
    """One whose clock was ahead may stay away for as long: that is not the fault of the next restart."""
    away, restarted, _ = BROKERS
    down = Ended(lab.brokers, [away], orderly=False)
    down.begin()
    assert set(Rolled(lab.brokers, [restarted]).begin()["restarted"]) == {restarted}
    assert lab.brokers.takes_part(restarted)
    assert not lab.brokers.takes_part(away)
    down.end()
    lab.brokers.wait_until_whole(60)


def test_a_broker_that_is_cut_off_loses_its_leadership(lab: EmbeddedLab, network: IsolatedNetwork) -> None:
    """And what was written without it is there when it is back."""
    name = leader(lab)
    others = ["clients", *(other for other in BROKERS if other != name)]
    cut = LinkRule(cut=True)
    fault = Disturbed(network, "cut", {**between([name], others, cut), **between(others, [name], cut)})
    fault.begin()
    seen(lambda: leader(lab) != name, "another leader", 20)
    publish(lab, partition=0)
    assert fault.end()["dropped"] > 0
    lab.brokers.wait_until_whole(60)


def test_what_is_published_does_not_wait_for_a_leader_that_is_silent(
    lab: EmbeddedLab, network: IsolatedNetwork
) -> None:
    """Nobody tells a client that its leader is cut off: it has to ask others who leads now."""
    name = leader(lab)
    others = ["clients", *(other for other in BROKERS if other != name)]
    cut = LinkRule(cut=True)
    fault = Disturbed(network, "silent", {**between([name], others, cut), **between(others, [name], cut)})
    producer = Producer(producer_config(lab.cluster.bootstrap_servers))
    arrived: list[float] = []
    publish_one = partial(
        producer.produce, TOPIC, b"x", partition=0, on_delivery=lambda *_: arrived.append(time.monotonic())
    )
    publish_one()
    producer.flush(30)
    fault.begin()
    publish_one()
    producer.flush(25)
    count = len(arrived)
    fault.end()
    assert count == 2, "it was acknowledged while the first leader was still cut off"
    lab.brokers.wait_until_whole(60)


def test_a_cut_in_one_direction_lets_the_other_pass(lab: EmbeddedLab, network: IsolatedNetwork) -> None:
    fault = Disturbed(network, "one way", between(["broker-1"], ["broker-2"], LinkRule(cut=True)))
    before = network.counts()["broker-2", "broker-1"]
    fault.begin()
    publish(lab)
    found = fault.end()
    assert found["links"].keys() == {"broker-1 -> broker-2"}
    back = network.counts()["broker-2", "broker-1"]
    assert back.passed > before.passed
    assert back.dropped == before.dropped


def test_what_another_fault_drops_does_not_prove_a_fault(lab: EmbeddedLab, network: IsolatedNetwork) -> None:
    # Brokers have always something to say to each other.
    cut = Disturbed(network, "cut", between(["broker-1"], ["broker-2"], LinkRule(cut=True)))
    slow = Disturbed(network, "slow", between(["broker-1"], ["broker-2"], LinkRule(delay_s=0.1)))
    cut.begin()
    slow.begin()
    publish(lab)
    with pytest.raises(NothingMet):
        slow.end()
    assert cut.end()["dropped"] > 0
    lab.brokers.wait_until_whole(60)


def test_faults_of_a_test_that_stand_in_one_another_both_happen(
    lab: EmbeddedLab, network: IsolatedNetwork, tmp_path: Path
) -> None:
    chaos = Chaos(lambda: lab, tmp_path, lambda: None)
    with chaos.fault("network.delay", "brokers", peers="clients", delay="100ms") as delayed:
        with chaos.fault("network.loss", "brokers", peers="clients", share=0.1) as lossy:
            publish(lab, 60)
        before = network.counts()["broker-1", "clients"].held
        publish(lab)
        assert network.counts()["broker-1", "clients"].held > before
    assert lossy.evidence["end"]["dropped"] > 0
    assert delayed.evidence["end"]["held"] > 0
    assert delayed.evidence["end"]["dropped"] == 0


def test_delay_between_brokers_shows_in_the_acknowledgements(
    lab: EmbeddedLab, network: IsolatedNetwork
) -> None:
    fault = Disturbed(network, "far", between(BROKERS, BROKERS, LinkRule(delay_s=0.1)))
    fault.begin()
    assert publish(lab) > 0.19, "a follower's fetch takes the delay there and back"
    assert fault.end()["held"] > 0


def test_packets_that_are_lost_are_sent_again(lab: EmbeddedLab, network: IsolatedNetwork) -> None:
    rules = {
        **between(["clients"], BROKERS, LinkRule(loss=0.2)),
        **between(BROKERS, ["clients"], LinkRule(loss=0.2)),
    }
    fault = Disturbed(network, "lossy", rules)
    fault.begin()
    publish(lab, 60)
    assert fault.end()["dropped"] > 0


def test_narrow_bandwidth_holds_packets_back(lab: EmbeddedLab, network: IsolatedNetwork) -> None:
    fault = Disturbed(network, "narrow", between(["clients"], BROKERS, LinkRule(rate=20_000)))
    fault.begin()
    assert publish(lab, 60) > 0.3, "30 kB at 20 kB/s"
    assert fault.end()["held"] > 0


def test_one_worker_is_cut_off_and_the_others_are_not(lab: EmbeddedLab, network: IsolatedNetwork) -> None:
    rules = between(["worker-0"], BROKERS, LinkRule(cut=True))
    fault = Disturbed(network, "worker", rules)
    script = (
        "from confluent_kafka.admin import AdminClient\nimport sys\n"
        "AdminClient({'bootstrap.servers': sys.argv[1], 'log_level': 0}).list_topics(timeout=3)"
    )
    command = [sys.executable, "-c", script, lab.cluster.bootstrap_servers]
    as_worker = {**os.environ, HOST_VARIABLE: "worker-0"}
    assert subprocess.run(command, env=as_worker, check=False).returncode == 0
    fault.begin()
    assert subprocess.run(command, env=as_worker, check=False, capture_output=True).returncode != 0
    assert subprocess.run(command, check=False).returncode == 0
    assert fault.end()["links"].keys() <= {f"worker-0 -> {name}" for name in BROKERS}


def test_a_link_that_is_not_there_is_refused(network: IsolatedNetwork) -> None:
    with pytest.raises(ChaosError, match="not on the network: broker-7"):
        network.impose("typo", between(["broker-7"], ["broker-1"], LinkRule(cut=True)))


def test_a_broker_whose_disk_is_full_ends_and_the_others_serve(lab: EmbeddedLab) -> None:
    assert lab.disks is not None
    fault = DiskFull({"broker-1": lab.disks.disk(1)}, lab.brokers)
    assert fault.begin()["free"] == {"broker-1": 0}
    publish(lab, 200)
    seen(lambda: lab.brokers.incarnation("broker-1") is None, "the broker has ended", 60)
    publish(lab)
    found = fault.end()
    assert found["ended"] == ["broker-1"]
    assert found["free"]["broker-1"] > 0
    lab.brokers.wait_until_whole(60)


def test_a_slow_disk_makes_writes_wait(lab: EmbeddedLab) -> None:
    assert lab.disks is not None
    fault = DiskSlow({name: lab.disks.disk(int(name[-1])) for name in BROKERS}, stall_s=0.7)
    fault.begin()
    assert publish(lab, 100) > 0.3
    assert fault.end()["stalled seconds"] > 0.7
    assert publish(lab) < 10


def test_the_leader_of_the_quorum_is_found(lab: EmbeddedLab) -> None:
    roles = BrokerRoles(lab.cluster.bootstrap_servers)
    first = roles.controller()
    with_fault = Ended(lab.brokers, [f"broker-{first}"], orderly=False)
    with_fault.begin()

    def moved() -> bool:
        try:
            return roles.controller() != first
        except ClusterError:
            return False

    seen(moved, "another controller leads", 20)
    with_fault.end()


@pytest.mark.parametrize("seconds", [300.0, -300.0])
def test_the_clock_of_one_broker_jumps_and_is_set_right(lab: EmbeddedLab, seconds: float) -> None:
    assert lab.clocks is not None
    clocks = BrokerClocks(lab.cluster.bootstrap_servers, (1, 2, 3))
    fault = ClockJump(lab.clocks.file(2), seconds, lambda: clocks.ahead(2))
    assert abs(fault.begin()["ahead"] - seconds) < 3
    assert abs(clocks.ahead(1)) < 3
    publish(lab)
    assert abs(fault.end()["ahead"]) < 3
    # What it leads is told of followers that are behind until the time that it had jumped to has come.
    lab.brokers.stop("broker-2")


RUNNER = """
import sys, signal
from holdfast.chaos.faults.disks import DiskSlow
from holdfast.chaos.faults.members import Suspended
from holdfast.chaos.lab.clocks import find_library
from holdfast.chaos.lab.embedded import EmbeddedLab, LabSettings

with EmbeddedLab(LabSettings(isolated=True, small_disks=True)) as lab:
    for fault in (Suspended(lab.brokers, ["broker-1"]), DiskSlow({"broker-2": lab.disks.disk(2)}, 1.0)):
        for action in fault.undo():
            lab.journal.begin("fault", action)
        fault.begin()
    print(lab.cluster.folder, *(node.pid for node in lab.cluster.nodes), flush=True)
    signal.pause()
"""


def test_a_killed_runner_leaves_no_fault_and_no_broker_after_ten_seconds() -> None:
    with subprocess.Popen([sys.executable, "-c", RUNNER], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        folder, *pids = runner.stdout.readline().split()
        assert len(pids) == 3
        os.kill(runner.pid, signal.SIGKILL)
    seen(lambda: _is_gone(folder, pids), "nothing is left", 10)


def _is_gone(folder: str, pids: list[str]) -> bool:
    running = any(psutil.pid_exists(int(pid)) for pid in pids)
    return not running and folder not in Path("/proc/mounts").read_text() and not Path(folder).exists()
