"""How a node in a container ends, by what the engine says of it."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.chaos.containers.cluster import ContainerCluster


class Container:
    """A container that ends with this exit code when it is stopped."""

    def __init__(self, code: int) -> None:
        self.status = "running"
        self.attrs = {"State": {"ExitCode": 0}}
        self._code = code

    def reload(self) -> None:
        """It is what it is."""

    def stop(self, timeout: int) -> None:  # noqa: ARG002
        self.status = "exited"
        self.attrs["State"]["ExitCode"] = self._code


@pytest.mark.parametrize(("code", "killed"), [(143, False), (0, False), (137, True)])
def test_a_stop_says_whether_the_engine_had_to_kill(code: int, killed: bool) -> None:
    """128 and the number of the signal: SIGTERM is 15, SIGKILL 9."""
    cluster: Any = ContainerCluster(1)
    cluster._containers[1] = Container(code)
    assert cluster.stop_node(1) is killed
