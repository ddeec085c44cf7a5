"""Where a training computes, how precisely, and whether it gives the same numbers each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch

from core.config import ComputeOptions

CUBLAS: Final = "CUBLAS_WORKSPACE_CONFIG"
"""Read by CUDA's matrix products: without a fixed workspace they add up in another order each time."""
CUBLAS_FIXED: Final = ":4096:8"


class NoCard(ValueError):
    """A graphics card was asked for and torch can use none."""

    def __str__(self) -> str:
        built = "for processors only" if torch.version.cuda is None else f"for CUDA {torch.version.cuda}"
        return (
            f"device cuda is asked for, but torch {torch.__version__}, built {built}, can use no graphics card here; "
            "see `abr-tune doctor`, or say device: auto or device: cpu"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """A device, and how to compute on it."""

    device: torch.device
    bf16: bool = False
    """Whether the trunk of a network in training computes in bfloat16."""
    deterministic: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Around a whole training: what can only be set for all of the process is set, and as it was afterwards."""
        before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        if self.deterministic:
            os.environ.setdefault(CUBLAS, CUBLAS_FIXED)
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])

    @contextmanager
    def generators_kept(self) -> Iterator[None]:
        """Around what may use torch's generators without the training noticing."""
        cards = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(cards):
            yield


PROCESSOR: Final = Compute(device=torch.device("cpu"))


def compute_for(options: ComputeOptions) -> Compute:
    """What `options` come to on this machine. Raises NoCard where they want a card and torch can use none."""
    there = options.device != "cpu" and torch.cuda.is_available()
    if options.device == "cuda" and not there:
        raise NoCard
    # The current one: of the cards a worker may see, its first.
    device = torch.device("cuda", torch.cuda.current_device()) if there else torch.device("cpu")
    half = options.precision == "bf16" or (options.precision == "auto" and there and torch.cuda.is_bf16_supported())
    return Compute(device=device, bf16=half, deterministic=options.deterministic)
