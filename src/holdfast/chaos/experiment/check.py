"""Checks across the parts of an experiment, before anything is started."""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdfast.chaos.experiment.draft import Draft
from holdfast.chaos.experiment.fault_check import fault_problems
from holdfast.chaos.experiment.invariants import (
    INVARIANTS,
    SEQUENCE_ONLY,
    WITH_PROCESSOR_SETTINGS,
    WITHOUT_TRANSACTIONS,
)
from holdfast.chaos.experiment.mix_check import mix_problems
from holdfast.chaos.experiment.model import Cluster, Workload
from holdfast.chaos.experiment.overlap_check import overlap_problems
from holdfast.chaos.experiment.upgrade_check import upgrade_problems
from holdfast.chaos.experiment.words import span_text
from holdfast.declaration.source import Location, Problem

_NOT_OF_RAW = {
    "engine": "clients write and read by themselves: no engine works",
    "keys": "records of clients have no keys",
    "standby": "clients keep no state that could be kept warm",
    "processor": "clients write and read by themselves: no processor works",
}
_NOT_OF_AN_APPLICATION = {
    "engine": "an application runs as its topology says",
    "keys": "an application's producers choose the keys",
    "partitions": "its topology says how many partitions its topics have",
    "replication": "its topology says on how many brokers its topics are kept",
    "standby": "its topology says it of each processor",
    "processor": "its topology says it of each processor",
}
_OF_KNOWN_PROCESSORS = ("exactly-once", "state-fold", "conservation")
"""Invariants that take a processor whose outputs the lab itself can work out."""

_JUDGES_CHECKS = "application-checks"

_ONLY_APPLICATION = {
    "topology": "a topology",
    "output": "outputs to choose from",
    "arguments": "producers",
    "checks": "checks of its own",
}
_ONLY_EMBEDDED = ("network", "disk", "broker_config")
_ONLY_EXTERNAL = ("bootstrap_servers", "fair_game")
OF_THE_LAB = frozenset(
    {
        *("process.roles", "node.id", "broker.id", "controller.quorum.voters", "listeners", "log.dirs"),
        *("log.dir", "metadata.log.dir", "advertised.listeners", "controller.listener.names"),
        *("inter.broker.listener.name", "listener.security.protocol.map", "broker.rack"),
        "replica.selector.class",
    }
)
"""Properties that say who a broker is and where: another value of them, and nobody finds it."""
_COPIES = re.compile(r".+\.(replication\.factor|min\.isr)|min\.insync\.replicas")
"""Properties that say how many copies there are, or have to be in sync."""

_QUERY = re.compile(r"(?:\s|\(|--[^\n]*|/\*(?:[^*]|\*(?!/))*+\*/)*+(?:select|with|from)\b", re.IGNORECASE)
"""How a query begins: behind comments and brackets."""

_PROPERTY = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", re.IGNORECASE)


def cross_check(draft: Draft) -> tuple[Problem, ...]:
    """Return what is wrong between the parts of an experiment, as far as they are right themselves."""
    return (
        *_one_of_two(draft),
        *(_cluster(draft.cluster) if draft.cluster else ()),
        *(_workload(draft.workload) if draft.workload else ()),
        *_names(draft),
        *_copies(draft),
        *_steady_state(draft),
        *_abort(draft),
        *fault_problems(draft),
        *overlap_problems(draft),
        *upgrade_problems(draft),
        *mix_problems(draft),
        *_invariants(draft),
    )


def _one_of_two(draft: Draft) -> Iterator[Problem]:
    if {"faults", "random"} <= draft.keys:
        text = "`faults` is given as well; keep the time line, or faults by chance"
        yield Problem(("random",), text)
    elif not {"faults", "random"} & draft.keys:
        text = "it says neither `faults` nor `random`: an experiment has one of the two"
        yield Problem((), text)
    elif draft.head is not None and "faults" in draft.keys and not draft.head.faults:
        yield Problem(("faults",), "expected at least one fault, got none")


def _cluster(cluster: Cluster) -> Iterator[Problem]:
    given = cluster.model_fields_set
    for name, value in cluster.broker_config.items():
        at: Location = ("cluster", "broker_config", name)
        if not _PROPERTY.fullmatch(name):
            yield Problem(at, "this is no name of a broker's property, such as `replica.lag.time.max.ms`")
        elif name in OF_THE_LAB:
            yield Problem(at, "the lab sets it: it says who a broker is, and where; remove it")
        elif not value.isprintable():
            # Not only \n: any of the characters at which Java ends a line would begin another property.
            yield Problem(at, "a value is one line of text")
        elif _COPIES.fullmatch(name) and re.fullmatch(r"\d{1,9}", value) and int(value) > cluster.brokers:
            text = f"{value} copies need as many brokers, and the cluster has {cluster.brokers}"
            yield Problem(at, text)
    if cluster.kind != "embedded":
        for key in sorted(given.intersection(_ONLY_EMBEDDED)):
            yield Problem(("cluster", key), f"only an embedded cluster has it, not {cluster.kind}; remove it")
    if cluster.kind != "external":
        for key in sorted(given.intersection(_ONLY_EXTERNAL)):
            yield Problem(
                ("cluster", key), f"only a cluster of yours has it (`kind: external`), not {cluster.kind}"
            )
        return
    if "brokers" in given:
        yield Problem(("cluster", "brokers"), "a cluster of yours has the brokers that it has; remove it")
    if cluster.bootstrap_servers is None:
        yield Problem(("cluster", "bootstrap_servers"), "missing: where some brokers of your cluster are")
    if not cluster.fair_game:
        text = (
            "this cluster is not marked as fair game, and nothing is done to it: an experiment loads it and "
            "breaks what works on it. Say `fair_game: true` if that may be"
        )
        yield Problem(("cluster", "fair_game"), text)


def _workload(workload: Workload) -> Iterator[Problem]:
    given = workload.model_fields_set
    reasons = {"raw": _NOT_OF_RAW, "application": _NOT_OF_AN_APPLICATION}.get(workload.kind, {})
    for key, reason in reasons.items():
        if key in given:
            yield Problem(("workload", key), f"{reason}; remove it")
    at: Location = ("workload", "topology")
    if workload.kind == "application" and workload.topology is None:
        yield Problem(at, "missing: the application's topology file, seen from this file")
    for key, what in _ONLY_APPLICATION.items():
        if workload.kind != "application" and key in given:
            text = f"only an `application` has {what}, not `{workload.kind}`; remove it"
            yield Problem(("workload", key), text)
    if workload.kind == "raw":
        return
    if not reasons:
        yield from _not_of_the_engine(workload)
    if workload.engine in WITH_PROCESSOR_SETTINGS and workload.standby >= workload.workers:
        text = f"{workload.standby} warm copies need as many other workers, of {workload.workers} in all"
        yield Problem(("workload", "standby"), text)


def _not_of_the_engine(workload: Workload) -> Iterator[Problem]:
    if workload.kind == "bank" and workload.engine in SEQUENCE_ONLY:
        how = "say `kind: sequence`, or name another engine"
        text = f"`{workload.engine}` runs the workload `sequence` only; {how}"
        yield Problem(("workload", "engine"), text)
    text = f"it is a setting of Holdfast's engine, and `{workload.engine}` works here; remove it"
    if workload.engine not in WITH_PROCESSOR_SETTINGS:
        for key in ("standby", "processor"):
            if key in workload.model_fields_set:
                yield Problem(("workload", key), text)
    elif workload.engine != "holdfast" and "cache_entries" in workload.processor.model_fields_set:
        yield Problem(("workload", "processor", "cache_entries"), text)


def _names(draft: Draft) -> Iterator[Problem]:
    if draft.workload is None or draft.workload.kind != "application":
        return
    if draft.cluster is not None and draft.cluster.kind == "external":
        text = (
            "an `application` has the names of topics and groups that its topology says, and nobody could "
            "tell them from those of others on a cluster of yours; give it brokers of its own (`kind` of the "
            "cluster)"
        )
        yield Problem(("workload", "kind"), text)


def _copies(draft: Draft) -> Iterator[Problem]:
    if draft.workload is None or draft.cluster is None or draft.cluster.kind == "external":
        return
    copies, brokers = draft.workload.replication, draft.cluster.brokers
    if copies is not None and copies > brokers:
        text = f"{copies} copies need as many brokers, and the cluster has {brokers}"
        yield Problem(("workload", "replication"), text)


def _steady_state(draft: Draft) -> Iterator[Problem]:
    """What could never be reached, or would end the run while nothing is wrong."""
    steady = draft.steady_state
    if steady is None:
        return
    if steady.reached_within_ms < steady.for_ms:
        text = f"it cannot be reached: it has to hold for {span_text(steady.for_ms)}"
        yield Problem(("steady_state", "reached_within"), text)
    stale_ms = draft.abort.output_stale_for_ms if draft.abort else None
    if stale_ms is not None and stale_ms <= steady.fresh_within_ms:
        text = (
            f"outputs may be {span_text(steady.fresh_within_ms)} old in the steady state (`fresh_within`): "
            "the run would be given up while nothing is wrong, so raise it"
        )
        yield Problem(("abort", "output_stale_for"), text)


def _abort(draft: Draft) -> Iterator[Problem]:
    """A limit that can never be exceeded."""
    if draft.abort is None or draft.workload is None or draft.workload.kind != "raw":
        return
    if draft.abort.lag_above is not None:
        text = "clients of `raw` are no group, so nobody knows what waits for them; remove it"
        yield Problem(("abort", "lag_above"), text)


def _invariants(draft: Draft) -> Iterator[Problem]:
    names: dict[str, Location] = {}
    for at, name in (*draft.invariants, *((it.at, it.value.name) for it in draft.own_invariants)):
        if name in names:
            yield Problem(at, f'"{name}" stands twice in the list')
        names.setdefault(name, at)
    for at, own in draft.own_invariants:
        if own.name in INVARIANTS:
            yield Problem((*at, "name"), f'"{own.name}" is the name of a built-in invariant; give it another')
        if (own.sql is None) == (own.check is None):
            yield Problem(at, "an invariant of your own has either `sql` or `check`")
        if own.over is not None and own.sql is None:
            text = "only a query has it: a function says itself how much it looked at; remove it"
            yield Problem((*at, "over"), text)
        if own.sql is not None and not _QUERY.match(own.sql):
            text = "it never evaluates: expected a query (SELECT ...), each row of which is a violation"
            yield Problem((*at, "sql"), text)
    if draft.workload is not None:
        yield from _never_evaluated(draft, draft.workload)
        known = not any(problem.at[:1] == ("invariants",) for problem in draft.problems)
        chosen = draft.workload.kind == "application" and draft.workload.checks
        if chosen and known and _JUDGES_CHECKS not in names:
            text = (
                f"it chooses for `{_JUDGES_CHECKS}`, which is not among the `invariants`; add that there, "
                "or remove this"
            )
            yield Problem(("workload", "checks"), text)


def _never_evaluated(draft: Draft, workload: Workload) -> Iterator[Problem]:
    for at, name in draft.invariants:
        invariant = INVARIANTS[name]
        if workload.kind not in invariant.workloads:
            fits = ", ".join(f"`{kind}`" for kind in invariant.workloads)
            text = (
                f"it never evaluates for `{workload.kind}`: {invariant.meaning}; a history of {fits} can tell"
            )
            if workload.kind == "application" and name in _OF_KNOWN_PROCESSORS:
                text += (
                    ". What an application's outputs have to be only its own `checks` know: say "
                    "`application-checks`"
                )
            yield Problem(at, text)
        elif invariant.transactions and workload.kind != "raw" and workload.engine in WITHOUT_TRANSACTIONS:
            text = f"it never evaluates: the engine `{workload.engine}` writes no transactions"
            yield Problem(at, text)
