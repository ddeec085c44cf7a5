"""What a page carries within itself, made safe for the elements it stands in."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from markupsafe import Markup


def asset(name: str) -> Markup:
    """One of our own scripts or styles, for its element."""
    return inline((files("abr_tune.report") / "templates" / name).read_text(encoding="utf-8"))


def inline(text: str) -> Markup:
    """A script or style that we ship, for its element. Raises `ValueError` for one that would end that element."""
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError("the text would end the element it stands in")
    return Markup(text)  # noqa: S704


def inert(json: str) -> Markup:
    """JSON that cannot end the script element it stands in, whatever text it holds."""
    return Markup(json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def hashes(scripts: list[Markup]) -> str:
    """Sources of a content security policy that allow just these scripts."""
    found = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    return " ".join(f"'sha256-{each}'" for each in found) or "'none'"
