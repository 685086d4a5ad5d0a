"""Workers whose user lacks a right: they say which, instead of waiting for ever and looking healthy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from holdfast.kafka.settings import admin_config
from holdfast.local.cluster import EmbeddedCluster
from holdfast.local.ports import HOST, free_ports
from holdfast.local.spec import ClusterSpec, NodeSpec
from holdfast.runtime.supervisor import WorkerState
from tests.support.application import Application
from tests.support.events import Added
from tests.unit.runtime.kit import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

USER, PASSWORD = "ann", "of-no-use-elsewhere"
LOGIN = {
    "security.protocol": "sasl_plaintext",
    "sasl.mechanism": "PLAIN",
    "sasl.username": USER,
    "sasl.password": PASSWORD,
}


@dataclass
class Guarded:
    """Overrides for brokers that ask who one is on a second listener; on the first one may do everything."""

    ports: dict[int, int] = field(default_factory=dict)

    def __call__(self, cluster: ClusterSpec, node: NodeSpec) -> Mapping[str, str]:
        """The settings of one broker."""
        taken = {port for each in cluster.nodes for port in (each.port, each.controller_port)}
        if node.id not in self.ports:
            (self.ports[node.id],) = free_ports(1, taken=taken | set(self.ports.values()))
        port = self.ports[node.id]
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            "listeners": (
                f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port},"
                f"GUARDED://{HOST}:{port}"
            ),
            "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port},GUARDED://{HOST}:{port}",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,GUARDED:SASL_PLAINTEXT"
            ),
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": f'{module} required user_{USER}="{PASSWORD}";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }


class Rights:
    """The rights of the user on these brokers: everything, but for what is taken.

    Attributes:
        servers: where one may do everything.
        guarded: where one has the rights of the user.
    """

    def __init__(self, servers: str, guarded: str) -> None:
        self.servers, self.guarded = servers, guarded
        self._admin = AdminClient(admin_config(servers))
        for kind in (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID):
            self._add(kind, "*", AclOperation.ALL, AclPermissionType.ALLOW)
        self._add(ResourceType.BROKER, "kafka-cluster", AclOperation.ALL, AclPermissionType.ALLOW)

    def may_not_read(self, kind: ResourceType, name: str) -> None:
        """Take the right to read something; to describe it stays allowed."""
        self._add(kind, name, AclOperation.READ, AclPermissionType.DENY)

    def _add(self, kind: ResourceType, name: str, what: AclOperation, how: AclPermissionType) -> None:
        facts = (kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", what, how)
        for added in self._admin.create_acls([AclBinding(*facts)]).values():
            added.result(30)
        wait_until(lambda: self._admin.describe_acls(AclBindingFilter(*facts)).result(30), 30)


@pytest.fixture(scope="module")
def rights() -> Iterator[Rights]:
    """Brokers with an authorizer."""
    guarded = Guarded()
    with EmbeddedCluster.temporary(overrides=guarded) as cluster:
        yield Rights(cluster.bootstrap_servers, ",".join(f"{HOST}:{port}" for port in guarded.ports.values()))


@pytest.fixture
def app(rights: Rights, tmp_path: Path, unique_name: Callable[[str], str]) -> Application:
    """An application whose workers log in."""
    made = Application(tmp_path, rights.servers, unique_name("app"), kafka=LOGIN, topic={"partitions": 1})
    made.worker_servers = rights.guarded
    made.provision()
    made.publish(*(Added(key=f"k{i % 9}", n=i) for i in range(100)))
    return made


def test_a_worker_that_may_not_read_its_changelog_says_so_and_ends(app: Application, rights: Rights) -> None:
    """The changelog may be described: all questions before the first fetch are answered."""
    with app.run() as run:
        run.until_drained()
    shutil.rmtree(app.home)
    rights.may_not_read(ResourceType.TOPIC, app.changelog)
    with app.run() as run:
        view = run.views[0]
        run.until(lambda: view.state is WorkerState.FAILED, 60, "the end of the worker", failing=True)
        assert app.changelog in view.error
        assert "this user lacks the right" in view.error


def test_a_worker_that_may_not_read_in_its_group_says_so_and_ends(app: Application, rights: Rights) -> None:
    """The client says it once, and would go on to ask."""
    rights.may_not_read(ResourceType.GROUP, app.group)
    with app.run() as run:
        view = run.views[0]
        run.until(lambda: view.restarts, 60, "the end of the worker")
        assert app.group in view.error
        assert "this user may not read in this group" in view.error
