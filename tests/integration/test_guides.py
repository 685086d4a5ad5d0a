"""The pages of the documentation: their files work as they are, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.kafka.scan import LogScanner
from holdfast.kafka.topic_reader import fold
from tests.conftest import TestCluster
from tests.support.command import holdfast, run_tests_of, write_files_of

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


@pytest.mark.parametrize("name", ["handlers.md", "errors.md", "leader-tasks.md", "sinks.md", "testing.md"])
def test_a_pages_application_and_its_tests_work(name: str, tmp_path: Path) -> None:
    """`holdfast check` finds no mistake, and the page's own tests pass, run as a reader would."""
    write_files_of(GUIDE / name, tmp_path)
    checked = holdfast("check", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    run_tests_of(tmp_path)


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_the_tests_of_the_page_on_chaos_pass(tmp_path: Path) -> None:
    """With the plugin that comes with Holdfast: the page's tests break brokers and workers of their own."""
    write_files_of(GUIDE / "chaos-testing.md", tmp_path)
    run_tests_of(tmp_path)


@pytest.mark.slow
@pytest.mark.integration
def test_the_faust_example_counts_what_is_published(
    cluster: TestCluster, unique_name: Callable[[str], str], tmp_path: Path
) -> None:
    """As the page says it, with names of this test's own, since the brokers are shared."""
    write_files_of(GUIDE / "faust.md", tmp_path)
    site, topic = unique_name("site"), unique_name("page-views")
    for file in tmp_path.iterdir():
        text = file.read_text().replace("page-views", topic)
        file.write_text(text.replace('"site.views"', f'"{site}.views"').replace("app: site", f"app: {site}"))
    (tmp_path / "views.jsonl").write_text('{"page": "home", "visitor": "ann"}\n' * 3)
    servers = ("--bootstrap-servers", cluster.bootstrap_servers)
    for arguments in (["apply"], ["publish", topic, "--from", "views.jsonl"], ["run", "--drain"]):
        done = holdfast(*arguments, *servers, folder=tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr
    scanner = LogScanner(cluster.bootstrap_servers)
    rows = fold(scanner.topic(f"{site}.views-counts-changelog"))
    assert rows == {b'"home"': b"3"}


@pytest.mark.slow
@pytest.mark.integration
def test_the_consumer_of_dead_letters_shows_them(
    cluster: TestCluster, unique_name: Callable[[str], str], tmp_path: Path
) -> None:
    """A record that the page's handler refuses, from `publish` to the page's own consumer."""
    write_files_of(GUIDE / "errors.md", tmp_path)
    lab = unique_name("lab")
    for name in ("topology.yaml", "letters.py"):
        text = (tmp_path / name).read_text().replace("app: lab", f"app: {lab}").replace('"lab.', f'"{lab}.')
        text = re.sub(r"\b(measured|converted)(?=: |\])", lambda found: unique_name(found[1]), text)
        (tmp_path / name).write_text(text.replace('"letters"', f'"{lab}.letters"'))
    (topic,) = re.findall(r"reads: \[(.*)\]", (tmp_path / "topology.yaml").read_text())
    (tmp_path / "cold.jsonl").write_text('{"sensor": "a", "celsius": -300}\n')
    servers = ("--bootstrap-servers", cluster.bootstrap_servers)
    for arguments in (["apply"], ["publish", topic, "--from", "cold.jsonl"], ["run", "--drain"]):
        done = holdfast(*arguments, *servers, folder=tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        [sys.executable, "letters.py", cluster.bootstrap_servers],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "a cannot be that cold: -300.0" in shown.stdout
