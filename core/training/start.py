"""Training that begins from weights another training ended with.

Taken are parameters, and the running statistics of batch normalisation, whose name and shape are the same there and
here; the rest begin anew. Other buffers (units, means, bounds) were fitted on the training split of this run and stay.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """What of a file of weights a training began with."""

    sha256: str
    """Of the file."""
    tensors: int
    """How many were taken."""
    of: int
    """How many the networks have that could be."""

    @property
    def signals(self) -> dict[str, float]:
        """For the health signals of every epoch."""
        return {"start/tensors_taken": float(self.tensors), "start/tensors": float(self.of)}


def begin_from(file: Path, networks: Sequence[nn.Module]) -> Taken:
    """Put the weights in a `model.safetensors` into the networks, one per fold; the log says how many fitted.

    The network of each fold takes the tensors of its own fold. A file of a single fold serves a single network only:
    it was trained on recordings that other folds hold out.

    Raises ValueError for a file that holds no weights, or those of another number of folds.
    """
    try:
        with safe_open(file, framework="pt") as weights:
            names = set(weights.keys())
            folds = {name.partition(".")[0] for name in names}
            if folds != {f"fold{fold}" for fold in range(len(networks))}:
                raise ValueError(
                    f"{file} holds the networks of {len(folds)} folds, this training has {len(networks)}: begun from "
                    "these, a network would have seen what validates it"
                )
            fitting = [
                (name, tensor)
                for fold, network in enumerate(networks)
                for name, tensor in _learnt(network, f"fold{fold}.")
            ]
            taken = 0
            with torch.no_grad():
                for name, tensor in fitting:
                    if name in names and weights.get_slice(name).get_shape() == list(tensor.shape):
                        tensor.copy_(_finite(weights.get_tensor(name), name))
                        taken += 1
    except SafetensorError as damage:
        raise ValueError(f"{file} holds no weights: {damage}") from damage
    said = f"begun from {file}: {taken} of {len(fitting)} tensors have the same name and shape there"
    if taken:
        log.info("%s", said)
    else:
        log.warning("%s; everything begins anew", said)
    return Taken(hashlib.sha256(file.read_bytes()).hexdigest(), taken, len(fitting))


def _learnt(network: nn.Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """What training changes in a network: its parameters, and the running statistics of its batch normalisation."""
    for name, parameter in network.named_parameters():
        yield prefix + name, parameter
    for path, module in network.named_modules():
        if isinstance(module, _NormBase):
            for name, statistic in module.named_buffers(recurse=False):
                yield f"{prefix}{path}.{name}" if path else prefix + name, statistic


def _finite(tensor: Tensor, name: str) -> Tensor:
    if tensor.is_complex() or not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} holds what is no number")
    return tensor
