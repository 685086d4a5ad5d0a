"""A rolling upgrade: brokers begin with an older release, and each is restarted with the present one."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.chaos.faults.fault import Evidence
from holdfast.chaos.faults.members import Rolled
from holdfast.chaos.lab.ports import Upgradable
from holdfast.errors import FaultFailed


class Upgraded(Rolled):
    """Servers of an older release are restarted with the present one, one after the other.

    It is the first half of Kafka's rolling upgrade, in which two releases serve together. The second half,
    raising the feature levels of the cluster, is no fault: no broker is restarted for it.

    Args:
        members: the servers.
        names: those that it happens to, in this order.
        release: what they run before.
        pause_s: seconds from when all serve again to the next restart.
    """

    def __init__(self, members: Upgradable, names: Sequence[str], release: str, pause_s: float) -> None:
        super().__init__(members, names, pause_s)
        self._upgradable = members
        self._release = release

    def begin(self) -> Evidence:
        """Restart each in turn; what each runs is seen before and after."""
        before = self._releases()
        if wrong := {name: found for name, found in before.items() if found != self._release}:
            text = ", ".join(f"{name} runs {found or 'not at all'}" for name, found in wrong.items())
            raise FaultFailed(f"they are to be upgraded from Kafka {self._release}, and {text}")
        self._upgradable.upgrade()
        restarted = super().begin()
        after = self._releases()
        if old := [name for name, found in after.items() if found in (None, self._release)]:
            raise FaultFailed(f"{', '.join(old)} did not come back with another release of Kafka: {after}")
        return {**restarted, "before": before, "after": after}

    def _releases(self) -> dict[str, str | None]:
        return {name: self._upgradable.release(name) for name in self._names}
