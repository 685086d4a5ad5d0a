"""What is wrong with faults by chance."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.chaos.experiment.draft import Draft
from holdfast.chaos.experiment.model import MOST_FAULTS, Mix
from holdfast.chaos.experiment.schedule import periods
from holdfast.chaos.experiment.words import span_text
from holdfast.declaration.source import Location, Problem, dotted


def mix_problems(draft: Draft) -> Iterator[Problem]:
    """Yield what is wrong with when faults come, and with what they are chosen from."""
    if draft.mix is not None:
        yield from _times(draft.mix, draft.head.time_limit_ms if draft.head else None)
        if draft.mix.at_once > len(draft.mix.choose):
            text = f"there are only {len(draft.mix.choose)} faults to choose from"
            yield Problem(("random", "at_once"), text)
    for at, choice in draft.choices:
        if choice.fault.kind.open_end:
            name = choice.fault.kind.name
            text = f"`{name}` goes on until it is done, and may reach into a quiet period: use a time line"
            yield Problem((*at, "fault"), text)
    seen: list[tuple[Location, object]] = []
    for at, choice in draft.choices:
        twin = next((place for place, fault in seen if fault == choice.fault), None)
        if twin is not None:
            text = f"the fault stands twice ({dotted(twin)}); keep one, and give it a `weight`"
            yield Problem(at, text)
        seen.append((at, choice.fault))


def _times(mix: Mix, limit_ms: int | None) -> Iterator[Problem]:
    shortest, longest = mix.lasting.min_ms, mix.lasting.max_ms
    if longest < shortest:
        yield Problem(("random", "for", "max"), "it must not be shorter than `min`")
    if longest > mix.every_ms:
        text = (
            f"a fault begins and ends within its period of {span_text(mix.every_ms)}, or quiet ones "
            "would not be quiet: lower this, or raise `every`"
        )
        yield Problem(("random", "for", "max"), text)
    if limit_ms is None:
        return
    if limit_ms - mix.clean_start_ms - mix.calm_end_ms < mix.every_ms:
        text = (
            f"no period fits: between `clean_start` and `calm_end` the time limit of {span_text(limit_ms)} "
            f"leaves less than {span_text(mix.every_ms)}"
        )
        yield Problem(("random", "every"), text)
        return
    count, quiet = periods(mix, limit_ms)
    most = (count - quiet) * min(mix.at_once, len(mix.choose))
    if most > MOST_FAULTS:
        text = f"that makes up to {most:,} faults, and a run has {MOST_FAULTS:,} at most: raise it"
        yield Problem(("random", "every"), text)
