"""Clocks of brokers that can be set: libfaketime stands between each broker and the system's clock.

The broker's view of the time of day moves, its monotonic clock does not: what an operator's mistake, or a
virtual machine that was paused, does to it. See https://github.com/wolfcw/libfaketime.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from holdfast.errors import ChaosError

LIBRARY = "libfaketimeMT.so.1"
_PLACES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime")
AT_ONCE_S = 1
"""Seconds after which a broker has seen that its clock was set."""

RIGHT = "+0"


def find_library() -> Path | None:
    """Where libfaketime is on this machine."""
    for place in _PLACES:
        for found in sorted(Path("/").glob(f"{place.lstrip('/')}/{LIBRARY}")):
            return found
    return None


class Clocks:
    """The clocks of a cluster's brokers.

    Args:
        folder: where the offsets are kept, one file for each broker.

    Raises:
        ChaosError: libfaketime is not there.
    """

    def __init__(self, folder: Path) -> None:
        library = find_library()
        if library is None:
            raise ChaosError(
                "clock.jump needs libfaketime, which is not on this machine: apt-get install libfaketime."
            )
        self._library = library
        self._folder = folder

    def file(self, node: int) -> Path:
        """The file that holds a broker's offset."""
        return self._folder / f"clock-{node}"

    def environment(self, node: int) -> Mapping[str, str]:
        """Variables with which a broker is started."""
        self.file(node).write_text(RIGHT)
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file(node)),
            "FAKETIME_CACHE_DURATION": str(AT_ONCE_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Its repair for old C libraries: with it waits of the JVM return at once, and no broker starts.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }


def offset(seconds: float) -> str:
    """An offset as libfaketime reads it."""
    return f"{seconds:+g}"
