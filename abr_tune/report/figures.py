"""Drawing: rows to plotly figures, as JSON. The one module that imports plotly.

Colours are those of Okabe and Ito, told apart with any colour vision; every outcome also has its own symbol. Text and
grid take their colour from the page, so that one figure serves light, dark and paper.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
import plotly.subplots
from plotly.offline import get_plotlyjs

from abr_tune.report.outcomes import OUTCOMES, Outcome
from abr_tune.report.plots import Curve, Panel, Point

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
GRID: Final = "rgba(128,128,128,0.22)"
COLUMNS: Final = 3


def plotly_js() -> str:
    """The library that draws the figures, once for the page."""
    return str(get_plotlyjs())


def curve_figure(curves: Sequence[Curve], metric: str, baseline: float | None) -> str:
    """All learning curves, one trace per outcome so that thousands stay light; a mark where each ended."""
    figure = go.Figure()
    for outcome in reversed(tuple(OUTCOMES)):
        chosen = [curve for curve in curves if curve.outcome == outcome]
        if chosen:
            figure.add_trace(_lines(outcome, chosen))
            figure.add_trace(_ends(outcome, chosen))
    if baseline is not None:
        figure.add_hline(
            y=baseline, line={"dash": "dash", "width": 1.5, "color": "#7a7a7a"}, annotation_text="trivial predictor"
        )
    figure.update_xaxes(dtick=_whole(max((curve.epochs[-1] for curve in curves), default=1)))
    return _json(figure, x="epoch", y=metric, height=440)


def _lines(outcome: Outcome, curves: Sequence[Curve]) -> go.Scatter:
    strong = outcome == "best"
    return go.Scatter(
        x=_joined(curve.epochs for curve in curves),
        y=_joined(curve.values for curve in curves),
        mode="lines",
        name=OUTCOMES[outcome],
        legendgroup=outcome,
        legendrank=list(OUTCOMES).index(outcome),
        line={"color": COLOURS[outcome], "width": 3.5 if strong else 1.4},
        opacity=1.0 if strong else 0.75,
        hoverinfo="skip",
        showlegend=False,
    )


def _ends(outcome: Outcome, curves: Sequence[Curve]) -> go.Scatter:
    return go.Scatter(
        x=[curve.epochs[-1] for curve in curves],
        y=[curve.values[-1] for curve in curves],
        mode="markers",
        name=f"{OUTCOMES[outcome]} ({len(curves)})",
        legendgroup=outcome,
        legendrank=list(OUTCOMES).index(outcome),
        marker=_marker(outcome),
        hovertext=[_hover(curve.text) for curve in curves],
        hoverinfo="text",
    )


def _marker(outcome: Outcome) -> dict[str, Any]:
    return {
        "color": COLOURS[outcome],
        "symbol": SYMBOLS[outcome],
        "size": 14 if outcome == "best" else 8,
        "line": {"width": 1.5 if SYMBOLS[outcome].endswith("-open") else 0, "color": COLOURS[outcome]},
    }


def _joined(parts: Iterable[Sequence[float]]) -> list[float | None]:
    """The parts one after another with a gap between, so that one trace holds many curves."""
    joined: list[float | None] = []
    for part in parts:
        joined += [*part, None]
    return joined[:-1]


def history_figure(points: Sequence[Point], metric: str) -> str:
    """Value by trial number, and the best complete value so far."""
    figure = go.Figure()
    leading = [point for point in points if point.best_so_far is not None]
    if leading:
        figure.add_trace(
            go.Scatter(
                x=[point.trial for point in leading],
                y=[point.best_so_far for point in leading],
                mode="lines",
                name="best so far",
                line={"shape": "hv", "color": COLOURS["best"], "width": 2},
                hoverinfo="skip",
            )
        )
    for outcome in OUTCOMES:
        chosen = [point for point in points if point.outcome == outcome]
        if chosen:
            figure.add_trace(
                go.Scatter(
                    x=[point.trial for point in chosen],
                    y=[point.value for point in chosen],
                    mode="markers",
                    name=f"{OUTCOMES[outcome]} ({len(chosen)})",
                    marker=_marker(outcome),
                    hovertext=[_hover(point.text) for point in chosen],
                    hoverinfo="text",
                )
            )
    figure.update_xaxes(dtick=_whole(max((point.trial for point in points), default=1)))
    return _json(figure, x="trial", y=metric, height=380)


def importance_figure(shares: Mapping[str, float]) -> str:
    """Bars, the largest on top."""
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in ordered],
            y=[html.escape(name) for name, _ in ordered],
            orientation="h",
            marker={"color": COLOURS["complete"]},
            text=[f"{share:.0%}" for _, share in ordered],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.update_yaxes(automargin=True)
    return _json(figure, x="share of the importance", y="", height=130 + 26 * len(ordered))


def panel_figure(panels: Sequence[Panel], metric: str) -> str:
    """One small scatter per searched value, all with the same vertical axis."""
    rows = -(-len(panels) // COLUMNS)
    titles = [html.escape(panel.name) for panel in panels]
    spacing = min(0.16, 0.9 / max(1, rows - 1) * 0.3) if rows > 1 else 0.0
    figure = plotly.subplots.make_subplots(
        rows=rows, cols=COLUMNS, shared_yaxes=True, subplot_titles=titles, vertical_spacing=spacing
    )
    for index, panel in enumerate(panels):
        row, column = index // COLUMNS + 1, index % COLUMNS + 1
        figure.add_trace(
            go.Scatter(
                x=panel.xs if not isinstance(panel.xs[0], str) else [html.escape(str(x)) for x in panel.xs],
                y=panel.values,
                mode="markers",
                marker={
                    "color": [COLOURS[outcome] for outcome in panel.outcomes],
                    "symbol": [SYMBOLS[outcome] for outcome in panel.outcomes],
                    "size": [13 if outcome == "best" else 7 for outcome in panel.outcomes],
                    "line": {"width": 1, "color": [COLOURS[outcome] for outcome in panel.outcomes]},
                },
                hovertext=[_hover(text) for text in panel.texts],
                hoverinfo="text",
                showlegend=False,
            ),
            row=row,
            col=column,
        )
        kind = "category" if isinstance(panel.xs[0], str) else "log" if panel.log else "linear"
        figure.update_xaxes(type=kind, nticks=5, exponentformat="power", row=row, col=column)
    figure.update_annotations(font={"size": 12})
    figure.update_yaxes(title_text=html.escape(metric), col=1)
    return _json(figure, x=None, y=None, height=110 + 210 * rows)


def _whole(last: int) -> int:
    """Distance of ticks on an axis of whole numbers up to `last`: 1, 2 or 5 times a power of ten, about ten of them."""
    step = 1
    for size in itertools.cycle((2.0, 2.5, 2.0)):
        if last <= 12 * step:
            break
        step = round(step * size)
    return step


def _hover(text: str) -> str:
    """Hover text is a subset of HTML to plotly: escape it, keep its lines."""
    return html.escape(text).replace("\n", "<br>")


def _json(figure: go.Figure, *, x: str | None, y: str | None, height: int) -> str:
    figure.update_layout(
        height=height,
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        margin={"l": 64, "r": 28, "t": 64, "b": 52},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=GRID)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID)
    if x is not None:
        figure.update_xaxes(title_text=html.escape(x))
    if y is not None:
        figure.update_yaxes(title_text=html.escape(y))
    return str(figure.to_json())
