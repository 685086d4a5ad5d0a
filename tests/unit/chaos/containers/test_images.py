from __future__ import annotations

from types import SimpleNamespace

import pytest

from holdfast.chaos.containers import base, images
from holdfast.chaos.containers.base import ensure_base
from holdfast.errors import ContainerError
from holdfast.local.jars import pinned_jars
from holdfast.local.progress import Silent
from holdfast.local.settings import shared_settings


def test_the_image_has_the_settings_of_the_embedded_cluster() -> None:
    """So that a fail-over takes the same time in both."""
    files = dict(images._written_files())
    settings = dict(line.split("=", 1) for line in files["defaults.properties"].decode().splitlines())
    assert settings == shared_settings(3, 2)


def test_a_node_runs_with_every_pinned_jar_and_forgets_addresses() -> None:
    """A container that is back may have another address, which Java by itself notices after 30 s."""
    options = dict(images._written_files())["broker.options"].decode().splitlines()
    assert all(any(jar.filename in option for option in options) for jar in pinned_jars())
    assert '"-Dsun.net.inetaddr.negative.ttl=0"' in options


def test_the_image_is_made_anew_when_anything_in_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its base, or one of its files; and only then."""
    before = images._key("base")
    assert images._key("base") == before
    assert images._key("another base") != before
    monkeypatch.setattr(images, "shared_settings", lambda *_: {"another": "setting"})
    assert images._key("base") != before


class EngineWithoutImages:
    """An engine that has nothing."""

    images = SimpleNamespace(list=lambda **_: [])


def test_who_is_not_root_and_reaches_no_registry_is_told_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either would do."""
    monkeypatch.setattr(base, "_pull", lambda: "no such host")
    monkeypatch.setattr(base.os, "geteuid", lambda: 1000)
    with pytest.raises(
        ContainerError, match=r"cannot be pulled \(no such host\).*needs root \(run this with"
    ):
        ensure_base(EngineWithoutImages(), Silent())  # type: ignore[arg-type]
