"""Who gives a command."""

from __future__ import annotations

import getpass
import os
import socket

import pytest

from holdfast.cli.who import who


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_told_by_number(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in some containers; Python 3.13 raises another error than those before it."""

    def nameless() -> str:
        raise error

    assert who() == f"{getpass.getuser()}@{socket.gethostname()}"
    monkeypatch.setattr(getpass, "getuser", nameless)
    assert who() == f"uid {os.getuid()}@{socket.gethostname()}"
