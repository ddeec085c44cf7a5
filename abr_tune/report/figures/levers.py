"""Searched settings: what mattered, each lever by itself, and all side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from abr_tune.report.collapse import CollapseLever
from abr_tune.report.figures.style import (
    COLLAPSE,
    COLOURS,
    GRID,
    figure_json,
    hover,
    joined,
    log_ticks,
    marker,
    rounded,
    title,
)
from abr_tune.report.levers import Scale, Slice, Strand
from abr_tune.report.outcomes import OUTCOMES

ROW: Final = 52
"""Pixels from one lever to the next where all stand below one another."""


def importance_figure(shares: Mapping[str, float]) -> str:
    """Bars, the largest on top."""
    ordered = sorted(shares.items(), key=lambda item: item[1])
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in ordered],
            y=[title(name) for name, _ in ordered],
            orientation="h",
            marker={"color": COLOURS["complete"]},
            text=[f"{share:.0%}" for _, share in ordered],
            textposition="outside",
            cliponaxis=False,
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(range=[0, 1.18 * max(shares.values())], tickformat=".0%", nticks=5)
    return figure_json(figure, x="share of the importance", y=None, height=90 + 26 * len(ordered))


def slice_figure(found: Slice) -> str:
    """The score against one lever; the darker a stretch, the more of its trials collapsed."""
    figure = go.Figure(
        go.Scatter(
            x=[title(x) if isinstance(x, str) else x for x in found.xs],
            y=rounded(found.values),
            mode="markers",
            marker=marker(found.outcomes),
            hovertext=[hover(text) for text in found.texts],
            hoverinfo="text",
        )
    )
    if found.collapse is not None:
        for low, high, share in _stretches(found.scale, found.collapse):
            figure.add_shape(
                type="rect", xref="x", yref="paper", x0=low, x1=high, y0=0, y1=1, layer="below",
                fillcolor=f"rgba({COLLAPSE},{0.5 * share:.3f})", line={"width": 0},
                label={"text": f"{share:.0%}" if share else "", "textposition": "top center", "font": {"size": 10}},
            )  # fmt: skip
    axis: dict[str, Any] = {"nticks": 5}
    if found.scale.log:
        axis = log_ticks(found.scale.low, found.scale.high)
    if found.scale.categories:
        names = [title(name) for name in found.scale.categories]
        axis = {"type": "category", "categoryorder": "array", "categoryarray": names, "range": [-0.5, len(names) - 0.5]}
    figure.update_xaxes(**axis)
    figure.update_yaxes(nticks=5)
    return figure_json(figure, x=None, y=None, height=190)


def _stretches(scale: Scale, lever: CollapseLever) -> Iterator[tuple[float, float, float]]:
    """Both ends and the share of the collapsed, the gaps between two stretches divided; categories by their place."""
    if scale.categories:
        places = {name: place for place, name in enumerate(scale.categories)}
        for found in lever.bins:
            if found.label in places:
                yield places[found.label] - 0.5, places[found.label] + 0.5, found.share
        return
    bounded = [(found.low, found.high, found.share) for found in lever.bins]
    known = [(low, high, share) for low, high, share in bounded if low is not None and high is not None]
    for index, (low, high, share) in enumerate(known):
        left = low if index == 0 else _middle(scale, known[index - 1][1], low)
        right = high if index == len(known) - 1 else _middle(scale, high, known[index + 1][0])
        yield left, right, share


def _middle(scale: Scale, low: float, high: float) -> float:
    return float((low * high) ** 0.5) if scale.log else (low + high) / 2


def strand_figure(scales: Sequence[Scale], strands: Sequence[Strand]) -> str:
    """Parallel coordinates, drawn downwards: a lever each row, its name above it, a line for every trial."""
    figure = go.Figure()
    rows = [float(-index) for index in range(len(scales))]
    for row in rows:
        figure.add_shape(type="line", x0=0, x1=1, y0=row, y1=row, layer="below", line={"color": GRID, "width": 2})
    for outcome in reversed(tuple(OUTCOMES)):
        chosen = [strand for strand in strands if strand.outcome == outcome]
        if not chosen:
            continue
        strong = outcome == "best"
        line = {"color": COLOURS[outcome], "width": 3.5 if strong else 1.2}
        xs, ys = rounded(joined(strand.places for strand in chosen)), joined(rows for _ in chosen)
        opacity = 1.0 if strong else 0.35 if outcome == "ranking" else 0.6
        figure.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=line, opacity=opacity, hoverinfo="skip"))
        figure.add_trace(
            go.Scatter(
                x=rounded(strand.places[-1] for strand in chosen),
                y=[rows[-1]] * len(chosen),
                mode="markers",
                marker=marker(outcome),
                hovertext=[hover(strand.text) for strand in chosen],
                hoverinfo="text",
            )
        )
    for scale, row in zip(scales, rows, strict=True):
        _labels(figure, scale, row)
    figure.update_xaxes(visible=False, range=[-0.03, 1.03], fixedrange=True)
    figure.update_yaxes(visible=False, range=[rows[-1] - 0.6, 0.6], fixedrange=True)
    return figure_json(figure, x=None, y=None, height=24 + ROW * len(scales))


def _labels(figure: go.Figure, scale: Scale, row: float) -> None:
    common: dict[str, Any] = {"y": row, "showarrow": False, "borderpad": 0}
    name = f"<b>{title(scale.name)}</b>"
    figure.add_annotation(x=0, xanchor="left", yshift=12, text=name, font={"size": 11.5}, **common)
    for place, text in scale.ticks:
        anchor = "left" if place < 0.05 else "right" if place > 0.95 else "center"
        figure.add_annotation(x=place, xanchor=anchor, yshift=-11, text=title(text), font={"size": 10.5}, **common)
