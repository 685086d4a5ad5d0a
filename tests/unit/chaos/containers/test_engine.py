from __future__ import annotations

import builtins
import gc
from pathlib import Path
from typing import Any

import pytest

from holdfast.chaos.containers.cluster import ContainerCluster
from holdfast.chaos.containers.engine import connect
from holdfast.errors import ContainerError, EngineMissing


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_machine_without_an_engine_is_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that the embedded cluster does without."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineMissing, match=r"compose/engine start.*The embedded cluster needs none"):
        connect()
    gc.collect()  # the client leaves the socket open that found nobody: here, not in some later test


def test_without_the_extra_it_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holdfast by itself brings no client of Docker."""
    real = builtins.__import__

    def missing(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == "docker":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(EngineMissing, match=r"pip install '\.\[containers\]'"):
        connect()


def test_a_cluster_that_was_not_started_has_no_nodes() -> None:
    """Nor addresses."""
    cluster = ContainerCluster()
    assert cluster.node_ids == (1, 2, 3)
    with pytest.raises(ContainerError, match="does not run; call start"):
        cluster.kill(1)
    with pytest.raises(ContainerError, match="does not run; call start"):
        _ = cluster.bootstrap_servers
