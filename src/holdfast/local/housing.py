"""Where the brokers of a cluster live. A laboratory gives them other networks, clocks and disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.local.spec import ClusterSpec, NodeSpec


class Housing:
    """Brokers as plain processes on loopback. Subclasses change what they need to."""

    def settings(self, spec: ClusterSpec, node: NodeSpec) -> Mapping[str, str]:  # noqa: ARG002 - for subclasses
        """Broker settings of the place, which come before those that somebody asked for."""
        return {}

    def prepare(self, spec: ClusterSpec) -> None:
        """Make the place ready: the ports are settled, and no broker of this start runs yet."""

    def command(self, node: NodeSpec, command: Sequence[str]) -> list[str]:  # noqa: ARG002 - for subclasses
        """Return what starts a broker there: at last it is `command` itself (exec), by which it is found."""
        return list(command)

    def environment(self, node: NodeSpec) -> Mapping[str, str]:  # noqa: ARG002 - for subclasses
        """Variables that the broker gets on top of ours."""
        return {}
