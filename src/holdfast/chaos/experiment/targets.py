"""Whom a fault hits: roles, which the runner looks up at the moment of the fault.

A role is worth more than a number: the broker that leads now is what hurts. Jepsen's faults name roles for
the same reason (bufstream's suite kills "the coordinator", not a node).

Kafka's own names are used: *group coordinator*, *transaction coordinator*, *controller* (the active one of
the KRaft quorum). Brokers are counted from 1, as `node.id`; workers from 0, as their slots.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from holdfast.declaration.source import did_you_mean, show


class Group(StrEnum):
    """What kind of thing a fault is aimed at, and so which roles it knows."""

    BROKER = "broker"
    WORKER = "worker"
    SIDE = "side"
    """One end of links of the network: brokers, workers, or all clients."""

    SINK = "sink"


class Role(StrEnum):
    """Who is meant, as it is looked up; the value is how it is said."""

    BROKER = "broker"
    LEADER = "leader"
    FOLLOWER = "follower"
    GROUP_COORDINATOR = "group coordinator"
    TRANSACTION_COORDINATOR = "transaction coordinator"
    CONTROLLER = "controller"
    ANY_BROKER = "any broker"
    BROKERS = "brokers"
    MAJORITY = "majority"
    MINORITY = "minority"
    WORKER = "worker"
    SHARD_OWNER = "owner of shard"
    APP_LEADER = "app leader"
    ANY_WORKER = "any worker"
    WORKERS = "workers"
    CLIENTS = "clients"
    EVERYONE = "everyone"
    SINK = "sink"
    SINKS = "sinks"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a fault hits.

    Attributes:
        role: who is meant.
        text: as the file says it.
        number: of the broker, the worker, the shard or the partition, where the role has one.
        name: the topic, or the sink, where the role has one.
    """

    role: Role
    text: str
    number: int | None = None
    name: str | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def by_chance(self) -> bool:
        """Whether it leaves a choice: two of them at once need not mean the same ones."""
        return self.role in _BY_CHANCE


@dataclass(frozen=True, slots=True)
class Form:
    """One way to say whom a fault hits.

    Attributes:
        text: how it is written; capitals stand for a number or a name.
        role: what it means.
        groups: which kinds of faults take it.
        meaning: one line for readers.
    """

    text: str
    role: Role
    groups: frozenset[Group]
    meaning: str

    def match(self, text: str) -> Target | None:
        """Return the target that `text` says in this form; None if it does not."""
        found = re.fullmatch(self._pattern, text)
        if found is None:
            return None
        parts = found.groupdict()
        number = int(parts["number"]) if parts.get("number") else None
        return Target(self.role, text, number, parts.get("name"))

    @property
    def _pattern(self) -> str:
        pattern = re.escape(self.text).replace(r"\ ", " ")
        number = re.sub(r"\b[NP]\b", r"(?P<number>\\d{1,6})", pattern)
        return re.sub("TOPIC|NAME", r"(?P<name>[a-zA-Z0-9._-]{1,249})", number)


_BROKER, _WORKER, _SIDE, _SINK = (frozenset({group}) for group in Group)
_BROKER_SIDE, _WORKER_SIDE = _BROKER | _SIDE, _WORKER | _SIDE

FORMS: tuple[Form, ...] = (
    Form("broker-N", Role.BROKER, _BROKER_SIDE, "the broker with that `node.id`, from 1"),
    Form("leader", Role.LEADER, _BROKER_SIDE, "who leads partition 0 of the workload's input"),
    Form("leader of TOPIC/P", Role.LEADER, _BROKER_SIDE, "who leads that partition"),
    Form(
        "follower",
        Role.FOLLOWER,
        _BROKER_SIDE,
        "a broker with an in-sync copy of partition 0 of the workload's input that does not lead it",
    ),
    Form("follower of TOPIC/P", Role.FOLLOWER, _BROKER_SIDE, "such a broker of that partition"),
    Form("group coordinator", Role.GROUP_COORDINATOR, _BROKER_SIDE, "who coordinates the workload's group"),
    Form(
        "transaction coordinator",
        Role.TRANSACTION_COORDINATOR,
        _BROKER_SIDE,
        "who coordinates the transactions of worker 0",
    ),
    Form("controller", Role.CONTROLLER, _BROKER_SIDE, "the active controller of the quorum"),
    Form("any", Role.ANY_BROKER, _BROKER, "one broker, chosen by the seed"),
    Form("any broker", Role.ANY_BROKER, _SIDE, "one broker, chosen by the seed"),
    Form("all", Role.BROKERS, _BROKER, "every broker"),
    Form("brokers", Role.BROKERS, _SIDE, "every broker"),
    Form(
        "majority", Role.MAJORITY, _BROKER_SIDE, "the least number of brokers that is more than half of them"
    ),
    Form(
        "minority",
        Role.MINORITY,
        _BROKER_SIDE,
        "the largest number of brokers that is less than half of them",
    ),
    Form("worker-N", Role.WORKER, _WORKER_SIDE, "the worker in that slot, from 0"),
    Form("owner of shard N", Role.SHARD_OWNER, _WORKER_SIDE, "the worker that has that shard"),
    Form("app leader", Role.APP_LEADER, _WORKER_SIDE, "the worker that runs the application's leader tasks"),
    Form("any", Role.ANY_WORKER, _WORKER, "one worker, chosen by the seed"),
    Form("any worker", Role.ANY_WORKER, _SIDE, "one worker, chosen by the seed"),
    Form("all", Role.WORKERS, _WORKER, "every worker"),
    Form("workers", Role.WORKERS, _SIDE, "every worker"),
    Form("clients", Role.CLIENTS, _SIDE, "all that talks to the brokers: every worker, and the load itself"),
    Form("everyone", Role.EVERYONE, _SIDE, "all brokers and clients; as `peers` all but the target"),
    Form("all", Role.SINKS, _SINK, "every sink of the application"),
    Form("sink NAME", Role.SINK, _SINK, "the sink of that name in the application's topology"),
)

BROKER_ROLES = frozenset(
    {
        *(Role.BROKER, Role.LEADER, Role.FOLLOWER, Role.GROUP_COORDINATOR, Role.TRANSACTION_COORDINATOR),
        *(Role.CONTROLLER, Role.ANY_BROKER, Role.BROKERS, Role.MAJORITY, Role.MINORITY),
    }
)
WORKER_ROLES = frozenset({Role.WORKER, Role.SHARD_OWNER, Role.APP_LEADER, Role.ANY_WORKER, Role.WORKERS})

_INCLUDED: Mapping[Role, Collection[Role]] = {
    Role.BROKERS: BROKER_ROLES,
    Role.WORKERS: WORKER_ROLES,
    Role.CLIENTS: WORKER_ROLES | {Role.CLIENTS},
    Role.EVERYONE: BROKER_ROLES | WORKER_ROLES | {Role.CLIENTS, Role.EVERYONE},
    Role.SINKS: {Role.SINK, Role.SINKS},
}
"""Roles that stand for everybody of a kind, and who that is."""

_BY_CHANCE = frozenset({Role.ANY_BROKER, Role.ANY_WORKER, Role.FOLLOWER, Role.MAJORITY, Role.MINORITY})
"""Roles that leave a choice."""


_TAKE_ROLES: Mapping[Group, str] = {
    Group.BROKER: "faults of brokers, such as `broker.kill`",
    Group.WORKER: "faults of workers, such as `worker.kill`",
    Group.SIDE: "faults of the network",
    Group.SINK: "faults of sinks",
}


def parse_target(text: object, group: Group) -> Target:
    """Read whom a fault hits.

    Raises:
        ValueError: nobody is called so; it says who could be.
    """
    if not isinstance(text, str):
        raise ValueError(f"expected whom it hits ({known(group)}), got {show(text)}")
    plain = " ".join(text.split())
    for form in _forms(group):
        if (target := form.match(plain)) is not None:
            return target
    raise ValueError(f"unknown role {show(text)}{_hint(plain, group)} (known: {known(group)})")


def _hint(text: str, group: Group) -> str:
    """What was most likely meant by an unknown role: as other groups say it, one alike, or one of others."""
    others = [form for form in FORMS if form.match(text) is not None]
    here = [f'"{form.text}"' for form in _forms(group) if form.role in {other.role for other in others}]
    if here:
        return f"; did you mean {' or '.join(here)}?"
    if near := did_you_mean(text, [form.text for form in _forms(group)]):
        return near
    takes = next((told for it, told in _TAKE_ROLES.items() if any(it in form.groups for form in others)), "")
    return takes and f"; it is one for {takes}"


def known(group: Group) -> str:
    """List the roles of a group, as they are written."""
    return ", ".join(form.text for form in _forms(group))


def _forms(group: Group) -> list[Form]:
    return [form for form in FORMS if group in form.groups]


def brokers_hit(target: Target, brokers: int) -> int:
    """Return how many of `brokers` brokers a role of theirs stands for."""
    match target.role:
        case Role.BROKERS:
            return brokers
        case Role.MAJORITY:
            return brokers // 2 + 1
        case Role.MINORITY:
            return (brokers - 1) // 2
        case _:
            return 1


def includes(many: Target, one: Target) -> bool:
    """Tell whether a target stands for everybody of a kind, of which the other one is."""
    return one.role in _INCLUDED.get(many.role, ())


def are_same(one: Target, other: Target) -> bool:
    """Tell whether two targets say the same, however that is written."""
    return (one.role, one.number, one.name) == (other.role, other.number, other.name)


def only_ones(brokers: int | None, workers: int | None) -> frozenset[Role]:
    """Return the roles that can only mean one and the same, by how many there are where that is known."""
    return (BROKER_ROLES if brokers == 1 else frozenset()) | (WORKER_ROLES if workers == 1 else frozenset())


def surely_meet(one: Target | None, other: Target | None, alone: Collection[Role] = ()) -> bool:
    """Tell whether two targets have somebody in common, whoever has which role at the time.

    That a leader is the controller, too, is found out by the runner, unless there is only one broker.

    Args:
        one: a target.
        other: another one.
        alone: roles that can only mean one and the same (`only_ones`).
    """
    if one is None or other is None:
        return one is other
    if one.role in alone and other.role in alone:
        return (one.role in BROKER_ROLES) is (other.role in BROKER_ROLES)
    if includes(one, other) or includes(other, one):
        return True
    if one.role is other.role is Role.MAJORITY:
        return True
    return not one.by_chance and are_same(one, other)
