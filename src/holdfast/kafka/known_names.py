"""Which names of client properties librdkafka knows, asked without a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from confluent_kafka import KafkaException, Producer

_NO_PROPERTY = "holdfast.no.such.property"
"""Is refused behind the name in question, so that no client is made."""

_PLUGINS = "plugin."
"""How properties begin that load libraries, which bring names of their own."""


def unknown_names(names: Iterable[str]) -> Iterator[str]:
    """Yield those that this librdkafka does not know; none where plugins may know them."""
    given = list(names)
    if not any(name.startswith(_PLUGINS) for name in given):
        yield from (name for name in given if not _is_known(name))


def _is_known(name: str) -> bool:
    try:
        # Names are looked up in the order of the mapping.
        Producer({name: "", _NO_PROPERTY: ""})
    except KafkaException as error:
        text = str(error.args[0])
        return "No such configuration property" not in text or _NO_PROPERTY in text
    except (AttributeError, TypeError, ValueError):
        # The client itself knows it, and wants a function there, or a mapping.
        return True
    raise AssertionError("a client was made of a property that there is not")
