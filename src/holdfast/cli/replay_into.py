"""`holdfast replay --into`: a new version of a processor is prepared, beside the one that is live."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.cli.console import err
from holdfast.cli.scan_progress import ScanProgress
from holdfast.cli.standstill import await_alone, confirm, show_plan, versions
from holdfast.cli.words import counted
from holdfast.errors import ClusterMismatch, ReplayRefused, TopologyError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.positions import Role
from holdfast.kafka.rewind import rewind
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.versions import KnownVersion
from holdfast.runtime.replay import Start, plan_into
from holdfast.runtime.replay_steps import look, rewind_shadow
from holdfast.topology import ProcessorDecl, TopicSpec, Topology


@dataclass(frozen=True, slots=True)
class Into:
    """What was asked for.

    Attributes:
        start: where the new version begins.
        version: its name.
        again: whether to begin anew with a version that exists.
        incomplete: whether inputs that lost their first records are good enough.
        yes: do it without asking.
        as_json: print positions as JSON lines.
    """

    start: Start
    version: str | None
    again: bool
    incomplete: bool
    yes: bool
    as_json: bool


def replay_into(declared: Topology, owner: ProcessorDecl, wanted: Into, servers: str) -> None:
    """Prepare a new version. The one that is live is only looked at.

    Args:
        declared: the new version's topology.
        owner: the processor in it.
        wanted: what was asked for.
        servers: the brokers.

    Raises:
        ReplayRefused: it cannot be done. Nothing was changed.
        TopologyError: the topology declares another version.
        ClusterError: the brokers fail.
    """
    _require_declared(declared, owner, wanted)
    with GroupAdmin(servers, declared.kafka) as admin:
        await_alone(admin, owner)
        live = _require_live(owner, versions(declared, owner, servers), wanted)
        stands, _ = look(declared, owner, wanted.start, admin, servers)
        _, known = look(declared, live.decl, wanted.start, admin, servers)
        plan = plan_into(wanted.start, known, has_tables=bool(owner.tables), incomplete=wanted.incomplete)
        show_plan(plan, wanted.as_json)
        err.print(
            f"{owner.version} begins there as a shadow; {live.name} is live, and stays as it is. Outputs of "
            f"the shadow go to topics of its own ({owner.shadow('<topic>')})",
            markup=False,
        )
        confirm(wanted.yes)
        topics = TopicAdmin(servers, declared.kafka)
        _create(topics, declared, owner)
        todo = rewind_shadow(owner, stands, plan, admin)
    shadows = [spec.name for spec in declared.shadow_topics(owner)]
    with ScanProgress() as progress:
        scanner = LogScanner(servers, declared.kafka, on_progress=progress.update)
        # An earlier shadow's outputs. Not in the transaction: if it fails now, that one has to begin anew.
        rewind(todo, servers, declared.kafka, scanner, before_commit=lambda: topics.empty(shadows))
    err.print(
        f"{owner.version} of {owner.name} is prepared: {counted(plan.offsets, 'offset')} to where "
        f"{live.name} stands. Start its workers with `holdfast run`; `holdfast groups` shows how far "
        "they are."
    )


def _require_declared(declared: Topology, owner: ProcessorDecl, wanted: Into) -> None:
    if wanted.version is None:
        raise ReplayRefused("--again says that a version begins anew: say which one, with --into VERSION")
    if wanted.version != owner.version:
        raise TopologyError(
            f"{declared.source.path} declares {owner.name} in {_said(owner)}. The new version's handler and "
            f"tables have to be known: say `version: {wanted.version}` there, or name its "
            "topology with --topology."
        )


def _said(owner: ProcessorDecl) -> str:
    return f"version {owner.version}" if owner.version else "no version"


def _require_live(owner: ProcessorDecl, found: tuple[KnownVersion, ...], wanted: Into) -> KnownVersion:
    """The version that is live, if the new one may be prepared beside it.

    Raises:
        ReplayRefused: it may not.
    """
    own = next((it for it in found if it.decl.group_id == owner.group_id), None)
    if own is not None and own.role is Role.LIVE:
        raise ReplayRefused(
            f"{owner.version} of {owner.name} is live. Without --into it is replayed in place; a new version "
            "needs another name. Nothing was changed."
        )
    if own is not None and not wanted.again:
        raise ReplayRefused(
            f"{owner.version} of {owner.name} exists already ({own.role.value}), with positions of its own. "
            "With --again it begins anew, and its tables and shadow topics are emptied. Nothing was changed."
        )
    return the_live_one(owner, found)


def the_live_one(owner: ProcessorDecl, found: tuple[KnownVersion, ...]) -> KnownVersion:
    """The version that is live.

    Raises:
        ReplayRefused: none is, or more than one.
    """
    live = [it for it in found if it.role is Role.LIVE]
    if not live:
        raise ReplayRefused(
            f"no version of {owner.name} is live on this cluster: none has worked yet, or its positions are "
            "gone. The first one that starts (`holdfast run`) is live, and needs no preparation."
        )
    if len(live) > 1:
        names = " and ".join(f"{it.name} ({it.decl.group_id})" for it in live)
        raise ReplayRefused(
            f"more than one version of {owner.name} is live: {names}. Another tool has set positions. Stop "
            "the one that should not be, and delete its group. Nothing was changed."
        )
    return live[0]


def _create(topics: TopicAdmin, declared: Topology, owner: ProcessorDecl) -> None:
    """Create the version's changelogs and shadow topics, as far as they are missing.

    Raises:
        ClusterMismatch: one exists with another number of partitions.
        ClusterError: the brokers refuse one, or fail.
    """
    changelogs = {owner.changelog(table) for table in owner.tables}
    own = [spec for spec in declared.internal_topics() if spec.name in changelogs]
    wanted: list[TopicSpec] = [*own, *declared.shadow_topics(owner)]
    there = topics.topics([spec.name for spec in wanted])
    for spec in wanted:
        if spec.name in there and there[spec.name].spec.partitions != spec.partitions:
            raise ClusterMismatch(
                f"{spec.name} has {there[spec.name].spec.partitions} partitions, and {spec.partitions} are "
                "declared now. Delete it: it is the new version's own, and is created again."
            )
    topics.create([spec for spec in wanted if spec.name not in there])
