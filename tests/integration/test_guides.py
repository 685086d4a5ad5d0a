"""The pages of the documentation: their files work as they are, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import holdfast, write_files_of

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")])

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub makes from a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """Relative links resolve, with their anchors; links to other sites are not followed."""
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_every_guide_is_named_in_the_readme() -> None:
    """A page that nothing leads to is not read."""
    named = set(LINK.findall((ROOT / "README.md").read_text()))
    assert {f"docs/guide/{page.name}" for page in GUIDE.glob("*.md")} <= named


@pytest.mark.parametrize("name", ["handlers.md", "errors.md"])
def test_a_pages_application_and_its_tests_work(name: str, tmp_path: Path) -> None:
    """`holdfast check` finds no mistake, and the page's own tests pass, run as a reader would."""
    write_files_of(GUIDE / name, tmp_path)
    checked = holdfast("check", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
