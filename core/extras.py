"""What only some tasks need: asked for before it is used, and missed in words."""

from __future__ import annotations

from importlib.util import find_spec


class Missing(Exception):
    """A task needs something that this machine has not; the message says what."""


class MissingWeights(Missing):
    """The weights of a pretrained network are not here and cannot be fetched."""

    def __init__(self, network: str, reason: str) -> None:
        super().__init__(network, reason)

    def __str__(self) -> str:
        network, reason = self.args
        return f"the pretrained weights of {network} are not on this machine and cannot be fetched: {reason}"


class MissingExtra(Missing, ImportError):
    """A task needs packages that are not installed with the rest."""

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(extra, module)

    def __str__(self) -> str:
        extra, module = self.args
        return f"{module} is not installed, which this needs: pip install 'abr-tune[{extra}]'"


def need(extra: str, *modules: str) -> None:
    """Raise MissingExtra unless the modules of an extra of this package can be imported."""
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtra(extra, module)
