"""Where the embedded cluster keeps its files.

Two places with different lifetimes: the *data folder* belongs to the user's
work (``HOLDFAST_HOME``), the *cache folder* may be deleted at any time and is
filled again.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from holdfast.errors import EmbeddedClusterError


def home() -> Path:
    """Return Holdfast's data folder: ``HOLDFAST_HOME``, else the user's data folder."""
    configured = os.environ.get("HOLDFAST_HOME")
    return (
        Path(configured).expanduser().absolute()
        if configured
        else Path(platformdirs.user_data_dir("holdfast"))
    )


def cluster_folder() -> Path:
    """Return the folder of the user's embedded cluster."""
    return home() / "cluster"


def cache_folder() -> Path:
    """Return the folder of downloaded and derived files (jars, class archives).

    ``HOLDFAST_CACHE`` replaces the user's cache folder, for machines whose home is
    not writable and for CI systems that keep one folder between runs.
    """
    configured = os.environ.get("HOLDFAST_CACHE")
    return (
        Path(configured).expanduser().absolute()
        if configured
        else Path(platformdirs.user_cache_dir("holdfast"))
    )


def make_folder(folder: Path, *, purpose: str, variable: str) -> Path:
    """Create `folder` and make sure that it can be written to.

    Args:
        folder: the folder to create, with its parents.
        purpose: what it holds, for the message.
        variable: the environment variable that moves it elsewhere, for the message.

    Raises:
        EmbeddedClusterError: it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise EmbeddedClusterError(
            f"cannot write {purpose} in {folder}: {error.strerror or error}. "
            f"Make the folder writable, or set {variable} to one that is."
        ) from error
    return folder
