"""An exponential moving average of a network's state, scored and saved in place of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from core.schedules import EmaOptions


class Averaged(Protocol):
    """Whose weights may be averaged: a learner."""

    @property
    def ema(self) -> Ema | None:
        """The average, where there is one."""
        ...


def kept(step: int, options: EmaOptions) -> float:
    """Share of the average that update `step` (counted from 1) keeps."""
    return min(options.decay, (1 + step) / (10 + step)) if options.warmup else options.decay


class Ema:
    """average <- kept * average + (1 - kept) * state, for weights and the statistics of batch normalisation alike.

    It begins with the state the network has now, which must stay on its device. Everything else is copied. What does
    not change stays bit for bit.
    """

    def __init__(self, network: nn.Module, options: EmaOptions) -> None:
        self.network = network
        self.options = options
        self.steps = 0
        """Updates so far."""
        self.average = {name: tensor.clone() for name, tensor in self.state().items()}
        moving = {name for name, _ in network.named_parameters()} | set(_statistics(network))
        own = self.state()
        self._moving = [(self.average[name], own[name]) for name in own if name in moving]
        self._copied = [(self.average[name], own[name]) for name in own if name not in moving]

    def state(self) -> dict[str, Tensor]:
        """Name -> what the network itself holds; changing it changes the network."""
        return {name: tensor.detach() for name, tensor in self.network.state_dict().items()}

    def update(self) -> None:
        """Take note of an optimiser step that was taken."""
        self.steps += 1
        share = 1 - kept(self.steps, self.options)
        averages, own = zip(*self._moving, strict=True)
        torch._foreach_lerp_(averages, own, share)
        for average, tensor in self._copied:
            average.copy_(tensor)

    def restore(self, average: Mapping[str, Tensor], steps: int) -> None:
        """Go on from an average after so many updates."""
        self.steps = steps
        for name, tensor in average.items():
            self.average[name].copy_(tensor)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network holds the average within, and its own state again afterwards, bit for bit."""
        own = {name: tensor.clone() for name, tensor in self.state().items()}
        try:
            _fill(self.state(), self.average)
            yield
        finally:
            _fill(self.state(), own)


@contextmanager
def averaged(learners: Iterable[Averaged]) -> Iterator[None]:
    """All networks that keep an average hold it within."""
    with ExitStack() as stack:
        for learner in learners:
            if learner.ema is not None:
                stack.enter_context(learner.ema.in_place())
        yield


def _statistics(network: nn.Module) -> Iterator[str]:
    """The names of running means and variances; counts of batches are whole numbers."""
    for path, module in network.named_modules():
        if isinstance(module, _NormBase):
            for name, statistic in module.named_buffers(recurse=False):
                if statistic.is_floating_point():
                    yield f"{path}.{name}" if path else name


def _fill(state: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(values[name])
