"""Names of metrics: `<split>/<task>/<metric>`, as in `val/class/f1_macro`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from abr_tune.plan.explain import suggest

SPLITS: Final = ("train", "val", "test")

METRICS: Final[Mapping[str, tuple[str, ...]]] = {
    "class": (
        *("accuracy", "balanced_accuracy", "f1_macro", "f1_rare", "auroc_macro", "ece", "predicted_classes"),
        *("largest_share", "prediction_entropy", "probability_sd", "patient_f1_macro", "nll", "ece_raw", "nll_raw"),
    ),
    "threshold": (
        *("mae_db", "rmse_db", "r2", "pearson", "within_5_db", "within_10_db", "over_rate", "under_rate"),
        *("spread_ratio", "coverage_90", "interval_width_db", "nll"),
    ),
    "peak": (
        *("exist_f1", "exist_auroc", "false_rate", "latency_mae_ms", "latency_r2", "latency_pearson"),
        *("within_0.1_ms", "within_1_ms", "amplitude_mae_uv", "amplitude_r2"),
        *("latency_coverage_90", "latency_interval_width_ms", "latency_nll"),
        *("amplitude_coverage_90", "amplitude_interval_width_uv", "amplitude_nll"),
    ),
    "signal": ("pearson", "snr_db", "snr_gain_db", "mse"),
}
"""Metrics of the ABR tasks by group; `f1/<CLASS>` and `recall/<CLASS>` come with every class."""

_PER_CLASS: Final = ("f1", "recall")


def fault_of(name: str, *, known_task: bool) -> tuple[str, str | None] | None:
    """What is wrong with the name of a metric to search or judge by, and a suggestion; None when nothing is.

    The metrics of a task of the user's own are not known: only the form of the name is checked.
    """
    known = [f"val/{group}/{metric}" for group, metrics in METRICS.items() for metric in metrics]
    split, _, rest = name.removesuffix(":skill").partition("/")
    group, _, metric = rest.partition("/")
    if split not in SPLITS or not group or not metric or name != name.strip():
        hint = suggest(f"val/{name}", known) or suggest(name, known) if known_task else None
        return f"{name} is not a metric: names are <split>/<task>/<metric>, as val/class/f1_macro", hint
    if split == "test":
        return f"{name} cannot be used: the test split is scored once, at the end", f"did you mean val/{rest}?"
    if not known_task:
        return None
    if split == "train":
        return f"{name} cannot be used: trials are scored on the validation split", f"did you mean val/{rest}?"
    kind, _, label = metric.partition("/")
    per_class = group == "class" and kind in _PER_CLASS and label
    if per_class or name.removesuffix(":skill") in known:
        return None
    return f"{name} is not a metric of this task", suggest(f"val/{group}/{metric}", known)
