"""The named parts of a network, as phases freeze, gate and pace them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from core.models.gate import Gate
from core.tasks.abr_names import Part


def parts_of(module: nn.Module, part: Part | None = None) -> dict[Part, list[nn.Module]]:
    """Part -> the modules below `module` that make it up, none inside another, every parameter in exactly one.

    A module with an attribute `part` belongs to it with all that is in it, but for what has a `part` of its own; what
    stands in no such module belongs to `part`. Raises TypeError for parameters that belong to none, or that lie beside
    modules of another part.
    """
    own: Part | None = getattr(module, "part", part)
    if own is not None and all(getattr(inner, "part", own) == own for inner in module.modules()):
        return {own: [module]}
    if any(True for _ in module.parameters(recurse=False)):
        raise TypeError(f"{type(module).__name__} has weights of its own that belong to no one part")
    found: dict[Part, list[nn.Module]] = {}
    for child in module.children():
        for name, modules in parts_of(child, own).items():
            found.setdefault(name, []).extend(modules)
    return found


def gates_of(parts: Mapping[Part, list[nn.Module]]) -> dict[Part, list[Gate]]:
    """Part -> the gates in its modules; parts without one are left out."""
    found = {
        part: [gate for module in modules for gate in module.modules() if isinstance(gate, Gate)]
        for part, modules in parts.items()
    }
    return {part: gates for part, gates in found.items() if gates}
