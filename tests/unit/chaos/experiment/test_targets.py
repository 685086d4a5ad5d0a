"""Roles: what can be said, what it means, and who surely meets whom."""

from __future__ import annotations

import re

import pytest

from holdfast.chaos.experiment import FORMS, Form, Group, Role, Target, brokers_hit
from holdfast.chaos.experiment.targets import BROKER_ROLES, WORKER_ROLES, parse_target, surely_meet

EXAMPLES = {"N": "3", "P": "5", "TOPIC": "orders.by-id", "NAME": "gateway"}


def example(form: Form) -> str:
    """A form with something in the place of its capitals."""
    text = form.text
    for capital, value in EXAMPLES.items():
        text = text.replace(capital, value)
    return text


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.text}-{'-'.join(sorted(form.groups))}")
def test_every_form_is_read_as_the_role_that_it_stands_for(form: Form) -> None:
    for group in form.groups:
        target = parse_target(example(form), group)
        assert target.role is form.role
        assert str(target) == example(form)


@pytest.mark.parametrize(
    ("text", "group", "role", "number", "name"),
    [
        ("broker-1", Group.BROKER, Role.BROKER, 1, None),
        ("leader  of orders/0", Group.BROKER, Role.LEADER, 0, "orders"),
        ("leader", Group.SIDE, Role.LEADER, None, None),
        ("owner of shard 11", Group.WORKER, Role.SHARD_OWNER, 11, None),
        ("any", Group.BROKER, Role.ANY_BROKER, None, None),
        ("any", Group.WORKER, Role.ANY_WORKER, None, None),
        ("sink gateway", Group.SINK, Role.SINK, None, "gateway"),
    ],
)
def test_numbers_and_names_are_taken_out(
    text: str, group: Group, role: Role, number: int | None, name: str | None
) -> None:
    target = parse_target(text, group)
    assert (target.role, target.number, target.name) == (role, number, name)


@pytest.mark.parametrize(
    ("text", "group", "said"),
    [
        ("leder", Group.BROKER, 'unknown role "leder"; did you mean "leader"? (known: broker-N, leader, '),
        ("leader of orders", Group.BROKER, 'unknown role "leader of orders"'),
        ("broker-one", Group.BROKER, 'unknown role "broker-one"; did you mean "broker-N"?'),
        (
            *("worker-0", Group.BROKER),
            'unknown role "worker-0"; it is one for faults of workers, such as `worker.kill` (known: bro',
        ),
        ("clients", Group.WORKER, 'unknown role "clients"; it is one for faults of the network (known: '),
        ("any", Group.SIDE, 'unknown role "any"; did you mean "any broker" or "any worker"? (known: '),
        ("any broker", Group.BROKER, 'unknown role "any broker"; did you mean "any"? (known: '),
        (3, Group.WORKER, "expected whom it hits (worker-N, owner of shard N, app leader, any, all), got 3"),
        (None, Group.SINK, "expected whom it hits (all, sink NAME), got nothing"),
    ],
)
def test_a_role_that_nobody_has_is_told_with_the_nearest_and_all_others(
    text: object, group: Group, said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        parse_target(text, group)


@pytest.mark.parametrize("brokers", range(1, 10))
def test_a_majority_is_more_than_half_and_a_minority_the_rest(brokers: int) -> None:
    majority = brokers_hit(Target(Role.MAJORITY, "majority"), brokers)
    minority = brokers_hit(Target(Role.MINORITY, "minority"), brokers)
    assert majority > brokers / 2 > minority
    assert 2 * (majority - 1) <= brokers
    assert 2 * (minority + 1) >= brokers
    assert brokers_hit(Target(Role.BROKERS, "all"), brokers) == brokers
    assert brokers_hit(Target(Role.CONTROLLER, "controller"), brokers) == 1


def broker(text: str) -> Target:
    """A target among brokers."""
    return parse_target(text, Group.BROKER)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("leader", "leader", True),
        ("leader", "leader of orders/0", False),
        ("broker-1", "broker-2", False),
        ("all", "broker-2", True),
        ("minority", "all", True),
        ("majority", "majority", True),
        ("minority", "minority", False),
        ("any", "any", False),
        ("leader", "controller", False),
    ],
)
def test_two_targets_meet_where_they_must(one: str, other: str, meet: bool) -> None:
    """What may only happen to meet (a leader that is the controller) is for the runner to find out."""
    assert surely_meet(broker(one), broker(other)) is meet
    assert surely_meet(broker(other), broker(one)) is meet


def test_every_role_belongs_to_brokers_to_workers_or_to_neither() -> None:
    """A role that is added has to be put somewhere, as checks go by it."""
    others = {Role.CLIENTS, Role.EVERYONE, Role.SINK, Role.SINKS}
    assert BROKER_ROLES | WORKER_ROLES | others == set(Role)
    assert not BROKER_ROLES & WORKER_ROLES
