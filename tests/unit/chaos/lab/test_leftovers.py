"""What a run leaves on a cluster of others is looked for until every broker has said that it is gone."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Self

import pytest

from holdfast.chaos.lab.leftovers import new_prefix, remove
from holdfast.errors import BrokersUnreachable

PREFIX = new_prefix()
GROUP = f"{PREFIX}group"


class Groups:
    """A cluster's groups, as brokers tell that answer from the second question on, or never."""

    def __init__(self, names: Sequence[str], *, answers: bool = True) -> None:
        self.names = list(names)
        self._answers = answers
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def groups(self) -> Sequence[str]:
        """What is there now."""
        self._asked += 1
        if self._asked == 1 or not self._answers:
            raise BrokersUnreachable("one broker does not answer")
        return tuple(self.names)

    def delete(self, name: str) -> None:
        """Delete a group."""
        self.names.remove(name)


def on(monkeypatch: pytest.MonkeyPatch, groups: Groups) -> None:
    """Let the groups be those of the cluster, which has no topics."""
    where = "holdfast.chaos.lab.leftovers"
    monkeypatch.setattr(f"{where}._LOOK_S", 0.01)
    monkeypatch.setattr(f"{where}.identify", lambda _: SimpleNamespace(topics=()))
    monkeypatch.setattr(f"{where}.TopicAdmin", lambda _: SimpleNamespace(delete=lambda _: None))
    monkeypatch.setattr(f"{where}.GroupAdmin", lambda _: groups)


def test_a_broker_that_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = Groups([GROUP, "of-others"])
    on(monkeypatch, groups)
    remove("a:1", PREFIX, 5.0)
    assert groups.names == ["of-others"]


def test_it_is_told_when_the_time_is_over_and_a_broker_has_not_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on(monkeypatch, Groups([GROUP], answers=False))
    with pytest.raises(BrokersUnreachable, match="one broker does not answer"):
        remove("a:1", PREFIX, 0.1)
