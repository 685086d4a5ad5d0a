"""What faults need of the machine, as data: capabilities, devices, libraries, an engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """Something that not every machine has, or not every user.

    Attributes:
        name: how a table says it.
        capabilities: of the process, as Linux names them (capabilities(7)).
        devices: files that have to be there.
        parts: other things, as the runner looks for them and as messages name them.
        remedy: what to do where a part of it is missing.
    """

    name: str
    remedy: str
    capabilities: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def all_parts(self) -> tuple[str, ...]:
        """Everything that it takes."""
        return (*self.capabilities, *self.devices, *self.parts)


LIBFAKETIME = "libfaketime"
ENGINE = "a Docker engine"
CONTAINERS_EXTRA = "the extra `containers` of Holdfast"
TOOLS = ("nsenter", "mkfs.ext4", "mount")
"""Programs that needs name."""

_AS_ROOT = "run as root, or in a container that is privileged"

# CAP_SYS_ADMIN: a namespace of the network is made with it (namespaces(7)).
NAMESPACES = Need(
    "network namespaces",
    f"{_AS_ROOT} (docker run --cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun), with util-linux",
    ("CAP_NET_ADMIN", "CAP_SYS_ADMIN"),
    ("/dev/net/tun",),
    ("nsenter",),
)
LOOP_DISKS = Need(
    "loop disks",
    f"{_AS_ROOT} (docker run --privileged), with e2fsprogs and mount",
    ("CAP_SYS_ADMIN",),
    ("/dev/loop-control",),
    ("mkfs.ext4", "mount"),
)
FAKETIME = Need(
    "libfaketime",
    "install it (Debian, Ubuntu: apt install libfaketime; Fedora: dnf install libfaketime)",
    parts=(LIBFAKETIME,),
)
CONTAINER_ENGINE = Need(
    "Docker",
    "start Docker, and see that `docker info` answers for this user; install the extra beside Holdfast "
    "(pip install '.[containers]' in a checkout)",
    parts=(ENGINE, CONTAINERS_EXTRA),
)

NEEDS = (NAMESPACES, LOOP_DISKS, FAKETIME, CONTAINER_ENGINE)
