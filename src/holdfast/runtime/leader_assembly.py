"""Puts a candidate together: tasks, clients and terms of one application."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from holdfast.engine.leader_log import History
from holdfast.engine.leader_plan import plan_task
from holdfast.kafka.consumer import OwnershipListener, ShardConsumer
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.scan import LogScanner
from holdfast.kafka.settings import GROUP_PROTOCOL, consumer_config, producer_config
from holdfast.kafka.topic_watch import TopicWatch
from holdfast.kafka.transaction import TransactionalWriter
from holdfast.runtime.candidate import Candidate, Standing
from holdfast.runtime.leader_view import Candidates, read_candidates, read_history
from holdfast.runtime.status import Reporter
from holdfast.runtime.task_runs import TaskRuns
from holdfast.runtime.term import CandidateIdentity, Term, TermPorts
from holdfast.topology.model import BROKER_MAX_BYTES, MAX_BYTES, Topology
from holdfast.topology.resolved import ResolvedTopology

CALL_TIMEOUT_S = 10.0
"""How long one call to the brokers may take before its outcome counts as unknown."""

_HEARTBEAT_MS = 500


class LeaderClients:
    """Makes the clients of one candidate.

    Args:
        topology: the application.
        slot: the candidate's slot.
        servers: the brokers.
    """

    def __init__(self, topology: Topology, slot: str, servers: str) -> None:
        self._topology = topology
        self._slot = slot
        self._servers = servers

    def consumer(self, listener: OwnershipListener) -> ShardConsumer:
        """The group's member.

        Raises:
            ClusterError: the client refuses the settings.
        """
        return ShardConsumer(self._member_settings(), self._topology.leader_id, listener)

    def writer(self, unless: Callable[[], bool] | None = None) -> TransactionalWriter:
        """The leader's producer; making it fences the one before.

        Args:
            unless: whether nobody wants it any more: it fences nobody then.

        Raises:
            ClusterError: the brokers do not answer in time, or refuse this user.
        """
        topology, name = self._topology, self._topology.candidate_id(self._slot)
        properties = {**record_sizes(topology), **topology.kafka}
        settings = producer_config(self._servers, properties, transactional_id=topology.leader_id)
        settings["client.id"] = name
        # Positions mean nothing in this group, so they need no note of the topic that they are of.
        # A term that lost a connection ends, and the next one asks first whose turn it is.
        return TransactionalWriter(
            settings, CALL_TIMEOUT_S, replaces=False, tells_refused=True, unless=unless
        )

    def history(self) -> History:
        """Read the leader's topic.

        Raises:
            ClusterError: the brokers cannot be read.
        """
        return read_history(LogScanner(self._servers, self._topology.kafka), self._topology)

    def candidates(self) -> Candidates:
        """Ask who is in the group.

        Raises:
            ClusterError: the coordinator does not answer.
        """
        with GroupAdmin(self._servers, self._topology.kafka) as groups:
            return read_candidates(groups, self._topology)

    def _member_settings(self) -> dict[str, Any]:
        topology, name = self._topology, self._topology.candidate_id(self._slot)
        session = topology.leader_session_timeout_ms
        return {
            **consumer_config(self._servers, topology.leader_id, topology.kafka, start="error"),
            "client.id": name,
            # One partition gains nothing from the newer protocol, which has no static members as they are
            # needed here, and refuses the settings below.
            GROUP_PROTOCOL: "classic",
            # Static: a candidate that was killed and started again within its session leads on at once,
            # and brokers refuse what carries the standing of a member that is none any more.
            "group.instance.id": name,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": session,
            "heartbeat.interval.ms": min(_HEARTBEAT_MS, session // 4),
        }


def build_candidate(resolved: ResolvedTopology, slot: str, servers: str, reporter: Reporter) -> Candidate:
    """Connect a candidate.

    Args:
        resolved: the application, with its leader tasks.
        slot: the candidate's slot.
        servers: the brokers.
        reporter: told about progress.

    Raises:
        HandlerError: a task cannot be served.
        ClusterError: the client refuses the settings.
    """
    topology = resolved.topology
    clients = LeaderClients(topology, slot, servers)
    plans = {name: plan_task(task, topology.app) for name, task in resolved.leader_tasks.items()}
    identity = CandidateIdentity(slot, socket.gethostname(), os.getpid(), topology.leader_id)
    runs = TaskRuns()

    def new_term(standing: Standing) -> Term:
        ports = TermPorts(clients.candidates, clients.writer, clients.history, standing)
        return Term(plans, identity, ports, runs)

    watch = TopicWatch(servers, topology.leader_id, CALL_TIMEOUT_S, topology.kafka)
    return Candidate(clients.consumer, new_term, reporter, watch, topology.leader_id)


def record_sizes(topology: Topology) -> dict[str, Any]:
    """How large records and batches of the leader's producer may be: as of a processor's."""
    names = {name for task in topology.leader_tasks.values() for name in task.writes}
    limits = [int(topology.topic(name).config.get(MAX_BYTES, BROKER_MAX_BYTES)) for name in names]
    limits.append(BROKER_MAX_BYTES)
    return {"message.max.bytes": max(limits), "batch.size": min(1_000_000, *limits)}
