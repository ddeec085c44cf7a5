"""What makes a training the same one: a checkpoint continues no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from core.training.start import Taken


def identity(
    options: BaseModel, *, seed: int, fingerprint: str, begun: Taken | None, plan: Iterable[str]
) -> dict[str, Any]:
    """Ready for JSON; `plan` names the phases that were written down, in their order."""
    phases = list(plan)
    return {
        # A checkpoint goes on on any device.
        "options": options.model_dump(mode="json", by_alias=True, exclude={"device"}),
        "seed": seed,
        "data": fingerprint,
        **({} if begun is None else {"start": begun.sha256}),
        # Options are compared as mappings, which know no order; phases come in theirs.
        **({"phases": phases} if phases else {}),
    }
