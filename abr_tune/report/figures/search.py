"""The search over time: learning curves, and one trial after another."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from abr_tune.report.figures.style import (
    COLOURS,
    ROOM,
    SOFT,
    figure_json,
    hover,
    joined,
    marker,
    rounded,
    whole,
)
from abr_tune.report.outcomes import KEPT, OUTCOMES, Outcome
from abr_tune.report.plots import Curve, Point, Step


def curve_figure(curves: Sequence[Curve], metric: str, baseline: float | None) -> str:
    """All learning curves, one trace per outcome so that many stay light; a mark where each ended.

    Traces of kept and of stopped trials say so in `meta`, for the page's switch.
    """
    figure = go.Figure()
    for outcome in reversed(tuple(OUTCOMES)):
        chosen = [curve for curve in curves if curve.outcome == outcome]
        if chosen:
            figure.add_trace(_lines(outcome, chosen))
            figure.add_trace(_ends(outcome, chosen))
    if baseline is not None:
        note = {"text": "trivial predictor", "font": {"size": 11}}
        figure.add_hline(y=baseline, line={"dash": "dash", "width": 1.5, "color": SOFT}, annotation=note)
    figure.update_xaxes(dtick=whole(max((curve.epochs[-1] for curve in curves), default=1)))
    return figure_json(figure, x="epoch", y=metric, height=440, margin=ROOM)


def _lines(outcome: Outcome, curves: Sequence[Curve]) -> go.Scatter:
    strong = outcome == "best"
    return go.Scatter(
        x=joined(curve.epochs for curve in curves),
        y=rounded(joined(curve.values for curve in curves)),
        mode="lines",
        line={"color": COLOURS[outcome], "width": 3.5 if strong else 1.3},
        opacity=1.0 if strong else 0.7,
        hoverinfo="skip",
        meta="kept" if outcome in KEPT else "stopped",
    )


def _ends(outcome: Outcome, curves: Sequence[Curve]) -> go.Scatter:
    return go.Scatter(
        x=[curve.epochs[-1] for curve in curves],
        y=rounded(curve.values[-1] for curve in curves),
        mode="markers",
        marker=marker(outcome),
        hovertext=[hover(curve.text) for curve in curves],
        hoverinfo="text",
        meta="kept" if outcome in KEPT else "stopped",
    )


def history_figure(points: Sequence[Point], leading: Sequence[Step], metric: str) -> str:
    """Value by trial number, and the best complete value so far."""
    figure = go.Figure()
    if leading:
        figure.add_trace(
            go.Scatter(
                x=[step.trial for step in leading],
                y=rounded(step.value for step in leading),
                mode="lines",
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
                    y=rounded(point.value for point in chosen),
                    mode="markers",
                    marker=marker(outcome),
                    hovertext=[hover(point.text) for point in chosen],
                    hoverinfo="text",
                )
            )
    figure.update_xaxes(dtick=whole(max((point.trial for point in points), default=1)))
    return figure_json(figure, x="trial", y=metric, height=350, margin=ROOM)
