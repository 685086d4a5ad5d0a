"""What is wrong with rolling upgrades, seen from each other: all brokers begin with one older release."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.chaos.experiment.draft import Draft
from holdfast.chaos.experiment.targets import Role, Target
from holdfast.declaration.source import Location, Problem, dotted


def upgrade_problems(draft: Draft) -> Iterator[Problem]:
    """Yield upgrades from a second release, and those that would find brokers upgraded already."""
    first: tuple[Location, object] | None = None
    upgraded: list[tuple[Location, Target | None]] = []
    # None comes by chance: `broker.rolling` has no known end, and so is for time lines.
    for at, timed in draft.time_line:
        release, target = timed.fault.parameters.get("upgrade_from"), timed.fault.target
        if release is None:
            continue
        first = first or (at, release)
        before = next((place for place, other in upgraded if _may_be_same(target, other)), None)
        if release != first[1]:
            text = f"the brokers begin with one release, which is {first[1]} ({dotted(first[0])}); name that"
            yield Problem((*at, "upgrade_from"), text)
        elif timed.times > 1:
            text = "from the second time on the brokers are upgraded already; remove it"
            yield Problem((*at, "times"), text)
        elif before is not None:
            text = (
                f"these may be brokers that are upgraded already ({dotted(before)}); remove it, or name "
                "another broker in each (`target: broker-2`)"
            )
            yield Problem((*at, "upgrade_from"), text)
        upgraded.append((at, target))


def _may_be_same(one: Target | None, other: Target | None) -> bool:
    """Whether two targets may be the same broker: only those that are named are known before the run."""
    return (
        one is None or other is None or {one.role, other.role} != {Role.BROKER} or one.number == other.number
    )
