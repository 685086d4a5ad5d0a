"""What Redis's errors mean for a sink, by the word that they begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redis import exceptions

from holdfast.errors import SinkDown, SinkError

_DOWN: Final = (
    *("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "NOSCRIPT", "OOM"),
    *("READONLY", "TRYAGAIN", "UNBLOCKED"),
)
"""Of the server's state: another's script runs, it loads its file, it has no master, disk, replicas or
memory, it is a replica."""

DECLARED_WRONGLY: Final = (
    *("noperm", "acl failure", "executing the script can", "unknown redis command", "unknown command"),
    *("unknown subcommand", "wrong number of arg", "not allowed from script", "syntax error"),
)
"""Of a command, in whatever version's words: no record is to blame, but the handler or the user's rights."""

_LEAST_VERSION: Final = 7

_STRANGERS: Final = ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED")


def judge(text: str, sink: str) -> SinkError:
    """Tell what to do about what the server says of a whole batch.

    Returns:
        `SinkDown` if it takes no writes now; else `SinkError`.
    """
    if text.startswith(_DOWN):
        return SinkDown(f"sink {sink!r}: {text}")
    return SinkError(f"sink {sink!r} cannot be written to: {text}")


def judge_connecting(error: exceptions.RedisError | OSError, sink: str, where: str) -> SinkError:
    """Tell what to do when no connection comes about.

    Args:
        error: what the client raised.
        sink: the sink's name, for messages.
        where: the server.

    Returns:
        `SinkError` if it never will with this address, else `SinkDown`.
    """
    text = text_of(error)
    if isinstance(error, exceptions.BusyLoadingError):
        return SinkDown(f"sink {sink!r}: {where} loads its data ({text})")
    if isinstance(error, exceptions.InvalidResponse):
        return SinkError(
            f"sink {sink!r}: what answers at {where} is no Redis ({text}); mend its declared address"
        )
    strange = isinstance(error, (exceptions.AuthenticationError, exceptions.AuthorizationError))
    if strange or text.startswith(_STRANGERS):
        return SinkError(
            f"sink {sink!r}: {where} refuses its user or password, or the rights of that user: {text}"
        )
    if isinstance(error, exceptions.ResponseError) and not text.startswith(_DOWN):
        return SinkError(f"sink {sink!r} cannot be reached as declared, at {where}: {text}")
    return SinkDown(f"sink {sink!r}: {where}: {text}")


def unfit(told: Mapping[str, str]) -> str | None:
    """Why a server cannot be a sink; None if it can.

    Args:
        told: what it says of itself (`INFO`).
    """
    if told.get("redis_mode") == "cluster" or told.get("cluster_enabled") == "1":
        return (
            "is part of a Redis Cluster, whose nodes cannot write a record and its position together; use a "
            "single Redis, or one behind Sentinel"
        )
    if told.get("redis_mode") == "sentinel":
        return "is a Sentinel; name it under `sentinels`, with `master`, instead of `url`"
    version = told.get("redis_version", "")
    if version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) < _LEAST_VERSION:
        return (
            f"is Redis {version}, which hands scripts to its replicas as text and not as what they did; "
            f"Redis {_LEAST_VERSION} is needed, or newer"
        )
    policy = told.get("maxmemory_policy", "")
    if told.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):
        return (
            f"deletes any key when its memory is full (maxmemory-policy {policy}), the inputs' positions "
            "too; set noeviction, or a policy that begins with volatile"
        )
    return None


def text_of(error: BaseException) -> str:
    """What an error says, in one line, with the server's word for it: the client cuts off those it knows."""
    text = " ".join(str(error).split()) or type(error).__name__
    code = getattr(error, "status_code", None)
    return f"{code} {text}" if code and not text.startswith(code) else text
