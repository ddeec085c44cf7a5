"""Packages that only some tasks need: asked for before they are imported, and missed in words."""

from __future__ import annotations

from importlib.util import find_spec


class MissingExtra(ImportError):
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
