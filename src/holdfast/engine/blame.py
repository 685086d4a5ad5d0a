"""Where an error comes from: the lines of the user's code, without ours around them.

A handler is called from our loop, so every traceback begins with frames that say nothing to a user.
"""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

from holdfast.errors import HoldfastError

_OURS = str(Path(__file__).parents[1]) + os.sep
_LIBRARIES = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def explain(error: BaseException) -> str:
    """An error in one line: its class unless it is ours, its text, and the user's line it comes from."""
    text = text_of(error)
    said = text if isinstance(error, HoldfastError) else f"{type(error).__name__}: {text}"
    place = place_of(error)
    return f"{said} ({place})" if place else said


def text_of(error: BaseException) -> str:
    """An error's text, fit for any file, also when its class is the user's and cannot make one."""
    try:
        # A lone surrogate is no text to a log in UTF-8: the line that names the error would be lost for it.
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 - whatever it raises, the error must be told all the same
        return "(its text cannot be made)"


def place_of(error: BaseException) -> str | None:
    """`file:line` of the innermost frame in the user's code, or None when there is none.

    A frame of a library counts only when the handler itself is part of one.
    """
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        frames = [
            (code.co_filename, line)
            for frame, line in traceback.walk_tb(at.__traceback__)
            if not (code := frame.f_code).co_filename.startswith(_OURS)
        ]
        if frames:
            own = [place for place in frames if not place[0].startswith((*_LIBRARIES, "<"))]
            file, line = own[-1] if own else frames[0]
            return f"{file}:{line}"
        at = at.__cause__ or at.__context__
    return None


def stack_of(error: BaseException) -> str:
    """The traceback from the handler on, for a log.

    Empty for an error of ours that no code of the user's took part in: its text says it all. Anything
    else without a frame of the user's is a fault of ours, and has its whole traceback.
    """
    told = traceback.TracebackException.from_exception(error)
    found = False
    for one in _chain(told):
        theirs = [frame for frame in one.stack if not frame.filename.startswith(_OURS)]
        found = found or bool(theirs)
        one.stack = traceback.StackSummary.from_list(theirs)
    if found:
        return "".join(told.format())
    return "" if isinstance(error, HoldfastError) else "".join(traceback.format_exception(error))


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """An error with its causes, contexts and the members of groups."""
    left = [told]
    while left:
        one = left.pop()
        yield one
        left += [it for it in (one.__cause__, one.__context__, *(one.exceptions or ())) if it is not None]
