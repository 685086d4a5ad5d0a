"""Brokers that began with an older release are upgraded when the newer one is there, and not before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.chaos.lab.embedded import EmbeddedLab, LabSettings
from holdfast.errors import EmbeddedClusterError
from holdfast.local.cluster import EmbeddedCluster
from holdfast.local.housing import Housing
from holdfast.local.jvm import Kafka
from holdfast.local.node import Node
from holdfast.local.progress import Progress
from holdfast.local.startup import claim

OLDER, NEWER = (Path("kafka_2.13-4.2.1.jar"),), (Path("kafka_2.13-4.3.1.jar"),)


class Jars:
    """Jars of which only the older release can be fetched until the network is there."""

    is_online = False

    def __init__(self, *, jars: Sequence[Path] = NEWER) -> None:
        self._jars = jars

    def class_path(self, _progress: Progress | None = None) -> Sequence[Path]:
        """Return them.

        Raises:
            EmbeddedClusterError: they cannot be fetched.
        """
        if self._jars is NEWER and not self.is_online:
            raise EmbeddedClusterError("cannot download it")
        return self._jars


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has the older release, and no network."""
    monkeypatch.setattr(Jars, "is_online", False)
    monkeypatch.setattr("holdfast.local.cluster.JarCache", Jars)
    monkeypatch.setattr("holdfast.local.cluster.pinned_jars", lambda _: OLDER)
    monkeypatch.setattr("holdfast.local.cluster.ensure_archive", lambda *_: None)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The releases with which nodes are started; none really is."""
    found: list[str] = []

    def launch(_node: Node, kafka: Kafka, _housing: Housing) -> None:
        found.append(kafka.version)

    monkeypatch.setattr(Node, "launch", launch)
    return found


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedCluster:
    """A cluster that began with the older release."""
    monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(tmp_path))  # noqa: ARG005 - named by the caller
    cluster = EmbeddedCluster.temporary(1, release="4.2.1")
    claim(cluster.folder, 1, keep=False)
    return cluster


def test_a_node_starts_with_the_older_release_where_the_newer_one_cannot_be_fetched(
    older: EmbeddedCluster, started: list[str]
) -> None:
    """A killed broker has to come back, whatever became of the upgrade."""
    with pytest.raises(EmbeddedClusterError, match="cannot download it"):
        older.upgrade()
    older.start_node(1)
    assert started == ["4.2.1"]


def test_nodes_start_with_the_newer_release_after_an_upgrade(
    older: EmbeddedCluster, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    older.start_node(1)
    monkeypatch.setattr(Jars, "is_online", True)
    older.upgrade()
    older.start_node(1)
    assert started == ["4.2.1", "4.3.1"]


def test_a_lab_has_both_releases_before_its_brokers_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the midst of a run is too late to learn that one cannot be fetched."""
    started: list[str] = []

    @contextmanager
    def guard(*_: Path) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace()

    monkeypatch.setattr("holdfast.chaos.lab.guarded.Guard", guard)
    monkeypatch.setattr(EmbeddedCluster, "start", lambda _: started.append("brokers"))
    with (
        pytest.raises(EmbeddedClusterError, match="cannot download it"),
        EmbeddedLab(LabSettings(brokers=1, release="4.2.1")),
    ):
        pass
    assert started == []
