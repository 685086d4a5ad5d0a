"""A page as one file: no network, no font, no script but ours.

The policy in its head says so to the browser: whatever a name in the data might smuggle in would neither
run nor load.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from holdfast.chaos.report.markup import Content, Markup, joined, tag


def _patterns() -> Markup:
    """Stripes that stretching a plot does not change: horizontal ones."""
    return tag(
        "svg",
        tag(
            "defs",
            _stripes("nobody", None, "--gap"),
            [_stripes(f"striped{i}", f"--c{i}", "--stripe") for i in range(6)],
        ),
        width=0,
        height=0,
        aria_hidden="true",
        style="position:absolute",
    )


def _stripes(name: str, ground: str | None, stripe: str) -> Markup:
    return tag(
        "pattern",
        tag("rect", width=8, height=4, fill=f"var({ground})") if ground else None,
        tag("path", d="M0 1h8", stroke=f"var({stripe})", stroke_width=1),
        id=name,
        width=8,
        height=4,
        patternUnits="userSpaceOnUse",
    )


def document(title: str, header: Content, main: Content, footer: Content, data: Markup | None = None) -> str:
    """A whole page.

    Args:
        title: of the window.
        header: what stands first.
        main: the rest.
        footer: what stands last.
        data: what the script reads; None for a page without a script.
    """
    script = Markup(_resource("page.js")) if data is not None else Markup()
    sources = f"default-src 'none'; style-src 'unsafe-inline'; script-src {_source(script)}"
    policy = f"{sources}; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(_resource("page.css"))),
    )
    body = tag(
        "body",
        tag("a", "To the content", class_="skip", href="#main"),
        _patterns(),
        tag("header", header),
        tag("main", main, id="main"),
        tag("footer", footer),
        joined(data, tag("script", script)) if data is not None else None,
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _source(script: Markup) -> str:
    """What a policy allows: our script by its hash, or none."""
    if not script:
        return "'none'"
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _resource(name: str) -> str:
    return (resources.files("holdfast.chaos.report") / name).read_text(encoding="utf-8")
