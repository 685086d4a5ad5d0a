"""Whether a client may have left a request behind: on a connection that it lost, or gave up waiting on.

A client that loses a connection sends its requests again on another one. It does so by itself, also with
those that end a transaction, and nothing that it returns tells of it. The first request may still be on its
way, and reach the broker when the client's next transaction has begun. librdkafka speaks EndTxn v1, without
the protection of KIP-890: such a request then ends that transaction, half written.

The client tells of a lost connection in one place only, its log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

_LEVEL: Final = 6
"""The client's log level that shows every lost connection but idle ones, on which nothing can be left."""

_TELLING: Final = ("FAIL", "REQTMOUT")
"""How the client calls lost connections, and requests that were not answered in time."""

_NOT_YET_CONNECTED = re.compile(r"in state (?:TRY_CONNECT|CONNECT|SSL_HANDSHAKE|APIVERSION_QUERY)\b")
"""A connection on which nothing of ours was sent yet: a broker that is down, mostly, or something before it
that takes connections and closes them. While it authenticates it may be an old one: they do so repeatedly."""


class LostRequests:
    """The log of one client, which listens to what it passes on; `settings` has the client write it.

    Attributes:
        reason: what was lost, in the client's words; "" as long as nothing was.
    """

    def __init__(self, target: logging.Logger) -> None:
        self.reason = ""
        self._target = target

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A client's settings with this as its log, in which no lost connection is missing."""
        level = max(int(given.get("log_level", _LEVEL)), _LEVEL)
        return {**given, "logger": self, "log_level": level, "log.connection.close": True}

    def log(self, level: int, form: str, facility: str, *rest: Any) -> None:
        """Take a line of the client's log."""
        text = str(rest[-1]) if rest else ""
        if facility in _TELLING and not self.reason and _may_leave_requests(text):
            self.reason = text
        self._target.log(level, form, facility, *rest)


def _may_leave_requests(text: str) -> bool:
    return not _NOT_YET_CONNECTED.search(text)
