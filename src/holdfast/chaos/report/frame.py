"""What all plots of a run have in common: time axis, faults as bands, a title, and words that say the same.

The picture is stretched to the room that there is (`preserveAspectRatio="none"`), so that one page fits a
telephone and a wall; heights are pixels. Text would be stretched with it: it is HTML above the picture,
placed in shares of its width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.chaos.report.labels import RIGHT_END, apart
from holdfast.chaos.report.markup import Content, Markup, joined, tag
from holdfast.chaos.report.time_axis import WIDTH, TimeAxis
from holdfast.chaos.run.result import FaultSpan


@dataclass(frozen=True, slots=True)
class Legend:
    """One line of a legend.

    Attributes:
        text: what it is.
        look: the CSS class of its sign.
        value: where the value under the pointer is written; "" if none is.
    """

    text: str
    look: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot, as far as it is its own.

    Attributes:
        name: for links.
        title: its heading.
        unit: of its values.
        says: what it shows, in words.
        height: in pixels.
        drawing: SVG, in `WIDTH` units by `height` pixels.
        beside: labels of rows or values: pixels from the top, and the text.
        legend: what its colours mean.
        over: HTML above the picture.
        more: HTML behind the words, such as a table.
        lines: whether the labels beside it have lines through the picture.
        pointed: what the script writes under it: what is under the pointer; "" for nothing.
    """

    name: str
    title: str
    unit: str
    says: str
    height: int
    drawing: Markup
    beside: tuple[tuple[float, str], ...]
    legend: tuple[Legend, ...] = ()
    over: Markup = field(default_factory=Markup)
    more: Markup = field(default_factory=Markup)
    lines: bool = True
    pointed: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """What all plots of a run share.

    Attributes:
        axis: the time axis.
        faults: the faults.
        marks: other moments that matter, with their names.
    """

    axis: TimeAxis
    faults: Sequence[FaultSpan]
    marks: tuple[tuple[float, str], ...] = ()

    def show(self, plot: Plot) -> Markup:
        """The plot as a figure."""
        title = f"plot-{plot.name}"
        caption = tag(
            "figcaption",
            tag("h3", plot.title, " ", tag("small", plot.unit), id=title),
            tag("ul", map(_legend_line, plot.legend), class_="legend") if plot.legend else None,
        )
        words = tag("p", plot.says, class_="says", id=f"{title}-says")
        area = tag(
            "div", self._picture(plot), plot.over, self.numbers(), tag("i", class_="cursor"), class_="area"
        )
        beside = tag(
            "div", [_beside(top, text) for top, text in plot.beside], class_="beside", aria_hidden="true"
        )
        rows = tag("div", beside, area, class_="rows", style=f"--h:{plot.height}px")
        pointed = tag("p", "at the pointer: ", tag("output", data_value=plot.pointed), class_="pointed")
        return tag(
            "figure",
            caption,
            rows,
            pointed if plot.pointed else None,
            words,
            plot.more,
            class_="plot",
            id=plot.name,
        )

    def _picture(self, plot: Plot) -> Markup:
        height = plot.height
        grid = (
            [tag("path", class_="grid", d=f"M0 {top:g}h{WIDTH}") for top, _ in plot.beside]
            if plot.lines
            else []
        )
        times = "".join(f"M{self.axis.x(time)} 0v{height}" for time, _ in self.axis.ticks())
        return tag(
            "svg",
            self.bands(height),
            tag("path", class_="grid", d=times),
            grid,
            plot.drawing,
            self.edges(height),
            viewBox=f"0 0 {WIDTH} {height}",
            preserveAspectRatio="none",
            role="img",
            aria_labelledby=f"plot-{plot.name}",
            aria_describedby=f"plot-{plot.name}-says",
        )

    def bands(self, height: int) -> Markup:
        """The faults, behind everything else."""
        return joined([self._band(fault, height) for fault in self.faults])

    def _band(self, fault: FaultSpan, height: int) -> Markup:
        left, width = self.axis.span(fault.began, fault.ended, least=2.0)
        look = "band failed" if fault.error else "band"
        return tag("rect", class_=look, x=left, y=0, width=width, height=height)

    def edges(self, height: int) -> Markup:
        """Where faults begin, and other moments that matter, above everything else."""
        begins = "".join(f"M{self.axis.x(fault.began)} 0v{height}" for fault in self.faults)
        marks = "".join(f"M{self.axis.x(time)} 0v{height}" for time, _ in self.marks)
        return joined(tag("path", class_="begin", d=begins), tag("path", class_="mark", d=marks))

    def numbers(self) -> Markup:
        """The faults' numbers, at the top edge: as many as have room."""
        order = sorted(range(len(self.faults)), key=lambda i: self.faults[i].began)
        places = [self.axis.x(self.faults[i].began) / WIDTH for i in order]
        return joined(
            [
                tag(
                    "b",
                    i + 1,
                    class_=f"no {look}{' last' if place > RIGHT_END else ''}",
                    style=f"left:{place * 100:.2f}%",
                    aria_hidden="true",
                )
                for i, place, look in zip(
                    order, places, apart(places, [str(i + 1) for i in order]), strict=True
                )
                if look is not None
            ]
        )


def _beside(top: float, text: Content) -> Markup:
    return tag("span", text, style=f"top:{top:g}px", title=text if isinstance(text, str) else None)


def _legend_line(line: Legend) -> Markup:
    value = tag("output", data_value=line.value) if line.value else None
    return tag("li", tag("i", class_=f"key {line.look}", aria_hidden="true"), line.text, value)
