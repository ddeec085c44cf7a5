"""What all figures share: colours, symbols, axes, and how text gets into them."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from abr_tune.report.outcomes import Outcome

COLOURS: Final[Mapping[Outcome, str]] = {
    "best": "#009E73",
    "complete": "#3B8BC9",
    "ranking": "#98A0A8",
    "health": "#D55E00",
    "other": "#E0A100",
    "failed": "#C766A3",
    "unfinished": "#56B4E9",
}
SYMBOLS: Final[Mapping[Outcome, str]] = {
    "best": "star",
    "complete": "circle",
    "ranking": "circle-open",
    "health": "x",
    "other": "triangle-up",
    "failed": "diamond",
    "unfinished": "square-open",
}
GLYPHS: Final[Mapping[Outcome, str]] = {
    "best": "★",
    "complete": "●",
    "ranking": "○",
    "health": "✖",
    "other": "▲",
    "failed": "◆",
    "unfinished": "□",
}
"""The symbols as text, for the page's legend."""
PALETTE: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#8C8C8C")
DASHES: Final = ("solid", "dash", "dot", "dashdot")
COLLAPSE: Final = "213,94,0"
"""Red, green and blue of the shading where trials collapse."""
ROOM: Final = {"l": 8, "r": 12, "t": 34, "b": 8}
"""Margins that leave room for plotly's tools above the figure."""
GRID: Final = "rgba(128,128,128,0.25)"
SOFT: Final = "#7f7f7f"


def plotly_js() -> str:
    """The library that draws the figures, once for the page."""
    return str(get_plotlyjs())


def marker(outcomes: Outcome | Sequence[Outcome]) -> dict[str, Any]:
    """The symbols of trials that ended so."""
    if isinstance(outcomes, str):
        return {
            "color": COLOURS[outcomes],
            "symbol": SYMBOLS[outcomes],
            "size": 14 if outcomes == "best" else 7,
            "line": {"width": 1.5 if SYMBOLS[outcomes].endswith("-open") else 0, "color": COLOURS[outcomes]},
        }
    return {
        "color": [COLOURS[outcome] for outcome in outcomes],
        "symbol": [SYMBOLS[outcome] for outcome in outcomes],
        "size": [13 if outcome == "best" else 6 for outcome in outcomes],
        "line": {"width": 1, "color": [COLOURS[outcome] for outcome in outcomes]},
    }


def joined(parts: Iterable[Sequence[float | None]]) -> list[float | None]:
    """The parts one after another with a gap between, so that one trace holds many lines."""
    found: list[float | None] = []
    for part in parts:
        found += [*part, None]
    return found[:-1]


def rounded(values: Iterable[float | None]) -> list[float | None]:
    """Six digits, more than a pixel can show: the page stays small."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def whole(last: int) -> int:
    """Distance of ticks on an axis of whole numbers up to `last`: 1, 2 or 5 times a power of ten, about ten of them."""
    step = 1
    for size in itertools.cycle((2.0, 2.5, 2.0)):
        if last <= 12 * step:
            break
        step = round(step * size)
    return step


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks of a logarithmic axis, few enough to be read: powers of ten, or 1, 2 and 5 times them on a short one."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        values = [step * 10.0**power for power in powers for step in steps]
        inside = [value for value in values if low / 1.05 <= value <= high * 1.05]
        if len(inside) <= 5:
            break
    if len(inside) < 2:
        return {"type": "log", "nticks": 4}
    every = -(-len(inside) // 5)
    return {"type": "log", "tickvals": inside[::every], "ticktext": [f"{value:g}" for value in inside[::every]]}


def hover(text: str) -> str:
    """Hover text is a subset of HTML to plotly: escape it, keep its lines."""
    return html.escape(text).replace("\n", "<br>")


def title(text: str) -> str:
    """A title of an axis, or a name in a figure."""
    return html.escape(text)


def figure_json(figure: go.Figure, *, x: str | None, y: str | None, height: int, **layout: Any) -> str:
    """The figure in the page's style; margins grow with what the axes say, so that nothing is cut off."""
    hovering = {"align": "left", "bgcolor": "#23282d", "font": {"color": "#ffffff"}, "bordercolor": "#23282d"}
    usual = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12},
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "showlegend": False,
        "hoverlabel": hovering,
    }
    figure.update_layout(height=height, **(usual | layout))
    common = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    figure.update_xaxes(**common)
    figure.update_yaxes(**common)
    if x is not None:
        figure.update_xaxes(title={"text": title(x), "standoff": 8})
    if y is not None:
        figure.update_yaxes(title={"text": title(y), "standoff": 8})
    return str(figure.to_json())
