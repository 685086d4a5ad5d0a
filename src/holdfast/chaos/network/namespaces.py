"""Network namespaces with one tunnel device each: hosts of a network that exists only in this process.

A host has loopback, and a device ``hf0`` whose other end is a file descriptor: what a program in the
namespace sends to other hosts is read from it, packet by packet, and what is written to it arrives there.
The kernel removes device and namespace when the last process that holds them ends, however it ends.

Why not ``tc netem``: many kernels lack it (it is a module), and it needs a bridge and firewall rules that
outlive a killed program. See docs/adr/0032.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from holdfast.errors import ChaosError

T = TypeVar("T")

MTU = 9000
"""Bytes of the largest packet: few of them at full load, and a lost one is no catastrophe."""

_CLONE_NEWNET = 0x4000_0000
_TUN_SET_INTERFACE = 0x400454CA
_TUN, _NO_PACKET_INFORMATION = 0x0001, 0x1000
_SET_ADDRESS, _SET_MASK, _SET_MTU, _SET_FLAGS = 0x8916, 0x891C, 0x8922, 0x8914
_UP, _RUNNING = 0x1, 0x40
_DEVICE = b"hf0"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace of the lab.

    Attributes:
        address: its IPv4 address.
        namespace: an open descriptor of the namespace.
        tunnel: the end of its device where its packets come out; never blocks.
    """

    address: str
    namespace: int
    tunnel: int


def make_host(*addresses: str) -> Host:
    """Make a namespace with these addresses on its device.

    Raises:
        ChaosError: the permission or the tunnel device is missing; says what is needed.
    """
    return _on_a_thread(lambda: _make(addresses))


def enter(namespace: int) -> None:
    """Move the calling thread, and what it starts from now on, into a namespace.

    Raises:
        OSError: without the permission.
    """
    _checked(_libc.setns(namespace, _CLONE_NEWNET))


def _on_a_thread(make: Callable[[], T]) -> T:
    """Run on a thread of its own, since a namespace is entered by threads and only ends with them."""
    result: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            result.append(make())
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return result[0]


def _make(addresses: tuple[str, ...]) -> Host:
    try:
        _checked(_libc.unshare(_CLONE_NEWNET))
        namespace = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("16sH14x", _DEVICE, _TUN | _NO_PACKET_INFORMATION)
        fcntl.ioctl(tunnel, _TUN_SET_INTERFACE, request)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            _bring_up(control, b"lo")
            for number, address in enumerate(addresses):
                # Further addresses belong to what the system calls an alias of the device.
                _address(control, _DEVICE + (b":%d" % number if number else b""), address)
            fcntl.ioctl(control, _SET_MTU, struct.pack("16si12x", _DEVICE, MTU))
            _bring_up(control, _DEVICE)
    except OSError as error:
        raise ChaosError(
            f"cannot make a network namespace: {error.strerror or error}. It takes Linux, CAP_NET_ADMIN and "
            "CAP_SYS_ADMIN (run as root, or in a container with --privileged), and the device /dev/net/tun."
        ) from error
    return Host(addresses[0], namespace, tunnel)


def _bring_up(control: socket.socket, device: bytes) -> None:
    fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh14x", device, _UP | _RUNNING))


def _address(control: socket.socket, device: bytes, address: str) -> None:
    for request, value in ((_SET_ADDRESS, address), (_SET_MASK, "255.255.255.0")):
        packed = struct.pack("16sH2s4s8x", device, socket.AF_INET, b"\0\0", socket.inet_aton(value))
        fcntl.ioctl(control, request, packed)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno() or errno.EPERM
        raise OSError(number, os.strerror(number))
