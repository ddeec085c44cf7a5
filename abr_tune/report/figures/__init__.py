"""Drawing: rows to plotly figures, as JSON. The one place that imports plotly.

Colours are those of Okabe and Ito, told apart with any colour vision; every outcome also has its own symbol. Text and
grid take their colour from the page, so that one figure serves light, dark and paper. The legend of outcomes stands in
the page, once for all figures.
"""

from abr_tune.report.figures.ablation import ablation_figure
from abr_tune.report.figures.dashboard import collapse_map_figure, savings_figure
from abr_tune.report.figures.front import pareto_figure
from abr_tune.report.figures.levers import importance_figure, slice_figure, strand_figure
from abr_tune.report.figures.search import curve_figure, history_figure
from abr_tune.report.figures.style import COLOURS, GLYPHS, SYMBOLS, plotly_js
from abr_tune.report.figures.training import norm_figure, reliability_figure, share_figure

__all__ = [
    "COLOURS",
    "GLYPHS",
    "SYMBOLS",
    "ablation_figure",
    "collapse_map_figure",
    "curve_figure",
    "history_figure",
    "importance_figure",
    "norm_figure",
    "pareto_figure",
    "plotly_js",
    "reliability_figure",
    "savings_figure",
    "share_figure",
    "slice_figure",
    "strand_figure",
]
