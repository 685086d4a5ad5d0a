"""What is said about a choice of dead letters beside the letters themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from holdfast.declaration.source import did_you_mean
from holdfast.runtime.letter_choice import Choice
from holdfast.topology import Topology


def on_order(declared: Topology, processors: Iterable[str]) -> Iterator[str]:
    """Where letters that are redriven may put an old state over a newer one: a line for each such sink.

    Args:
        declared: the application.
        processors: whose letters they are.
    """
    writers: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for name in processors:
        owner = declared.native.get(name)
        if owner is not None and owner.sink is not None:
            writers[owner.sink][owner.name] = None
    for sink, names in writers.items():
        if (how := declared.sink(sink).puts_states) is not None:
            verb = "writes" if len(names) == 1 else "write"
            yield (
                f"{', '.join(names)} {verb} to sink {sink}: a later record of the same key may have been "
                f"written meanwhile, and {how} what is redriven puts its old state over the newer one. "
                "Discard such letters, or publish the present state."
            )


def on_nothing(declared: Topology, choice: Choice) -> Iterator[str]:
    """What may be wrong with a choice that no letter fits: names that the topology does not have."""
    if choice.processor is not None and choice.processor not in declared.native:
        near = did_you_mean(choice.processor, declared.native)
        yield f'{declared.source.path} declares no processor "{choice.processor}"{near}'
    if choice.topic is not None and choice.topic not in declared.topics:
        near = did_you_mean(choice.topic, declared.topics)
        yield f'{declared.source.path} declares no topic "{choice.topic}"{near}'
