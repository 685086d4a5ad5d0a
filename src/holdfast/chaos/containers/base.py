"""The image that all others stand on: Debian without anything else.

It is Debian's own slim image where a registry can be reached. Elsewhere it is made of Debian's packages by
``debootstrap``, which needs root. Either way it has the same name here, and is made once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.chaos.containers.engine import engine_errors
from holdfast.errors import ContainerError
from holdfast.local.progress import Progress

if TYPE_CHECKING:
    from docker import DockerClient

RELEASE = "bookworm"
BASE = f"holdfast-base:{RELEASE}"
PUBLISHED = f"debian:{RELEASE}-slim"

PULL_TIMEOUT_S = 120.0
"""Seconds for 30 MB. Where no registry can be reached that is mostly told at once."""

_REFUSED = (
    f"cannot make the image {BASE}: {PUBLISHED} cannot be pulled ({{pulled}}), and making it of Debian's "
    "packages needs {missing}. Give this machine access to an image registry, or import an image of Debian "
    "under that name."
)


def ensure_base(client: DockerClient, progress: Progress) -> str:
    """Return the id of the base image, making it first if it is not there.

    Raises:
        ContainerError: it can be neither pulled nor made; the message says why for both.
    """
    found = client.images.list(name=BASE)
    if not found:
        pulled = _pull()
        if pulled:
            progress.step(f"Making {BASE} of Debian's packages (once)")
            _bootstrap(client, pulled)
        else:
            client.images.get(PUBLISHED).tag(BASE)
    return str(client.images.get(BASE).id)


def _pull() -> str:
    """Pull Debian's image; return what went wrong, or nothing.

    By the command line, which can be ended: the engine's API answers a pull when it is done, however late.
    """
    docker = shutil.which("docker")
    if docker is None:
        return "there is no `docker` command"
    try:
        done = subprocess.run(
            [docker, "pull", "--quiet", PUBLISHED],
            check=False, capture_output=True, text=True, timeout=PULL_TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {PULL_TIMEOUT_S:.0f} s"
    return "" if done.returncode == 0 else (done.stderr.strip() or "refused").splitlines()[-1]


def _bootstrap(client: DockerClient, pulled: str) -> None:
    if os.geteuid() != 0:
        raise ContainerError(_REFUSED.format(pulled=pulled, missing="root (run this with sudo)"))
    if shutil.which("debootstrap") is None:
        _install_debootstrap(pulled)
    with tempfile.TemporaryDirectory(prefix="holdfast-base-") as folder:
        root = Path(folder) / "root"
        sources = _sources()
        mirror = sources[0].split()[1:2] if sources else []
        _run(["debootstrap", "--variant=minbase", RELEASE, str(root), *mirror], "debootstrap")
        if sources:
            (root / "etc/apt/sources.list").write_text("\n".join(sources) + "\n", encoding="utf-8")
        for litter in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / litter, ignore_errors=True)
        _import(client, root)


def _install_debootstrap(pulled: str) -> None:
    if shutil.which("apt-get") is None:
        raise ContainerError(
            _REFUSED.format(pulled=pulled, missing="the program `debootstrap`; install it first")
        )
    _run(["apt-get", "update", "-qq"], "apt-get update")
    _run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap"],
        "apt-get install debootstrap",
    )


def _sources() -> list[str]:
    """Return where this machine gets Debian's packages, as lines of ``sources.list``; none where it does not.

    So an image is made from the same mirror as the machine itself.
    """
    apt_get = shutil.which("apt-get")
    if apt_get is None:
        return []
    wanted = "deb $(REPO_URI) $(CODENAME) $(COMPONENT)"
    filters = ["Created-By: Packages", "Origin: Debian", "Label: Debian"]
    command = [apt_get, "indextargets", "--format", wanted, *filters]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if f" {RELEASE} main" in line]


def _import(client: DockerClient, root: Path) -> None:
    tar = shutil.which("tar") or "tar"
    repository, tag = BASE.split(":")
    with (
        subprocess.Popen([tar, "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as packing,
        engine_errors(f"making the image {BASE}"),
    ):
        client.api.import_image_from_stream(
            packing.stdout, repository=repository, tag=tag, changes=['CMD ["bash"]', "ENV LANG=C.UTF-8"]
        )
    if packing.returncode != 0:
        raise ContainerError(f"cannot pack {root} for {BASE}: tar failed. Is the disk full?")


def _run(command: list[str], name: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        stdin=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    if done.returncode != 0:
        tail = "\n".join(f"  {line}" for line in done.stdout.strip().splitlines()[-10:])
        raise ContainerError(f"cannot make the image {BASE}: `{name}` failed:\n{tail}")
