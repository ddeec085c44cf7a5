"""What the ABR network says of a batch of recordings, in physical units."""

# B recordings, K classes, T samples.

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outputs:
    """Predictions for B recordings. A head whose target had no labels in training is untrained and says nothing.

    What only some heads say is None where the option is off.
    """

    class_logits_BK: Tensor
    threshold_B: Tensor
    """dB nHL."""
    exist_logit_B: Tensor
    """Log-odds that wave V is visible."""
    latency_B: Tensor
    """ms."""
    amplitude_B: Tensor
    """Microvolts."""
    signal_BT: Tensor
    """Denoised, in the unit of the recording."""
    threshold_log_var_B: Tensor | None = None
    """Logarithm of the variance of the threshold about its prediction, in dB²."""
    latency_log_var_B: Tensor | None = None
    """Of the latency, in ms²."""
    amplitude_log_var_B: Tensor | None = None
    """Of the amplitude, in square microvolts."""
    threshold_auxiliary_B: Tensor | None = None
    """dB nHL, from the local path of the threshold head alone: read by its loss, by nothing else."""
    outlier_logit_B: Tensor | None = None
    """Log-odds that the threshold's label has nothing to do with the recording."""
    diffusion_error_BT: Tensor | None = None
    """What is said of noised truths less what ought to be, in units of their spread, while diffusion is trained."""
