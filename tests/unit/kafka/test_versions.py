"""Which groups are versions of a processor, and what their positions say of them."""

from __future__ import annotations

import pytest

from holdfast.kafka.positions import Role
from holdfast.kafka.versions import role_of, version_of
from holdfast.topology.model import ProcessorDecl

CREDIT = ProcessorDecl.model_validate(
    {"<app>": "shop", "<name>": "credit", "handler": "a:b", "reads": ["orders"], "version": "v2"}
)


@pytest.mark.parametrize(
    ("group", "version"),
    [("shop.credit", None), ("shop.credit.v2", "v2"), ("shop.credit.2026-11", "2026-11")],
)
def test_a_group_tells_its_version(group: str, version: str | None) -> None:
    """Whichever version the processor is declared in."""
    found = version_of(group, CREDIT)
    assert found is not None
    assert (found.version, found.group_id) == (version, group)


@pytest.mark.parametrize(
    "group", ["shop.credits", "shop.credit2", "shop.credit.v2.x", "shop.credit.", "shop.a.V2"]
)
def test_other_groups_are_no_versions(group: str) -> None:
    """Names of processors and versions have no dots."""
    assert version_of(group, CREDIT) is None


def test_the_most_careful_role_counts() -> None:
    """An input that was added has no position yet, and one that another tool has set tells nothing."""
    assert role_of([Role.UNKNOWN, Role.LIVE]) is Role.LIVE
    assert role_of([Role.LIVE, Role.SHADOW, Role.UNKNOWN]) is Role.SHADOW
    assert role_of([Role.SHADOW, Role.RETIRED]) is Role.RETIRED
    assert role_of([Role.UNKNOWN]) is role_of([]) is Role.UNKNOWN
