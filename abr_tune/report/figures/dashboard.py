"""Plots for Optuna's dashboard, which is light or dark as its reader likes: text in a grey that is read on both."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from abr_tune.report.collapse import CollapseMap
from abr_tune.report.figures.style import COLLAPSE, COLOURS, SOFT, figure_json, title
from abr_tune.report.tables import StopRow


def collapse_map_figure(found: CollapseMap) -> str:
    """A row for each lever, a block for each stretch of it: the darker, the more of its trials collapsed."""
    figure = go.Figure()
    names = [title(lever.lever) for lever in found.levers]
    for place in range(max(len(lever.bins) for lever in found.levers)):
        rows = [(name, lever) for name, lever in zip(names, found.levers, strict=True) if place < len(lever.bins)]
        figure.add_trace(
            go.Bar(
                x=[1 / len(lever.bins) for _, lever in rows],
                y=[name for name, _ in rows],
                orientation="h",
                marker={
                    "color": [f"rgba({COLLAPSE},{0.04 + 0.8 * lever.bins[place].share:.3f})" for _, lever in rows],
                    "line": {"width": 1, "color": "rgba(128,128,128,0.5)"},
                },
                text=[
                    f"{title(lever.bins[place].label)}<br>{lever.bins[place].collapsed} of {lever.bins[place].trials}"
                    for _, lever in rows
                ],
                textposition="inside",
                insidetextanchor="middle",
                textfont={"color": SOFT},
                hoverinfo="text",
            )
        )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(autorange="reversed")
    text = f"Where trials collapse: {found.collapsed} of {found.trials}; the most telling setting on top"
    return _for_dashboard(figure, text, height=110 + 46 * len(names))


def savings_figure(rows: Sequence[StopRow]) -> str:
    """Epochs that stopped trials took, and that they were not trained any more, by what stopped them."""
    figure = go.Figure()
    names = [title(f"{row.rule} ({row.trials})") for row in rows]
    for word, values, colour in (
        ("spent", [row.epochs for row in rows], COLOURS["ranking"]),
        ("saved", [row.saved or 0 for row in rows], COLOURS["best"]),
    ):
        figure.add_trace(go.Bar(x=values, y=names, orientation="h", name=word, marker={"color": colour}))
    figure.update_xaxes(title_text="epochs")
    figure.update_yaxes(autorange="reversed")
    return _for_dashboard(figure, "Epochs of the stopped trials", height=150 + 34 * len(names), showlegend=True)


def _for_dashboard(figure: go.Figure, text: str, *, height: int, showlegend: bool = False) -> str:
    return figure_json(
        figure,
        x=None,
        y=None,
        height=height,
        barmode="stack",
        showlegend=showlegend,
        title={"text": text, "font": {"size": 15}},
        font={"size": 12, "color": SOFT},
        margin={"l": 8, "r": 12, "t": 48, "b": 8},
    )
