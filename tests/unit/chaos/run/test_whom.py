"""Whom roles mean when a fault begins."""

from __future__ import annotations

import pytest

from holdfast.chaos.experiment import Target
from holdfast.chaos.experiment.targets import Group, parse_target
from holdfast.chaos.run.parts import NOBODY, Holders
from holdfast.chaos.run.surroundings import Surroundings
from holdfast.chaos.run.whom import Whom, sinks_hit
from holdfast.errors import FaultFailed
from holdfast.record import TopicPartition


class Roles:
    """Brokers that have these parts."""

    def leader(self, place: TopicPartition) -> int:
        return {("steps", 0): 2, ("steps", 1): 3, ("orders", 4): 1}[place.topic, place.partition]

    def followers(self, place: TopicPartition) -> tuple[int, ...]:
        return (1, 3) if place.partition == 0 else ()

    def group_coordinator(self, group: str) -> int:
        return {"chaos.lab": 3}[group]

    def transaction_coordinator(self, transactional_id: str) -> int:
        return {"chaos.lab.worker-0": 1}[transactional_id]

    def controller(self) -> int:
        return 2


class TwoWorkers:
    """Three slots, of which two are in use."""

    names = ("worker-0", "worker-1", "worker-2")
    running = ("worker-0", "worker-1")


@pytest.fixture
def whom() -> Whom:
    """Three brokers and two workers."""
    owners = Holders()
    owners.see({"0": "worker-1"}, 1.0)
    brokers = ("broker-1", "broker-2", "broker-3")
    return Whom(
        Surroundings(
            brokers,
            TwoWorkers(),  # type: ignore[arg-type] # what is asked of them
            Roles(),  # type: ignore[arg-type]
            owners,
            "steps",
            "chaos.lab",
            "chaos.lab.worker-0",
        )
    )


def broker(text: str) -> Target:
    return parse_target(text, Group.BROKER)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("broker-3", ("broker-3",)),
        ("leader", ("broker-2",)),
        ("leader of orders/4", ("broker-1",)),
        ("group coordinator", ("broker-3",)),
        ("transaction coordinator", ("broker-1",)),
        ("controller", ("broker-2",)),
        ("all", ("broker-1", "broker-2", "broker-3")),
    ],
)
def test_a_role_of_brokers_is_looked_up(whom: Whom, text: str, names: tuple[str, ...]) -> None:
    assert whom.brokers(broker(text), 0.5) == names


def test_among_several_the_draw_decides(whom: Whom) -> None:
    draws = [number / 50 for number in range(50)]
    assert {whom.brokers(broker("any"), draw) for draw in draws} == {
        ("broker-1",),
        ("broker-2",),
        ("broker-3",),
    }
    assert {len(whom.brokers(broker("majority"), draw)) for draw in draws} == {2}
    assert {whom.brokers(broker("follower"), draw) for draw in draws} == {("broker-1",), ("broker-3",)}
    assert whom.brokers(broker("any"), 0.3) == whom.brokers(broker("any"), 0.3)


def test_a_role_that_nobody_has_is_a_fault_that_failed(whom: Whom) -> None:
    with pytest.raises(FaultFailed, match="no follower"):
        whom.brokers(broker("follower of steps/1"), 0.5)
    with pytest.raises(FaultFailed, match="shard 3 has no owner"):
        whom.workers(parse_target("owner of shard 3", Group.WORKER), 0.5)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("worker-1", ("worker-1",)),
        ("all", ("worker-0", "worker-1")),
        ("owner of shard 0", ("worker-1",)),
    ],
)
def test_a_role_of_workers_is_looked_up(whom: Whom, text: str, names: tuple[str, ...]) -> None:
    assert whom.workers(parse_target(text, Group.WORKER), 0.5) == names


@pytest.mark.parametrize("group", [Group.WORKER, Group.SIDE])
def test_a_worker_that_there_is_not_is_told_with_those_that_there_are(whom: Whom, group: Group) -> None:
    with pytest.raises(FaultFailed, match="there is no worker-99; there are worker-0, worker-1, worker-2"):
        whom.hosts(parse_target("worker-99", group), 0.5)


def test_a_worker_whose_slot_is_empty_now_may_be_meant(whom: Whom) -> None:
    """As one that was taken away is: the fault itself waits for it, or fails."""
    assert whom.workers(parse_target("worker-2", Group.WORKER), 0.5) == ("worker-2",)


def test_a_side_of_the_network_has_brokers_workers_or_clients(whom: Whom) -> None:
    def hosts(text: str) -> tuple[str, ...]:
        return whom.hosts(parse_target(text, Group.SIDE), 0.5)

    assert hosts("clients") == ("clients", "worker-0", "worker-1", "worker-2")
    assert hosts("brokers") == ("broker-1", "broker-2", "broker-3")
    assert hosts("leader") == ("broker-2",)
    assert hosts("worker-0") == ("worker-0",)
    assert set(hosts("everyone")) == {*hosts("brokers"), *hosts("clients")}


SIDES = [("minority", "majority"), ("majority", "minority")]


@pytest.mark.parametrize(("target", "peers"), SIDES)
@pytest.mark.parametrize("count", [3, 4, 5, 9])
def test_a_minority_against_a_majority_is_a_split_of_all_brokers(target: str, peers: str, count: int) -> None:
    brokers = tuple(f"broker-{number}" for number in range(1, count + 1))
    of_many = Whom(Surroundings(brokers, TwoWorkers(), Roles(), Holders(), "", "", ""))  # type: ignore[arg-type]
    for draw in (number / 20 for number in range(20)):
        here, there = of_many.ends(parse_target(target, Group.SIDE), parse_target(peers, Group.SIDE), draw)
        assert {*here, *there} == set(brokers)
        assert not {*here} & {*there}
        assert (len(here) > count / 2) == (target == "majority")


@pytest.mark.parametrize(
    ("target", "peers", "there"),
    [
        ("leader", "brokers", ("broker-1", "broker-3")),
        ("brokers", "brokers", ("broker-1", "broker-2", "broker-3")),
        ("clients", "everyone", ("broker-1", "broker-2", "broker-3")),
        ("leader", "controller", ()),
    ],
)
def test_nobody_is_at_both_ends_of_a_link_unless_all_are_among_themselves(
    whom: Whom, target: str, peers: str, there: tuple[str, ...]
) -> None:
    assert whom.ends(parse_target(target, Group.SIDE), parse_target(peers, Group.SIDE), 0.5)[1] == there


@pytest.mark.parametrize(
    ("target", "peers"),
    [
        ("any broker", "minority"),
        ("minority", "any broker"),
        ("broker-1", "any broker"),
        ("any broker", "leader"),
        ("majority", "controller"),
        ("follower", "minority"),
    ],
)
def test_who_is_drawn_is_never_who_is_at_the_other_end(whom: Whom, target: str, peers: str) -> None:
    """Both come of the same draw, and would be the same ones."""
    for draw in (number / 20 for number in range(20)):
        here, there = whom.ends(parse_target(target, Group.SIDE), parse_target(peers, Group.SIDE), draw)
        assert here
        assert there
        assert not {*here} & {*there}


def test_a_worker_for_whom_the_network_has_no_host_is_one_of_the_other_clients() -> None:
    hosts = Whom(
        Surroundings(
            ("broker-1",),
            TwoWorkers(),  # type: ignore[arg-type]
            Roles(),  # type: ignore[arg-type]
            Holders(),
            "",
            "",
            "",
            hosts=("worker-0", "worker-2"),
        )
    ).hosts
    assert hosts(parse_target("clients", Group.SIDE), 0.5) == ("clients", "worker-0", "worker-2")
    assert "worker-1" not in hosts(parse_target("everyone", Group.SIDE), 0.5)


def of_an_application(*looks: dict[str, str]) -> Whom:
    """Roles of an application whose first processor is the intake."""
    owners = Holders()
    for at, found in enumerate(looks):
        owners.see(found, float(at))
    return Whom(
        Surroundings(
            ("broker-1",),
            TwoWorkers(),  # type: ignore[arg-type]
            Roles(),  # type: ignore[arg-type]
            owners,
            "steps",
            "chaos.lab",
            "chaos.lab.worker-0",
            label="intake",
        )
    )


def test_a_shard_is_one_of_the_first_processor() -> None:
    whom = of_an_application({"intake 0": "worker-1", "saga 0": "worker-2"})
    assert whom.workers(parse_target("owner of shard 0", Group.WORKER), 0.5) == ("worker-1",)
    with pytest.raises(FaultFailed, match="shard intake 1 has no owner now"):
        whom.workers(parse_target("owner of shard 1", Group.WORKER), 0.5)


def test_the_app_leader_is_whoever_has_the_lead_now() -> None:
    leader = parse_target("app leader", Group.WORKER)
    assert of_an_application({"leader 0": "worker-1"}).workers(leader, 0.5) == ("worker-1",)
    with pytest.raises(FaultFailed, match="nobody leads now"):
        of_an_application({"leader 0": "worker-1"}, {"leader 0": NOBODY}).workers(leader, 0.5)


def test_a_sink_is_meant_by_its_name_and_all_are_those_with_a_gate() -> None:
    assert sinks_hit(parse_target("sink gateway", Group.SINK), ("gateway", "cache")) == ("gateway",)
    assert sinks_hit(parse_target("all", Group.SINK), ("gateway", "cache")) == ("gateway", "cache")
    with pytest.raises(
        FaultFailed, match="there is no sink files that a gate could stand before; there are gateway"
    ):
        sinks_hit(parse_target("sink files", Group.SINK), ("gateway",))
