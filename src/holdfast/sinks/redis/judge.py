"""What Redis's errors mean for a sink, by the word that they begin with."""

from __future__ import annotations

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
            f"sink {sink!r}: what answers at {where} is no Redis ({text}); mend its address in topology.yaml"
        )
    strange = isinstance(error, (exceptions.AuthenticationError, exceptions.AuthorizationError))
    if strange or text.startswith(_STRANGERS):
        return SinkError(
            f"sink {sink!r}: {where} refuses its user or password, or the rights of that user: {text}"
        )
    if isinstance(error, exceptions.ResponseError) and not text.startswith(_DOWN):
        return SinkError(f"sink {sink!r} cannot be reached as declared, at {where}: {text}")
    return SinkDown(f"sink {sink!r}: {where}: {text}")


def text_of(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
