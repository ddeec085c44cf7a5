"""Reading weights that somebody else may have written: only tensors of the expected names, shapes and kind."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

N = TypeVar("N", bound=nn.Module)


def fill(network: N, file: Any, prefix: str) -> N:
    """The network with the tensors of an open safetensors file whose names begin with `prefix`, ready to predict.

    Of the file only tensors of the right shape are read, however large it says it is. Raises ValueError where names,
    shapes or numbers are not those of such a network.
    """
    there = {name.removeprefix(prefix) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118 - no mapping
    wanted = network.state_dict()
    if there != set(wanted):
        raise ValueError(f"the names of its tensors are not those of such a network: {min(there ^ set(wanted))}")
    read = {}
    for name, parameter in wanted.items():
        shape = file.get_slice(prefix + name).get_shape()
        if list(parameter.shape) != shape:
            raise ValueError(f"{prefix}{name} has the shape {shape}, not {list(parameter.shape)}")
        read[name] = file.get_tensor(prefix + name)
        # The bounds of a head without labels are no numbers in the network either.
        if read[name].is_complex() or (parameter.isfinite().all() and not read[name].isfinite().all()):
            raise ValueError(f"{prefix}{name} holds what is no number")
    network.load_state_dict(read)
    return network.eval()


def first_line(damage: Exception) -> str:
    """What an exception says, in one line."""
    lines = [line.strip() for line in str(damage).splitlines() if line.strip()]
    return "; ".join(lines[:3]) or type(damage).__name__
