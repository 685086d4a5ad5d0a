"""Reports of chaos runs in a real browser: wide, narrow, light, dark, without a script, and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.chaos.report import TrendRun, run_page, trend_page
from holdfast.chaos.run.result import RunResult
from tests.support.browser import Browser
from tests.support.chaos_runs import (
    Shape,
    empty_run,
    hostile_run,
    huge_run,
    invalid_run,
    tiny_run,
    unknown_run,
    valid_run,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

RUNS: dict[str, Callable[[], RunResult]] = {
    "valid": valid_run,
    "invalid": invalid_run,
    "unknown": unknown_run,
    "huge": huge_run,
    "tiny": tiny_run,
    "empty": empty_run,
    "hostile": hostile_run,
}
WINDOWS = [
    (1280, 900, False),
    (1280, 900, True),
    (360, 740, False),
    (360, 740, True),
    (768, 1024, False),
    (1100, 800, False),
]

_BESIDE = """[...document.querySelectorAll('body *')]
    .filter((it) => it.getClientRects().length && it.getBoundingClientRect().width > 1)
    .filter((it) => it.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .filter((it) => !it.closest('thead, .bars, .name, svg, input'))
    .map((it) => it.outerHTML.slice(0, 120))"""
"""Elements that stick out at the right; not those that are cut off, or drawn in a picture."""

_TOUCHING = """(selector) => {
    const boxes = [...document.querySelectorAll(selector)].filter((it) => it.getClientRects().length)
        .map((it) => [it.textContent, it.getBoundingClientRect(), it.parentElement]);
    return boxes.flatMap(([one, a, here], i) => boxes.slice(i + 1)
        .filter(([, b, there]) => here === there && a.left < b.right - 1 && b.left < a.right - 1
            && a.top < b.bottom - 1 && b.top < a.bottom - 1)
        .map(([other]) => `${one} | ${other}`));
}"""
"""Pairs of labels that lie on each other."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of each kind of run, and one over all of them."""
    folder = tmp_path_factory.mktemp("pages")
    results = {name: make() for name, make in RUNS.items()}
    for name, result in results.items():
        (folder / f"{name}.html").write_text(run_page(result), encoding="utf-8")
    runs = [TrendRun(valid_run(Shape(seed=seed)), "valid.html") for seed in range(20)]
    runs += [TrendRun(result, f"{name}.html") for name, result in results.items()]
    (folder / "trend.html").write_text(trend_page(runs), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", [*RUNS, "trend"])
@pytest.mark.parametrize(("width", "height", "dark"), WINDOWS)
def test_a_page_fits_its_window_and_begins_with_the_verdict(
    browser: Browser, pages: Path, tmp_path: Path, name: str, width: int, height: int, dark: bool
) -> None:
    browser.open(pages / f"{name}.html", width=width, height=height, dark=dark)
    browser.screenshot(tmp_path / f"{name}-{width}-{'dark' if dark else 'light'}.png")
    assert browser.errors == []
    assert [url for url in browser.asked_for if not url.startswith("file:")] == []
    assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.value(_BESIDE) == []
    first = "document.querySelector('h1, h2, h3, h4')"
    assert browser.value(f"{first}.tagName") == "H1"
    assert browser.value(f"{first}.textContent").startswith(("VALID: ", "INVALID: ", "UNKNOWN: "))
    assert browser.value("document.querySelector('h1').getBoundingClientRect().bottom < innerHeight / 2")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == (
        "rgb(18, 22, 28)" if dark else "rgb(255, 255, 255)"
    )


@pytest.mark.parametrize("name", ["valid", "unknown", "huge"])
@pytest.mark.parametrize("width", [1920, 1280, 1181, 1024, 730, 360])
def test_labels_do_not_lie_on_each_other(browser: Browser, pages: Path, name: str, width: int) -> None:
    browser.open(pages / f"{name}.html", width=width)
    for selector in (".no", ".ticks span", ".beside span", ".label", ".area .name"):
        assert browser.value(f"({_TOUCHING})('{selector}')") == [], selector


def test_all_plots_have_the_bands_of_all_faults_at_the_same_places(browser: Browser, pages: Path) -> None:
    browser.open(pages / "valid.html")
    bands = browser.value("""[...document.querySelectorAll('figure')].map((plot) =>
        [...plot.querySelectorAll('.band')].map((band) => Math.round(band.getBoundingClientRect().left)))""")
    assert len(bands) == 8
    assert len(bands[0]) == 6
    assert all(plot == bands[0] for plot in bands)
    lane = browser.value("""[...document.querySelectorAll('.fault')].map((it) =>
        Math.round(it.getBoundingClientRect().left))""")
    assert all(abs(one - other) <= 1 for one, other in zip(lane, bands[0], strict=True))


def test_the_pointer_reads_all_plots_at_once(browser: Browser, pages: Path) -> None:
    """At half of the time axis, over the first row of the owners."""
    browser.open(pages / "valid.html", height=4000)
    box = "document.querySelector('#owners .area').getBoundingClientRect()"
    browser.point_at(browser.value(f"{box}.left + {box}.width / 2"), browser.value(f"{box}.top + 20"))
    read = browser.value("""Object.fromEntries([...document.querySelectorAll('output[data-value]')]
        .map((it) => [it.dataset.value, it.textContent]))""")
    assert read["committed"].endswith("/s")
    assert read["p95"].endswith("ms")
    assert read["owners"].startswith("shard 0: worker-")
    assert "closed" in read["breakers"]
    assert browser.value("document.getElementById('told').textContent") == "58.0 s"
    assert browser.errors == []


@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_moves_when_the_pointer_reads(browser: Browser, pages: Path, width: int) -> None:
    browser.open(pages / "valid.html", width=width)
    heights = "[...document.querySelectorAll('figure')].map((it) => it.getBoundingClientRect().height)"
    before = browser.value(heights)
    for time in (-5, 12, 30, 60, 109, 125):
        browser.value(f"""(() => {{ const it = document.getElementById('at'); it.value = {time};
            it.dispatchEvent(new Event('input')); }})()""")
        assert browser.value(heights) == before


def test_the_keyboard_reads_them_too(browser: Browser, pages: Path) -> None:
    browser.open(pages / "valid.html")
    browser.value("""(() => { const it = document.getElementById('at'); it.focus(); it.value = 30;
        it.dispatchEvent(new Event('input')); })()""")
    assert browser.value("document.getElementById('told').textContent").startswith("30.")
    assert browser.value("document.querySelector('[data-value=published]').textContent") != ""


@pytest.mark.parametrize("name", RUNS)
def test_a_page_is_complete_without_its_script(browser: Browser, pages: Path, name: str) -> None:
    browser.open(pages / f"{name}.html", script=False)
    assert browser.errors == []
    shown = browser.value("getComputedStyle(document.querySelector('#at') || document.body).display")
    assert shown in ("none", "block")
    count = browser.value("document.querySelectorAll('#at').length")
    assert (shown == "none") is (count == 1)


def test_a_script_in_the_data_would_not_run(browser: Browser, pages: Path, tmp_path: Path) -> None:
    """Even if it were not escaped: the policy knows the hash of the only one that may."""
    page = (pages / "valid.html").read_text(encoding="utf-8")
    (tmp_path / "open.html").write_text(page.replace("</h1>", "</h1><script>window.ran = 1</script>"))
    browser.open(tmp_path / "open.html")
    assert browser.value("typeof window.ran") == "undefined"
    assert "Content Security Policy" in " ".join(browser.errors)


@pytest.mark.parametrize("name", [*RUNS, "trend"])
def test_it_can_be_printed(browser: Browser, pages: Path, name: str) -> None:
    """On white paper, whatever the screen's colours are; as wide as A4 with the browser's margins."""
    browser.open(pages / f"{name}.html", width=718, dark=True, paper=True)
    assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF")
