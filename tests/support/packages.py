"""Programs of the system that tests need: installed from Debian's packages where they are missing."""

from __future__ import annotations

import os
import subprocess


def install(*packages: str) -> None:
    """Install packages, as root or with sudo."""
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        subprocess.run([*as_root, "apt-get", *arguments], check=True, env=environment, capture_output=True)
