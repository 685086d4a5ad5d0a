"""The page of a run: complete without a network, a script or eyes; the verdict first."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from holdfast.chaos.report import run_page
from holdfast.chaos.run.result import RunResult
from tests.support.chaos_runs import (
    HOSTILE,
    empty_run,
    hostile_run,
    huge_run,
    invalid_run,
    tiny_run,
    unknown_run,
    valid_run,
)

RUNS = {
    "valid": valid_run,
    "invalid": invalid_run,
    "unknown": unknown_run,
    "tiny": tiny_run,
    "empty": empty_run,
    "hostile": hostile_run,
    "huge": huge_run,
}
VOID = {"meta", "input"}


class Page(HTMLParser):
    """Reads a page, and fails where elements do not end as they began."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest) -> RunResult:
    return RUNS[request.param]()


@pytest.fixture(scope="module")
def text(run: RunResult) -> str:
    return run_page(run)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_first_heading_is_the_verdict(page: Page, run: RunResult) -> None:
    headings = [name for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    assert page.text_of("h1")[0].startswith(f"{run.validity.upper()}: ")


def test_it_asks_for_nothing(text: str, page: Page) -> None:
    """No address, no font, no image: all that it refers to is in it."""
    assert not re.search(r"https?://|@import|@font-face|url\((?!#)", text)
    assert {name for name, _ in page.elements} & {"link", "img", "iframe", "object", "embed"} == set()
    assert all((it["href"] or "").startswith("#") for it in page.all("a"))
    assert all("src" not in it for it in page.all("script"))
    (policy,) = [it["content"] for it in page.all("meta") if it.get("http-equiv")]
    assert (policy or "").startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")


def test_the_only_script_that_runs_is_ours(page: Page) -> None:
    """The policy has its hash; the data are JSON."""
    assert [it.get("type") for it in page.all("script")] == ["application/json", None]
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]


def test_a_name_cannot_become_markup_or_turn_the_text_around(text: str) -> None:
    assert "<script>alert" not in text
    assert not set(text) & set("\x00\x1b\u202e")


def test_no_two_elements_have_the_same_id_and_every_link_has_its_end(page: Page) -> None:
    ids = [it["id"] for _, it in page.elements if "id" in it]
    assert len(ids) == len(set(ids))
    named = {(it["href"] or "")[1:] for it in page.all("a")}
    for _, it in page.elements:
        for key in ("aria-labelledby", "aria-describedby", "for"):
            named |= {it[key] or ""} if key in it else set()
    assert named <= set(ids)


def test_every_picture_has_a_name_and_the_same_in_words(page: Page) -> None:
    pictures = [it for it in page.all("svg") if it.get("role") == "img"]
    assert all(it["aria-labelledby"] and it["aria-describedby"] for it in pictures)
    assert all("aria-hidden" in it for it in page.all("svg") if it not in pictures)


def test_it_has_landmarks_and_tables_have_titles(page: Page) -> None:
    assert all(len(page.all(name)) == 1 for name in ("header", "nav", "main", "footer"))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(it.get("scope") in {"col", "row"} for it in page.all("th"))


def test_the_data_of_the_script_are_json_without_markup(text: str) -> None:
    (raw,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert "<" not in raw
    data = json.loads(raw)
    assert all(len(values) == len(data["at"]) for values in data["values"].values())


def test_the_plots_are_there_with_the_bands_of_all_faults() -> None:
    run = valid_run()
    page = Page(run_page(run))
    assert [it["id"] for it in page.all("figure")] == [
        *("throughput", "latency", "silence", "lag", "lag-per-shard", "owners", "leaders", "breakers"),
    ]
    assert len([it for it in page.all("rect") if it.get("class") == "band"]) == 8 * len(run.faults)


def test_it_has_the_records_that_show_what_is_wrong_once() -> None:
    text = run_page(invalid_run())
    assert text.count("input/2 offset 81,204") == 1
    assert "wrong, found by exactly-once and no-lost-writes" in text
    assert "Shown: 2 of 3 cases." in text
    assert "their acknowledgement is unknown, so they need not be there" in text


def test_it_has_what_shows_that_faults_happened_and_how_to_repeat_it() -> None:
    run = valid_run()
    page = Page(run_page(run))
    said = " ".join(text for _, text in page.texts)
    assert "pid 4000; exit -9; gone_after_ms 12.5; back_after_ms 2140" in said
    assert run.command in page.text_of("code")
    assert all(version in said for version in run.versions.values())
    assert run.machine in said


def test_a_fault_that_was_not_undone_and_one_after_which_nothing_was_normal_are_told() -> None:
    text = run_page(unknown_run())
    assert "not undone" in text
    assert "not before the next" in text
    assert "✗ broker 2 is not the leader of input/0 any more" in text


def test_a_run_of_which_nothing_is_known_says_so_and_draws_nothing() -> None:
    text = run_page(empty_run())
    assert "This run recorded no samples of the output, no lag, no owners, no leaders, no breakers." in text
    assert "No invariant was looked at." in text
    assert "Nothing was broken in this run." in text
    assert "<figure" not in text


def test_an_hour_with_a_hundred_shards_and_two_hundred_faults_is_below_two_megabytes() -> None:
    run = huge_run()
    assert (len(run.samples) > 5_000, len(run.faults), len(run.samples[-1].lag)) == (True, 200, 100)
    assert len(run_page(run).encode()) < 2_000_000


def test_hostile_texts_are_shown_as_they_are() -> None:
    page = Page(run_page(hostile_run()))
    shown = HOSTILE.replace("\u202e", "\ufffd").replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert shown in page.text_of("pre")
