"""Inside a training: what was predicted, how strong the gradients were, how far confidence can be believed."""

from __future__ import annotations

from typing import Any, Final

import plotly.graph_objects as go

from abr_tune.report.epochs import Traced
from abr_tune.report.figures.style import (
    COLOURS,
    DASHES,
    PALETTE,
    SOFT,
    figure_json,
    hover,
    log_ticks,
    rounded,
    title,
    whole,
)
from abr_tune.report.scores import ReliabilityTable

LEGEND: Final[dict[str, Any]] = {"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0, "traceorder": "normal"}


def share_figure(found: Traced) -> str:
    """Shares stacked to one: a single colour is a model that gives everyone the same class."""
    figure = go.Figure()
    for index, trace in enumerate(found.traces):
        figure.add_trace(
            go.Scatter(
                x=trace.epochs,
                y=rounded(trace.values),
                name=title(trace.name),
                stackgroup="classes",
                mode="lines",
                line={"width": 0.5, "color": PALETTE[index % len(PALETTE)]},
                fillcolor=PALETTE[index % len(PALETTE)],
                hovertemplate=f"epoch %{{x}}: %{{y:.1%}} {hover(trace.name)}<extra></extra>",
            )
        )
    figure.update_xaxes(dtick=whole(_last(found)))
    figure.update_yaxes(range=[0, 1], tickformat=".0%", nticks=5)
    return figure_json(figure, x="epoch", y=None, height=290, showlegend=True, legend=LEGEND)


def norm_figure(found: Traced) -> str:
    """Gradient norms on a logarithmic axis, a line for each head."""
    figure = go.Figure()
    for index, trace in enumerate(found.traces):
        figure.add_trace(
            go.Scatter(
                x=trace.epochs,
                y=rounded(trace.values),
                name=title(trace.name),
                mode="lines+markers",
                marker={"size": 4},
                line={"width": 2, "color": PALETTE[index % len(PALETTE)], "dash": DASHES[index % len(DASHES)]},
                hovertemplate=f"epoch %{{x}}: %{{y:.3g}} {hover(trace.name)}<extra></extra>",
            )
        )
    figure.update_xaxes(dtick=whole(_last(found)))
    values = [value for trace in found.traces for value in trace.values]
    figure.update_yaxes(**log_ticks(min(values), max(values)))
    several = len(found.traces) > 1
    return figure_json(figure, x="epoch", y="gradient norm", height=290, showlegend=several, legend=LEGEND)


def _last(found: Traced) -> int:
    return max(trace.epochs[-1] for trace in found.traces)


def reliability_figure(table: ReliabilityTable) -> str:
    """Accuracy by confidence; on the diagonal it is worth what it says. The darker a bar, the more recordings."""
    most = max(row.count for row in table.rows)
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dash", "width": 1.5, "color": SOFT}, hoverinfo="skip"
        )
    )
    figure.add_trace(
        go.Bar(
            x=[(row.low + row.high) / 2 for row in table.rows],
            width=[0.94 * (row.high - row.low) for row in table.rows],
            y=rounded(row.accuracy for row in table.rows),
            marker={"color": COLOURS["complete"], "opacity": [0.25 + 0.75 * row.count / most for row in table.rows]},
            hovertext=[
                f"confidence {row.confidence:.2f}: {row.accuracy:.0%} right of {row.count} recordings"
                for row in table.rows
            ],
            hoverinfo="text",
        )
    )
    figure.update_xaxes(range=[0, 1], nticks=6)
    figure.update_yaxes(range=[0, 1.02], nticks=6)
    return figure_json(figure, x="confidence", y="accuracy", height=330)
