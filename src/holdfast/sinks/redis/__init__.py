"""Redis as a sink: what handlers return for it. Importing this needs no client."""

from holdfast.sinks.redis.writes import (
    Command,
    Delete,
    HashIncrement,
    HashSet,
    Increment,
    RedisWrite,
    Set,
    SortedSetAdd,
)

__all__ = [
    "Command",
    "Delete",
    "HashIncrement",
    "HashSet",
    "Increment",
    "RedisWrite",
    "Set",
    "SortedSetAdd",
]
