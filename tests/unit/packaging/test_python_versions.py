"""What is said about Python versions is the same everywhere, and no more than was tried."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_classifiers_name_the_versions_that_the_readme_calls_tested() -> None:
    """Newer ones may be installed on, without a promise."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    claimed = [line.rpartition(" ")[2] for line in project["classifiers"] if ":: Python :: 3." in line]
    (tested,) = re.findall(r"\(tested on ([\d., and]+)\)", (ROOT / "README.md").read_text())
    assert claimed == re.findall(r"3\.\d+", tested)
    assert project["requires-python"] == f">={claimed[0]}"
