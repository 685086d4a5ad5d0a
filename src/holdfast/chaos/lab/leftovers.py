"""Topics and groups of a run on a cluster of somebody else: all begin with its prefix, and go after it.

``python -m holdfast.chaos.lab.leftovers SERVERS PREFIX SECONDS`` deletes them. It is a program, so that the
guard of a run that was killed can do it as well.
"""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections.abc import Sequence

from holdfast.chaos.undo.actions import Run
from holdfast.errors import BrokersUnreachable, ChaosError, HoldfastError
from holdfast.kafka.admin import TopicAdmin
from holdfast.kafka.groups import GroupAdmin
from holdfast.kafka.identity import identify

_LOOK_S = 0.5
_FORM = re.compile(r"holdfast-chaos-[0-9a-f]{12}-")


def new_prefix() -> str:
    """A prefix that no other run has, and nobody's topic begins with."""
    return f"holdfast-chaos-{secrets.token_hex(6)}-"


def removal(servers: str, prefix: str, within: float) -> Run:
    """What removes everything of a run, for a stranger.

    Args:
        servers: where the cluster is.
        prefix: of the run.
        within: seconds; a group can be deleted once its members' sessions are over.
    """
    command = (sys.executable, "-m", __name__, servers, prefix, str(within))
    return Run(command=command, timeout_s=within + 10.0)


def remove(servers: str, prefix: str, within: float) -> None:
    """Delete all topics and groups whose names begin with the prefix of a run.

    It looks again until there are none: a worker that is ending may bring one back. It asks again, too, where
    a broker does not answer: what that one alone knows would be left.

    Raises:
        ChaosError: it is no prefix of a run, or something is left after so many seconds; names it.
        ClusterError: the brokers do not answer, or refuse it.
    """
    if not _FORM.fullmatch(prefix):
        raise ChaosError(f'"{prefix}" is no prefix of a run: nothing is deleted')
    deadline = time.monotonic() + within
    topics, clean = TopicAdmin(servers), 0
    with GroupAdmin(servers) as groups:
        # The second look may ask another broker, which does not know of it yet.
        while clean < 2:
            is_late = time.monotonic() > deadline
            try:
                left = _remove_once(servers, prefix, topics, groups)
            except BrokersUnreachable:
                if is_late:
                    raise
                clean = 0
            else:
                if left and is_late:
                    raise ChaosError(f"after {within:.0f} s there still are, at {servers}: {', '.join(left)}")
                clean = 0 if left else clean + 1
            time.sleep(_LOOK_S)


def _remove_once(servers: str, prefix: str, topics: TopicAdmin, groups: GroupAdmin) -> Sequence[str]:
    """Delete what is there; return its names, as deleting takes effect a little later."""
    found = [name for name in identify(servers).topics if name.startswith(prefix)]
    topics.delete(found)
    named = [name for name in groups.groups() if name.startswith(prefix)]
    for name in named:
        groups.delete(name)
    return [*(f"topic {name}" for name in found), *(f"group {name}" for name in named)]


def main() -> None:
    """Delete what the command line names; the exit code is 1, and a reason is told, if that fails."""
    servers, prefix, within = sys.argv[1:]
    try:
        remove(servers, prefix, float(within))
    except HoldfastError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
