from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import EmbeddedClusterError
from holdfast.local import folders


def test_environment_variables_move_the_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Data and cache move apart from each other."""
    monkeypatch.setenv("HOLDFAST_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    assert folders.cluster_folder() == tmp_path / "data" / "cluster"
    assert folders.cache_folder() == tmp_path / "cache"


def test_without_variables_the_users_own_folders_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the platform keeps such things."""
    monkeypatch.delenv("HOLDFAST_HOME", raising=False)
    monkeypatch.delenv("HOLDFAST_CACHE", raising=False)
    assert folders.home().name == "holdfast"
    assert folders.cache_folder().name == "holdfast"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """The message says what it was for and how to choose another."""
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EmbeddedClusterError, match=r"cannot write the data in .*file/sub.*VARIABLE"):
        folders.make_folder(tmp_path / "file" / "sub", purpose="the data", variable="VARIABLE")
