"""Plots for Optuna's dashboard, which is light or dark as its reader likes: text in a grey that is read on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from abr_tune.report.collapse import CollapseMap
from abr_tune.report.figures.style import COLLAPSE, COLOURS, SOFT, figure_json, title
from abr_tune.report.tables import StopRow

ROOM_THERE: Final = 430
"""Pixels of height that the dashboard gives to a plot; what is taller is cut off."""


def collapse_map_figure(whole: CollapseMap) -> str:
    """A row for each lever, a block for each stretch of it: the darker, the more of its trials collapsed."""
    figure = go.Figure()
    names = [title(lever.lever) for lever in whole.levers]
    for place in range(max(len(lever.bins) for lever in whole.levers)):
        rows = [(name, lever) for name, lever in zip(names, whole.levers, strict=True) if place < len(lever.bins)]
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
                    f"{title(found.label)}: {found.collapsed}/{found.trials}"
                    for found in (lever.bins[place] for _, lever in rows)
                ],
                textposition="inside",
                insidetextanchor="middle",
                textfont={"color": SOFT, "size": 10},
                hoverinfo="text",
            )
        )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(autorange="reversed")
    return _for_dashboard(figure, f"Where trials collapse ({whole.collapsed} of {whole.trials})")


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
    return _for_dashboard(figure, "Epochs of the stopped trials", showlegend=True)


def _for_dashboard(figure: go.Figure, text: str, *, showlegend: bool = False) -> str:
    return figure_json(
        figure,
        x=None,
        y=None,
        height=ROOM_THERE,
        barmode="stack",
        showlegend=showlegend,
        legend={"orientation": "h", "y": -0.15, "yanchor": "top"},
        title={"text": text, "font": {"size": 15}, "x": 0.01},
        font={"size": 12, "color": SOFT},
        margin={"l": 8, "r": 12, "t": 48, "b": 8},
    )
