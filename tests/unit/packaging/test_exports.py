"""The public names: what `__all__` says and what a package holds are the same."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import holdfast

WITH_EXPORTS = sorted(
    name
    for _, name, is_package in pkgutil.walk_packages(holdfast.__path__, "holdfast.")
    if is_package and hasattr(importlib.import_module(name), "__all__")
)


@pytest.mark.parametrize("name", ["holdfast", *WITH_EXPORTS])
def test_all_names_what_the_package_offers(name: str) -> None:
    """Every public class and function that a package imports for its users is listed, and nothing else."""
    package = importlib.import_module(name)
    offered = {
        public
        for public, value in vars(package).items()
        if not public.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "").startswith("holdfast")
    }
    listed = {public for public in package.__all__ if not public.startswith("_")}
    missing = {public for public in package.__all__ if not hasattr(package, public)}
    assert missing == set()
    assert offered <= listed
    assert list(package.__all__) == sorted(package.__all__, key=_as_ruff_sorts)


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then everything else."""
    if name.isupper():
        return (0, name)
    return (1 if name[0].isupper() else 2, name)
