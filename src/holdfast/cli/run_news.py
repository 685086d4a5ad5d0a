"""What befalls the workers of `holdfast run`: why they ended, why they wait, which shards stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from holdfast.cli.words import sentence
from holdfast.runtime.supervisor import WorkerView


class _Fact(NamedTuple):
    """Something that is so at present.

    Attributes:
        event: what it is told for, once while it lasts.
        who: whom it befell.
        message: it in words.
    """

    event: Hashable
    who: str
    message: str


class News:
    """Tells each event once: what is over and happens again is told again, in whatever words."""

    def __init__(self) -> None:
        self._told: frozenset[Hashable] = frozenset()

    def of(self, views: Sequence[WorkerView]) -> list[tuple[str, str]]:
        """Who it befell, and what that is, for all that began since the last look."""
        present: dict[Hashable, _Fact] = {}
        for fact in _facts(views):
            present.setdefault(fact.event, fact)
        new = [(fact.who, fact.message) for event, fact in present.items() if event not in self._told]
        self._told = frozenset(present)
        return new


def _facts(views: Sequence[WorkerView]) -> Iterator[_Fact]:
    workers = Counter(view.spec.processor for view in views)
    for number, view in enumerate(views):
        name = view.spec.processor
        who = name if workers[name] == 1 else f"{name} {view.spec.slot}"
        for message in view.shard_failures.values():
            yield _Fact((number, view.restarts, message), name, message)
        if view.error and view.ends:
            yield _Fact((number, view.ends, view.error), who, view.error)
        elif view.error:
            # None came up: what keeps one of them from it most likely keeps them all.
            yield _Fact((name, view.error), name, view.error)
        yield from _waits(view)


def _waits(view: WorkerView) -> Iterator[_Fact]:
    """What it waits for: one event for all workers of a processor, whatever each was told last."""
    name, status = view.spec.processor, view.status
    if status.role:
        if status.why:
            yield _Fact((name, status.why), name, f"waits: {status.why}")
    elif status.restore_waits:
        yield _Fact((name, "restore"), name, f"its restore waits: {status.restore_waits}")
    elif status.waits_for:
        message = f"waits: {sentence(status.why)} Its records stay in their topics"
        yield _Fact((name, "sink", status.waits_for), name, message)
