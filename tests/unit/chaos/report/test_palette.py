"""Colours: readable by everybody, in both schemes (WCAG 2.2 AA; simulated colour blindness)."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from importlib import resources

import pytest

STYLE = (resources.files("holdfast.chaos.report") / "page.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for block in re.findall(r":root \{\n(.*?)\n\s*\}", STYLE, flags=re.DOTALL)
)

Colour = Sequence[float]

# Machado, Oliveira and Fernandes 2009: "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", severity 1.0, in linear RGB.
SIMULATED = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}


def linear(colour: str) -> Colour:
    shares = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in shares]


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    dark, light = sorted(
        0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05 for r, g, b in (linear(one), linear(other))
    )
    return light / dark


def oklab(rgb: Colour) -> Colour:
    """Björn Ottosson's space, in which distances are those that people see."""
    r, g, b = rgb
    cones = (
        0.4122 * r + 0.5363 * g + 0.0514 * b,
        0.2119 * r + 0.6807 * g + 0.1074 * b,
        0.0883 * r + 0.2817 * g + 0.6300 * b,
    )
    long, middle, short = (math.copysign(abs(it) ** (1 / 3), it) for it in cones)
    return (
        0.2105 * long + 0.7936 * middle - 0.0041 * short,
        1.9780 * long - 2.4286 * middle + 0.4506 * short,
        0.0259 * long + 0.7828 * middle - 0.8087 * short,
    )


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_the_contrast_of_aa(scheme: dict[str, str]) -> None:
    pairs = [
        *itertools.product(("ink", "soft", "link", "valid", "invalid", "unknown"), ("paper", "card")),
        *((name, f"{name}-bg") for name in ("valid", "invalid", "unknown")),
        *(("ink", f"{name}-bg") for name in ("valid", "invalid", "unknown")),
        *(("on", name) for name in ("valid", "invalid", "unknown")),
        *((f"t{i}", f"c{i}") for i in range(6)),
    ]
    weak = {pair: contrast(scheme[pair[0]], scheme[pair[1]]) for pair in pairs}
    assert {pair: value for pair, value in weak.items() if value < 4.5} == {}


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_and_bars_have_the_contrast_of_aa(scheme: dict[str, str]) -> None:
    drawn = [*(f"c{i}" for i in range(6)), "gap", "l4", "l5"]
    assert [name for name in drawn if contrast(scheme[name], scheme["paper"]) < 3] == []


@pytest.mark.parametrize("seen", SIMULATED)
@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_differ_for_the_colour_blind_too(scheme: dict[str, str], seen: str) -> None:
    places = {}
    for name in (f"c{i}" for i in range(6)):
        colour = linear(scheme[name])
        places[name] = oklab(
            [sum(a * b for a, b in zip(row, colour, strict=True)) for row in SIMULATED[seen]]
        )
    near = {pair: math.dist(*(places[name] for name in pair)) for pair in itertools.combinations(places, 2)}
    assert {pair: round(value, 3) for pair, value in near.items() if value < 0.1} == {}


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_more_lag_is_further_from_the_paper(scheme: dict[str, str]) -> None:
    away = [contrast(scheme[f"l{i}"], scheme["paper"]) for i in range(1, 6)]
    assert away == sorted(away)
