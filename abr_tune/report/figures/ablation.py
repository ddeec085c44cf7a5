"""What each change on the way to the best configuration brought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import plotly.graph_objects as go

from abr_tune.ablation import Ablation, Told
from abr_tune.report.figures.style import COLOURS, SOFT, figure_json, rounded, title

TOLD: Final[Mapping[Told, str]] = {
    "helped": COLOURS["best"],
    "hurt": COLOURS["health"],
    "nothing told": COLOURS["ranking"],
}


def ablation_figure(ablation: Ablation) -> str:
    """Gains in the order of the changes, the first on top, with their intervals; estimates are hatched."""
    steps = [step for step in ablation.steps if step.gain is not None]
    gains = [step.gain or 0.0 for step in steps]
    ends = [step.interval or (step.gain or 0.0, step.gain or 0.0) for step in steps]
    figure = go.Figure(
        go.Bar(
            x=rounded(gains),
            y=[f"{place}. {title(_short(step.lever))}" for place, step in enumerate(steps, 1)],
            orientation="h",
            marker={
                "color": [TOLD[step.told] for step in steps],
                "pattern": {"shape": "/" if ablation.estimated else "", "fgopacity": 0.5},
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": rounded(high - gain for gain, (_, high) in zip(gains, ends, strict=True)),
                "arrayminus": rounded(gain - low for gain, (low, _) in zip(gains, ends, strict=True)),
                "color": SOFT,
                "thickness": 1.5,
                "width": 3,
            },
            hoverinfo="skip",
        )
    )
    figure.add_vline(x=0, line={"width": 1, "color": SOFT})
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(nticks=6)
    word = "estimated gain" if ablation.estimated else "gain"
    return figure_json(figure, x=f"{word} in {ablation.metric}", y=None, height=80 + 28 * len(steps))


def _short(lever: str) -> str:
    return lever if len(lever) <= 34 else f"{lever[:33]}…"
