"""When all workers of a run do what they should."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from holdfast.chaos.lab.workers import Workers
from holdfast.runtime.status import WorkerStatus
from holdfast.runtime.supervisor import WorkerSpec, WorkerView


class Seen(Workers):
    """Workers that say this of themselves: shards by processor and slot, or a role."""

    def __init__(self, shards: Mapping[str, int], said: Mapping[str, list[int | str]]) -> None:
        super().__init__({}, shards)
        self._said = said

    def views(self) -> dict[str, WorkerView]:
        """As they say it."""
        found = {}
        for processor, each in self._said.items():
            for number, said in enumerate(each):
                view = WorkerView(WorkerSpec(processor, f"worker-{number}", lambda _: []))
                view.status = (
                    WorkerStatus(role=said)
                    if isinstance(said, str)
                    else WorkerStatus(shards={"running": said})
                )
                found[f"{processor}-{number}"] = view
        return found


@pytest.mark.parametrize(
    ("said", "is_whole"),
    [
        ({"saga": [3, 3], "ledger": [6]}, True),
        ({"saga": [3, 2], "ledger": [6]}, False),
        ({"saga": [6, 0], "ledger": [6]}, False),
        ({"saga": [3, 3], "ledger": [5]}, False),
        ({"saga": [3, 3]}, False),
        ({"saga": [1, 1, 1, 1, 1, 1, 0], "ledger": [6]}, True),
    ],
)
def test_each_processor_has_all_of_its_shards(said: dict[str, list[int | str]], is_whole: bool) -> None:
    """Not the sum over all: what one has too many of is not what another one lacks."""
    assert Seen({"saga": 6, "ledger": 6}, said).is_whole == is_whole


@pytest.mark.parametrize(
    ("said", "is_whole"),
    [
        ({"view": [0, 4], "leader": ["candidate", "leading (token 3)"]}, True),
        ({"view": [0, 0], "leader": ["candidate", "leading (token 3)"]}, False),
        ({"view": [0, 4], "leader": ["candidate", "being elected"]}, False),
    ],
)
def test_of_faust_and_of_candidates_somebody_has_to_work(
    said: dict[str, list[int | str]], is_whole: bool
) -> None:
    assert Seen({}, said).is_whole == is_whole
