"""How fast methods get near the best, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import plotly.graph_objects as go

from abr_tune.report.figures.style import COLOURS, DASHES, PALETTE, figure_json, rounded, title


def regret_figure(lines: Mapping[str, tuple[Sequence[int], Sequence[float]]], leading: str) -> str:
    """Mean regret over epochs spent, one line per method, the one called `leading` drawn boldly.

    The vertical axis is linear below 1, where the median of the bank lies, and cut off above 2.
    """
    figure = go.Figure()
    others = (colour for colour in PALETTE if colour != COLOURS["best"])
    looks = iter([(colour, dash) for dash, colour in product(DASHES, tuple(others))])
    for name, (epochs, regrets) in lines.items():
        strong = name == leading
        colour, dash = (COLOURS["best"], "solid") if strong else next(looks)
        figure.add_trace(
            go.Scatter(
                x=list(epochs),
                y=rounded(regrets),
                mode="lines",
                name=title(name),
                line={"color": colour, "width": 4 if strong else 1.8, "dash": dash},
            )
        )
    return figure_json(
        figure,
        x="epochs spent",
        y="mean regret of what would be recommended",
        height=520,
        showlegend=True,
        legend={"orientation": "h", "y": -0.2},
        yaxis={"range": [0, 2]},
    )
