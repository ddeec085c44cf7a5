"""The ABR network: condition, backbone, one head per task; inputs and outputs in physical units."""

# B recordings, T samples, E condition features, C signals, K classes.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import torch
from torch import Tensor, nn

from core.data.recordings import STATIC
from core.data.scaling import Scaling
from core.data.tensors import Batch
from core.models.backbones import BACKBONES, WIDTHS, Width
from core.models.denoiser import Diffusion
from core.models.encoder import TOKEN_STRIDE, Condition, Encoder
from core.models.extractors import EXTRACTED, Extracted, Extractors
from core.models.features import Features, FeatureSizes
from core.models.gate import Gate
from core.models.head_table import Heads, build_heads
from core.models.outputs import Outputs
from core.models.parts import gates_of, parts_of
from core.models.precision import half
from core.models.s4d import Kernel
from core.models.unet import UNet
from core.tasks.abr_names import PARTS, Part
from core.tasks.abr_options import Input, ModelOptions, SignalScale
from core.tasks.abr_unet_options import Extraction

ParameterGroup = Literal["state_space", "no_decay", "decay"]
"""state_space: no weight decay, learning rate at most `s4d.LR_CAP`; no_decay: biases and norms; decay: the rest."""

STATIC_INPUTS: Final[Mapping[Input, str]] = {
    "age": "age_years",
    "intensity": "intensity_db_nhl",
    "rate": "rate_per_s",
    "fmp": "fmp",
}
"""Column of the recordings' static parameters behind each input that is not the signal."""


PART_OF: Final[Mapping[str, Part]] = {
    "condition": "condition",
    "class_head": "class_head",
    "threshold_head": "threshold_head",
    "exist_head": "peak_heads",
    "latency_head": "peak_heads",
    "amplitude_head": "peak_heads",
    "signal_head": "signal_head",
}
"""Child of the network -> the part it is; the modules of a backbone say for themselves."""


class AbrNetwork(nn.Module):
    """Recordings in, predictions for every task out; any number of samples.

    Scaling lives in buffers and is stored with the weights. Inputs that are not named are not read.
    """

    unit: Tensor

    def __init__(
        self,
        *,
        inputs: tuple[Input, ...],
        scaling: Scaling,
        width: Width,
        backbone: Callable[[], Encoder | UNet],
        heads: Callable[[FeatureSizes], Heads],
        extractors: Callable[[FeatureSizes], Extractors | None] = lambda _: None,
        diffusion: Callable[[FeatureSizes], Diffusion] | None = None,
        signal_scale: SignalScale = "absolute",
    ) -> None:
        super().__init__()
        self.bf16 = False
        """Whether the backbone computes in bfloat16 while it is trained; set by who trains it."""
        self.signal_scale = signal_scale
        self.signals = 1 if diffusion is None else 2
        self.reads_signal = "signal" in inputs
        self.register_buffer("unit", torch.tensor(scaling.signal))
        columns = tuple(STATIC.index(column) for name, column in STATIC_INPUTS.items() if name in inputs)
        self.condition = Condition(columns, scaling.static_mean, scaling.static_sd, width=width.condition)
        self.backbone = backbone()
        self.extractors = extractors(self.backbone.sizes)
        made = heads(self.backbone.sizes if self.extractors is None else self.extractors.sizes)
        self.class_head = made.classes
        self.threshold_head = made.threshold
        self.exist_head = made.exist
        self.latency_head = made.latency
        self.amplitude_head = made.amplitude
        self.signal_head = made.signal
        # Built last: without it the other weights begin as they would.
        self.diffusion = None if diffusion is None else diffusion(self.backbone.sizes)

    def forward(self, batch: Batch) -> Outputs:
        """Predictions for the recordings of `batch`; its labels are read by diffusion alone, while it is trained."""
        samples = batch.signal_BT.shape[-1]
        unit_B1 = self.unit_of(batch.signal_BT)
        x_BT = self.scaled(batch.signal_BT, unit_B1)
        of = self._extracted(self.features(x_BT, self.condition(batch.static_BS, x_BT)))
        threshold, latency = self.threshold_head(of["threshold"]), self.latency_head(of["peaks"])
        amplitude = self.amplitude_head(of["peaks"])
        return Outputs(
            class_logits_BK=self.class_head(of["class"]),
            threshold_B=threshold.mean_B,
            threshold_log_var_B=threshold.log_var_B,
            threshold_auxiliary_B=threshold.auxiliary_B,
            outlier_logit_B=threshold.outlier_logit_B,
            exist_logit_B=self.exist_head(of["peaks"]).squeeze(-1),
            latency_B=latency.mean_B,
            latency_log_var_B=latency.log_var_B,
            amplitude_B=amplitude.mean_B,
            amplitude_log_var_B=amplitude.log_var_B,
            signal_BT=unit_B1 * (x_BT + self.signal_head(of["signal"])[:, :samples]),
            diffusion_error_BT=self._diffusion_error(batch, x_BT, unit_B1),
        )

    def _diffusion_error(self, batch: Batch, x_BT: Tensor, unit_B1: Tensor) -> Tensor | None:
        """(B, T) what is said of noised truths less what ought to be, in units of their spread; None where not asked.

        An unknown truth gives 0. Some of the recordings are not shown; of those the labels are told, or nothing.
        """
        diffusion = self.diffusion
        if diffusion is None or not self.training:
            return None
        known_B1 = batch.clean_BT.isfinite().all(-1, keepdim=True)
        clean_BT = torch.where(known_B1, batch.clean_BT, 0.0) / (unit_B1 * diffusion.spread)
        draw = diffusion.draw(clean_BT)
        without_B1, silent_B1 = diffusion.dropped(len(batch), batch.device)
        labels_BP = torch.where(without_B1 & ~silent_B1, diffusion.told.labels_of(batch), 0.0)
        said_BT = self.said(
            draw.noisy_BT,
            draw.step_B,
            labels_BP,
            x_BT=torch.where(without_B1, 0.0, x_BT),
            static_BS=torch.where(silent_B1, torch.nan, batch.static_BS),
        )
        return torch.where(known_B1, said_BT - draw.target_BT, 0.0)

    def said(self, noisy_BT: Tensor, step_B: Tensor, labels_BP: Tensor, *, x_BT: Tensor, static_BS: Tensor) -> Tensor:
        """(B, T) velocity or noise of truths noised to `step_B`, given scaled recordings (zeros: none) and labels.

        Raises ValueError for a network without diffusion.
        """
        if self.diffusion is None:
            raise ValueError("the network was trained without model.diffusion")
        condition_BE = self.condition(static_BS, x_BT) + self.diffusion.told(step_B, labels_BP)
        features = self.features(x_BT, condition_BE, noisy_BT.unsqueeze(1))
        return self.diffusion.said.of(features, noisy_BT, step_B)

    def features(self, x_BT: Tensor, condition_BE: Tensor, beside_BCT: Tensor | None = None) -> Features:
        """What the backbone makes of scaled recordings, with the further signals a network of several is shown.

        `beside_BCT` (B, signals - 1, T) None: zeros. What else should modulate the features, such as a time step, is
        added to `condition_BE`.
        """
        if beside_BCT is None:
            beside_BCT = x_BT.new_zeros(x_BT.shape[0], self.signals - 1, x_BT.shape[-1])
        with half(x_BT, on=self.bf16 and self.training):
            made: Features = self.backbone(torch.cat([x_BT.unsqueeze(1), beside_BCT], 1), condition_BE)
        return made.single() if self.bf16 else made

    def _extracted(self, features: Features) -> Mapping[Extracted, Features]:
        """Task -> what its heads see: features of its own, or those of all."""
        return dict.fromkeys(EXTRACTED, features) if self.extractors is None else self.extractors(features)

    def scaled(self, signal_BT: Tensor, unit_B1: Tensor) -> Tensor:
        """(B, T) in units of `unit_of`; zeros where the signal is no input."""
        return signal_BT / unit_B1 if self.reads_signal else torch.zeros_like(signal_BT)

    def unit_of(self, signal_BT: Tensor) -> Tensor:
        """(B, 1) or scalar: what a recording is divided by; a flat one by the training split's spread."""
        if self.signal_scale == "absolute":
            return self.unit
        own_B1 = signal_BT.square().mean(-1, keepdim=True).sqrt()
        return torch.where(own_B1 > 0, own_B1, self.unit)

    def shared_parameters(self) -> list[nn.Parameter]:
        """The weights every head trains: the condition, and of the backbone what all features come from."""
        trunk = [self.condition, *self.backbone.trunk()]
        return [parameter for module in trunk for parameter in module.parameters()]

    def parts(self) -> dict[Part, list[nn.Module]]:
        """Part -> its modules, none inside another; every parameter is in exactly one. What is not built is empty."""
        found: dict[Part, list[nn.Module]] = {part: [] for part in PARTS}
        for name, child in self.named_children():
            for part, modules in parts_of(child, PART_OF.get(name)).items():
                found[part].extend(modules)
        return found

    def gates(self) -> dict[Part, list[Gate]]:
        """Part -> the gates on its residual branches; parts without one are left out."""
        return gates_of(self.parts())

    def parameter_groups(self) -> dict[ParameterGroup, list[nn.Parameter]]:
        """Every parameter once, by how the optimiser should treat it."""
        groups: dict[ParameterGroup, list[nn.Parameter]] = {"state_space": [], "no_decay": [], "decay": []}
        for module in self.modules():
            for parameter in module.parameters(recurse=False):
                groups[_group(module, parameter)].append(parameter)
        return groups


def _group(module: nn.Module, parameter: nn.Parameter) -> ParameterGroup:
    if isinstance(module, Kernel):
        return "state_space"
    # Biases, norms and direct paths are vectors.
    return "no_decay" if parameter.ndim < 2 else "decay"


EXTRACTIONS: Final[Mapping[Extraction, Callable[[FeatureSizes], Extractors | None]]] = {
    "shared": lambda _sizes: None,
    "separate": lambda sizes: Extractors(sizes, cross_task=False),
    "cross_task": lambda sizes: Extractors(sizes, cross_task=True),
}
"""Name -> maker of what stands between the backbone and the heads."""


def build_network(
    options: ModelOptions,
    scaling: Scaling,
    *,
    samples: int,
    sampling_rate_hz: float,
    num_classes: int,
    spread: bool = False,
    outliers: float = 0.0,
) -> AbrNetwork:
    """The network that `options` describe; raises ValueError when recordings of `samples` samples are too short.

    With `spread`, heads that predict a number predict how far labels lie from it; `outliers` is the share of threshold
    labels expected to be wrong, above 0 only for a loss that reads the probability.
    """
    if samples < 2 * TOKEN_STRIDE:
        raise ValueError(f"recordings of {samples} samples are too short: the network needs {2 * TOKEN_STRIDE}")
    width = WIDTHS[options.size]
    # With diffusion it is shown two signals: the recording, and the noised truth or zeros.
    signals = 2 if options.diffusion.enabled else 1
    return AbrNetwork(
        inputs=options.inputs,
        scaling=scaling,
        width=width,
        backbone=lambda: BACKBONES[options.backbone](options, samples, signals),
        heads=lambda sizes: build_heads(
            options.heads,
            sizes,
            scaling,
            hidden=width.hidden,
            dropout=options.dropout,
            num_classes=num_classes,
            ms_per_sample=1000.0 / sampling_rate_hz,
            spread=spread,
            outliers=outliers,
        ),
        extractors=EXTRACTIONS[options.extractors],
        diffusion=(lambda sizes: Diffusion(options.diffusion, scaling, sizes, classes=num_classes))
        if options.diffusion.enabled
        else None,
        signal_scale=options.signal_scale,
    )
