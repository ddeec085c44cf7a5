"""The ABR network: one shared S4D encoder, one head per task, inputs and outputs in physical units."""

# B recordings, T samples, S static parameters, E condition features, C fine channels, D channels, L tokens, K classes.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn

from core.data.recordings import STATIC
from core.data.scaling import Scaling
from core.data.tensors import Batch
from core.models.encoder import LEVELS, STEM_STRIDE, SUMMARY, TOKEN_STRIDE, Block, Standardise, Stem, levels, summary
from core.models.heads import LatencyHead, NoClasses, ScalarHead, SignalHead, perceptron
from core.models.outputs import Outputs
from core.models.s4d import Kernel
from core.tasks.abr_options import Input, ModelOptions, ModelSize, SignalScale

ParameterGroup = Literal["state_space", "no_decay", "decay"]
"""state_space: no weight decay, learning rate at most `s4d.LR_CAP`; no_decay: biases and norms; decay: the rest."""

STATIC_INPUTS: Final[Mapping[Input, str]] = {
    "age": "age_years",
    "intensity": "intensity_db_nhl",
    "rate": "rate_per_s",
    "fmp": "fmp",
}
"""Column of the recordings' static parameters behind each input that is not the signal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Width:
    """What a model size stands for."""

    kernels: tuple[int, ...]
    stem: int
    channels: int
    blocks: int
    states: int
    condition: int
    hidden: int


WIDTHS: Final[Mapping[ModelSize, Width]] = {
    "tiny": Width(kernels=(7, 21), stem=16, channels=32, blocks=2, states=8, condition=32, hidden=64),
    "small": Width(kernels=(7, 21, 45), stem=36, channels=64, blocks=4, states=16, condition=64, hidden=128),
}


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
        sampling_rate_hz: float,
        num_classes: int,
        kernels: tuple[int, ...],
        stem: int,
        channels: int,
        blocks: int,
        states: int,
        condition: int,
        hidden: int,
        dropout: float,
        signal_scale: SignalScale = "absolute",
    ) -> None:
        super().__init__()
        self.signal_scale = signal_scale
        self.reads_signal = "signal" in inputs
        self.ms_per_sample = 1000.0 / sampling_rate_hz
        self.register_buffer("unit", torch.tensor(scaling.signal))
        columns = tuple(STATIC.index(column) for name, column in STATIC_INPUTS.items() if name in inputs)
        self.standardise = Standardise(columns, scaling.static_mean, scaling.static_sd)
        self.condition = nn.Sequential(
            nn.Linear(2 * len(columns) + LEVELS, condition), nn.SiLU(), nn.Linear(condition, condition), nn.SiLU()
        )
        self.stem = Stem(kernels, stem, channels)
        self.blocks = nn.ModuleList(Block(channels, states, condition, dropout) for _ in range(blocks))
        fine = stem // len(kernels) * len(kernels)
        ratio = TOKEN_STRIDE // STEM_STRIDE
        self.up = nn.ConvTranspose1d(channels, fine, ratio, stride=ratio)
        self.fuse = nn.Conv1d(2 * fine, fine, 5, padding=2)
        features = SUMMARY * channels + condition
        self.class_head = perceptron(features, hidden, num_classes, dropout) if num_classes else NoClasses()
        self.threshold_head = ScalarHead(features, hidden, dropout, scaling.threshold)
        self.exist_head = perceptron(features, hidden, 1, dropout)
        self.latency_head = LatencyHead(fine, scaling.latency)
        self.amplitude_head = ScalarHead(features, hidden, dropout, scaling.amplitude)
        self.signal_head = SignalHead(fine, STEM_STRIDE)

    def forward(self, batch: Batch) -> Outputs:
        """Predictions for the recordings of `batch`; its labels are not read."""
        samples = batch.signal_BT.shape[-1]
        unit_B1 = self._unit(batch.signal_BT)
        x_BT = batch.signal_BT / unit_B1 if self.reads_signal else torch.zeros_like(batch.signal_BT)
        x_BT = nn.functional.pad(x_BT, (0, -samples % TOKEN_STRIDE))
        condition_BE = self.condition(torch.cat([self.standardise(batch.static_BS), levels(x_BT)], 1))
        fine_BCL, h_BDL = self.stem(x_BT)
        for block in self.blocks:
            h_BDL = block(h_BDL, condition_BE)
        features_BF = torch.cat([summary(h_BDL), condition_BE], 1)
        fused_BCL = nn.functional.silu(self.fuse(torch.cat([self.up(h_BDL), fine_BCL], 1)))
        return Outputs(
            class_logits_BK=self.class_head(features_BF),
            threshold_B=self.threshold_head(features_BF),
            exist_logit_B=self.exist_head(features_BF).squeeze(-1),
            latency_B=self.latency_head(fused_BCL, self._times(fused_BCL)),
            amplitude_B=self.amplitude_head(features_BF),
            signal_BT=unit_B1 * (x_BT + self.signal_head(fused_BCL))[:, :samples],
        )

    def _unit(self, signal_BT: Tensor) -> Tensor:
        """(B, 1) or scalar: what a recording is divided by; a flat one by the training split's spread."""
        if self.signal_scale == "absolute":
            return self.unit
        own_B1 = signal_BT.square().mean(-1, keepdim=True).sqrt()
        return torch.where(own_B1 > 0, own_B1, self.unit)

    def _times(self, fine_BCL: Tensor) -> Tensor:
        """(L,) times of the fine features after the stimulus, in ms."""
        return torch.arange(fine_BCL.shape[-1], device=fine_BCL.device) * (STEM_STRIDE * self.ms_per_sample)

    def shared_parameters(self) -> list[nn.Parameter]:
        """The weights every head trains: condition, stem and blocks."""
        return [parameter for part in (self.condition, self.stem, self.blocks) for parameter in part.parameters()]

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


def build_network(
    options: ModelOptions, scaling: Scaling, *, samples: int, sampling_rate_hz: float, num_classes: int
) -> AbrNetwork:
    """The network that `options` describe; raises ValueError when recordings of `samples` samples are too short."""
    if samples < 2 * TOKEN_STRIDE:
        raise ValueError(f"recordings of {samples} samples are too short: the network needs {2 * TOKEN_STRIDE}")
    width = WIDTHS[options.size]
    return AbrNetwork(
        inputs=options.inputs,
        scaling=scaling,
        sampling_rate_hz=sampling_rate_hz,
        num_classes=num_classes,
        kernels=width.kernels,
        stem=width.stem,
        channels=width.channels,
        blocks=width.blocks,
        states=width.states,
        condition=width.condition,
        hidden=width.hidden,
        dropout=options.dropout,
        signal_scale=options.signal_scale,
    )
