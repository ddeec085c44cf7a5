"""Graphics cards: whether torch can use those that are there. Asked in a process of its own: drivers hang and crash."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from abr_tune.doctor.child import NoAnswer, ask
from abr_tune.doctor.finding import Finding, Place, gibibytes, note, ok, warning

SECONDS_FOR_TORCH: Final = 90.0
SECONDS_FOR_THE_DRIVER: Final = 15.0
SIGNS: Final = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")
"""Where a driver of NVIDIA's shows itself, the last one under Windows."""
QUERY: Final = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
MISMATCH: Final = "version mismatch"
FULL: Final = 0.5
"""Share of a card's memory in use by others that is worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card that torch computed on."""

    name: str
    memory: int
    """Bytes."""
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the driver, the system and torch say."""

    driver: str = ""
    """What nvidia-smi printed; empty without it, or when it failed."""
    trouble: str = ""
    """What it complained of."""
    signs: bool = False
    """Whether the system shows a driver of NVIDIA's."""
    torch: str = ""
    """Its version; empty when it did not answer."""
    built_for: str | None = None
    """The CUDA torch was built for; None: for processors only."""
    cards: tuple[Card, ...] = ()
    error: str = ""
    """Why torch cannot use a card, in its own words."""


def gpu(_place: Place) -> Iterator[Finding]:
    """Ask the driver and torch."""
    driver, trouble = _driver()
    signs = any(Path(sign).exists() for sign in SIGNS)
    try:
        said = ask(torch_on_cards, seconds=SECONDS_FOR_TORCH)
    except NoAnswer as why:
        yield judge_cards(Seen(driver=driver, trouble=trouble, signs=signs, error=str(why)))
        return
    cards = tuple(Card(**card) for card in said.pop("cards"))
    yield judge_cards(Seen(driver=driver, trouble=trouble, signs=signs, cards=cards, **said))


def judge_cards(seen: Seen) -> Finding:
    """What was seen, in a sentence."""
    if not seen.torch:
        how = "python -c 'import torch; print(torch.cuda.is_available())'"
        return warning(f"torch does not answer: {seen.error}", f"see what this says: {how}")
    if seen.cards and not seen.error:
        return _usable(seen)
    if seen.driver or seen.signs:
        return _unusable(seen)
    if seen.trouble:
        return note(f"none that answers ({seen.trouble}): trainings use the processor")
    return ok(f"none; trainings use the processor (torch {seen.torch})")


def _unusable(seen: Seen) -> Finding:
    """There is a card, or at least a driver."""
    if MISMATCH in seen.trouble.lower():
        return warning(
            f"the driver was updated while it was loaded: {seen.trouble}; searches cannot use the card",
            "restart the machine, or load the driver's modules anew: rmmod nvidia_uvm nvidia, then modprobe nvidia",
        )
    if seen.built_for is None:
        return warning(
            f"there is a card, but torch {seen.torch} was built for processors only",
            "install a build for the card: https://pytorch.org/get-started says which",
        )
    why = seen.error or seen.trouble or "it finds no card"
    return warning(f"torch {seen.torch} (CUDA {seen.built_for}) cannot use the card: {why}", _advice(why))


def _usable(seen: Seen) -> Finding:
    each = ", ".join(f"{card.name} with {gibibytes(card.memory)}" for card in seen.cards)
    said = f"{each}: torch {seen.torch} (CUDA {seen.built_for}) computes on it; resources.gpus gives it to trials"
    used = [card for card in seen.cards if card.free < FULL * card.memory]
    if used:
        return note(f"{said}; others use {gibibytes(used[0].memory - used[0].free)} of {used[0].name}")
    return ok(said)


def _advice(why: str) -> str:
    if "too old" in why or "insufficient" in why:
        return "update the driver, or install a torch that was built for an older CUDA"
    if "out of memory" in why:
        return "others use the card's memory: nvidia-smi names them"
    if "no kernel image" in why:
        return "the card is too old or too new for this torch: install a build that knows it"
    return "does nvidia-smi show the card? a container needs --gpus all; CUDA_VISIBLE_DEVICES may hide it"


def _driver() -> tuple[str, str]:
    """What nvidia-smi prints, and what it complains of; neither where there is none."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, found where the user's shell finds it
            QUERY, capture_output=True, text=True, errors="replace", timeout=SECONDS_FOR_THE_DRIVER, check=False
        )
    except FileNotFoundError:
        return "", ""
    except subprocess.TimeoutExpired:
        return "", f"nvidia-smi does not answer within {SECONDS_FOR_THE_DRIVER:g} s"
    except OSError as fault:
        return "", f"nvidia-smi cannot be started: {fault.strerror}"
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        return "", "nvidia-smi says: " + (lines[0] if lines else f"exit code {done.returncode}")
    return done.stdout.strip(), ""


def torch_on_cards() -> dict[str, Any]:
    """In a process of its own: import torch, and compute on each card it finds."""
    import warnings

    import torch

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    found: dict[str, Any] = {"torch": torch.__version__, "built_for": torch.version.cuda, "cards": [], "error": ""}
    if not available:
        return found | {"error": str(told[0].message).splitlines()[0] if told else ""}
    try:
        for index in range(torch.cuda.device_count()):
            half = torch.full((64, 64), 0.5, device=f"cuda:{index}")
            if (total := float((half @ half).sum())) != 64**3 / 4:
                return found | {"error": f"card {index} computes {total} for {64**3 / 4}"}
            free, memory = torch.cuda.mem_get_info(index)
            found["cards"].append({"name": torch.cuda.get_device_name(index), "memory": memory, "free": free})
    except RuntimeError as fault:
        found["error"] = str(fault).splitlines()[0]
    return found
