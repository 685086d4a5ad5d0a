"""What is wrong with single faults, seen from the cluster, the workload and the time limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.chaos.experiment.catalogue import Alters
from holdfast.chaos.experiment.draft import Draft, Placed
from holdfast.chaos.experiment.invariants import WITHOUT_TRANSACTIONS
from holdfast.chaos.experiment.model import MOST_FAULTS, Cluster, Fault, TimedFault, Workload
from holdfast.chaos.experiment.targets import (
    BROKER_ROLES,
    WORKER_ROLES,
    Group,
    Role,
    Target,
    are_same,
    brokers_hit,
    includes,
)
from holdfast.chaos.experiment.words import span_text
from holdfast.declaration.source import Location, Problem

_TALK_TO_BROKERS_ONLY = WORKER_ROLES | {Role.CLIENTS}
_SEVERAL = frozenset({Role.BROKERS, Role.MAJORITY, Role.MINORITY, Role.EVERYONE})

BACK_MS = 2_000
"""No broker or worker that is restarted, or has crashed, is back sooner."""


def fault_problems(draft: Draft) -> Iterator[Problem]:
    """Yield what is wrong with each fault, wherever it stands."""
    for at, fault in draft.faults:
        if draft.cluster is not None:
            yield from _on_cluster(at, fault, draft.cluster)
        if draft.workload is not None:
            yield from _in_workload(at, fault, draft.workload)
        yield from _two_ends(at, fault, draft.cluster.brokers if draft.cluster else None)
        yield from _delay(at, fault)
    yield from _how_many(draft)
    for at, timed in draft.time_line:
        if draft.workload is not None:
            yield from _without_transactions(at, timed.fault, draft.workload)
        yield from _in_time(at, timed, draft)


def faults_in(time_line: Sequence[Placed[TimedFault]]) -> int:
    """Return how many faults a time line makes, with those that are done several times."""
    return sum(it.value.times for it in time_line)


def _how_many(draft: Draft) -> Iterator[Problem]:
    if (count := faults_in(draft.time_line)) > MOST_FAULTS:
        text = f"that makes {count:,} faults, and a run has {MOST_FAULTS:,} at most: lower `times`"
        yield Problem(("faults",), text)


def _on_cluster(at: Location, fault: Fault, cluster: Cluster) -> Iterator[Problem]:
    kind = fault.kind
    place = (*at, "fault")
    if cluster.kind not in kind.clusters:
        fits = " or ".join(f"`{name}`" for name in kind.clusters)
        yield Problem(
            place, f"`{kind.name}` cannot be done to a cluster of kind `{cluster.kind}`, only to {fits}"
        )
        return
    if kind.setting is not None and getattr(cluster, kind.setting[0]) != kind.setting[1]:
        key, value = kind.setting
        yield Problem(place, f"`{kind.name}` needs `{key}: {value}` under `cluster`")
    if cluster.kind == "external":
        return  # nobody knows how many brokers it has
    if cluster.brokers < kind.least_brokers:
        least = kind.least_brokers
        text = f"`{kind.name}` needs at least {least} brokers, and the cluster has {cluster.brokers}"
        yield Problem(place, text)
    for key, target in fault.targets.items():
        for text in _against_brokers(target, cluster.brokers):
            yield Problem((*at, key), text)
    if kind.alters is Alters.CLOCK and fault.target is not None and fault.target.role in _SEVERAL:
        text = f"a clock jumps at one broker, and `{fault.target}` means several; name one, or say `any`"
        yield Problem((*at, "target"), text)


def _against_brokers(target: Target, brokers: int) -> Iterator[str]:
    if target.role not in BROKER_ROLES:
        return
    size = f"the cluster has {brokers} broker{'' if brokers == 1 else 's'}"
    number = target.number or 0
    if target.role is Role.BROKER and not 1 <= number <= brokers:
        yield f"there is no {target.text}: {size}, counted from 1"
    if target.role is Role.FOLLOWER and brokers < 2:
        yield f"there is no follower: {size}"
    if target.role in (Role.MAJORITY, Role.MINORITY) and not 0 < brokers_hit(target, brokers) < brokers:
        yield f"the cluster is too small: a {target.text} needs at least 3 brokers to leave some, and {size}"


def _two_ends(at: Location, fault: Fault, brokers: int | None) -> Iterator[Problem]:
    """Links that there are none of, or that are others than those which the file seems to name."""
    target, peers = fault.target, fault.parameters.get("peers")
    if target is None or not isinstance(peers, Target):
        return
    place, roles = (*at, "peers"), {target.role, peers.role}
    if roles <= _TALK_TO_BROKERS_ONLY:
        yield Problem(place, "workers and other clients do not talk to each other, only to brokers")
    elif brokers == 1 and roles <= BROKER_ROLES:
        yield Problem(place, "both ends are the same one: the cluster has 1 broker")
    elif are_same(target, peers):
        small = target.role is Role.MINORITY and brokers is not None and brokers_hit(target, brokers) == 1
        if small or target.role not in _SEVERAL:
            yield Problem(place, f"both ends are the same one, {target.text}; name the others")
    elif includes(target, peers):
        turned = ", and turn `direction` round" if fault.parameters["direction"] != "both" else ""
        text = f"`{peers}` is one of `{target}`: say `target: {peers}, peers: {target}`{turned}"
        yield Problem(place, text)


def _delay(at: Location, fault: Fault) -> Iterator[Problem]:
    """A delay of nothing. Jitter alone is a fault: it holds packets, too."""
    if fault.parameters.get("delay") == 0 and not fault.parameters.get("jitter"):
        text = "nothing would take longer, so that nothing would happen; give more than 0s"
        yield Problem((*at, "delay"), text)


def _in_workload(at: Location, fault: Fault, workload: Workload) -> Iterator[Problem]:
    if fault.kind.group is Group.SINK and workload.kind != "application":
        text = f"`{fault.kind.name}` needs a sink, and `{workload.kind}` has none; only an `application` has"
        yield Problem((*at, "fault"), text)
        return
    if fault.kind.alters is Alters.WORKERS and workload.kind == "application":
        text = (
            f"`{fault.kind.name}` is not for an application, whose processors have workers of their own "
            "each; stop some of them (`worker.stop`)"
        )
        yield Problem((*at, "fault"), text)
    elif fault.kind.alters is Alters.WORKERS and fault.parameters["to"] == workload.workers:
        yield Problem(
            (*at, "to"), f"there are {workload.workers} workers anyway, so that nothing would happen"
        )
    for key, target in fault.targets.items():
        if target.role is Role.FOLLOWER and workload.replication == 1:
            yield Problem(
                (*at, key), "there is no follower: topics have 1 copy (`replication` of the workload)"
            )
        for text in _against_workload(target, workload):
            yield Problem((*at, key), text)


def _without_transactions(at: Location, fault: Fault, workload: Workload) -> Iterator[Problem]:
    """Whom there is not where nobody writes in transactions.

    By chance such a fault is left out and counted, so that controls can have the same plan as all others.
    """
    if workload.kind in ("raw", "application") or workload.engine not in WITHOUT_TRANSACTIONS:
        return
    for key, target in fault.targets.items():
        if target.role is Role.TRANSACTION_COORDINATOR or target.name == "__transaction_state":
            text = (
                f"nobody coordinates transactions: the engine `{workload.engine}` writes none; name another "
                "broker"
            )
            yield Problem((*at, key), text)


def _against_workload(target: Target, workload: Workload) -> Iterator[str]:
    number = target.number or 0
    workers = f"there {'is 1 worker' if workload.workers == 1 else f'are {workload.workers} workers'}"
    # How many an application has, only its topology says.
    if target.role is Role.WORKER and workload.kind != "application" and number >= workload.workers:
        yield f"there is no {target.text}: {workers}, counted from 0"
    if target.role is Role.APP_LEADER and workload.kind != "application":
        yield f"`{workload.kind}` has no leader tasks, so nobody leads; only an `application` may have"
    if target.role is Role.SHARD_OWNER:
        if workload.kind == "raw":
            yield "clients of `raw` own no shards; name a worker"
        elif workload.kind != "application" and number >= workload.partitions:
            yield f"there is no shard {number}: the input has {workload.partitions}, counted from 0"
    if target.role is Role.GROUP_COORDINATOR and workload.kind == "raw":
        yield "clients of `raw` assign partitions to themselves, and have no group; name another broker"


def _in_time(at: Location, timed: TimedFault, draft: Draft) -> Iterator[Problem]:
    limit_ms, kind = draft.head.time_limit_ms if draft.head else None, timed.fault.kind
    if timed.times > 1 and timed.every_ms is None:
        yield Problem(
            (*at, "every"), f"missing: from one beginning to the next, as it is done {timed.times} times"
        )
        return
    if timed.times == 1 and timed.every_ms is not None:
        yield Problem((*at, "every"), "it is done once; say how many `times`, or remove it")
    is_restart = not (kind.lasts or kind.open_end)
    if is_restart and timed.every_ms is not None and timed.every_ms < BACK_MS:
        text = f"whoever is started again is not back sooner than after {span_text(BACK_MS)}: raise it"
        yield Problem((*at, "every"), text)
    if limit_ms is None:
        return
    last_ms, least_ms = timed.starts()[-1], draft.least_ms(timed)
    end_ms = last_ms + least_ms
    # Where the first time fits, it is how often that does not.
    fits_once = timed.times > 1 and timed.at_ms < limit_ms and timed.at_ms + least_ms <= limit_ms
    it = "the last time it" if fits_once else "it"
    if last_ms >= limit_ms:
        text = f"{it} would begin at {span_text(last_ms)}, and the time limit is {span_text(limit_ms)}"
        yield Problem((*at, "times" if fits_once else "at"), text)
    elif end_ms > limit_ms and kind.open_end:
        text = (
            f"it takes {span_text(least_ms)} at least to restart one after the other with these pauses, and "
            f"from {span_text(last_ms)} on the time limit of {span_text(limit_ms)} leaves "
            f"{span_text(limit_ms - last_ms)}"
        )
        yield Problem((*at, "pause"), text)
    elif end_ms > limit_ms:
        text = f"{it} would end at {span_text(end_ms)}, beyond the time limit of {span_text(limit_ms)}"
        yield Problem((*at, "times" if fits_once else "for"), text)
