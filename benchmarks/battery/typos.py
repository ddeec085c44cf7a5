"""Single-edit typos of every known key of a space file, and whether the message names the key that was meant.

    python -m benchmarks.battery.typos      # every typo that got another suggestion or none

A key is spoiled where it stands: in a file that is right but for it. All deletions, all swaps of neighbours and all
changes of one letter's case are tried, and at each position one letter drawn to be put in and one to replace.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from abr_tune.errors import FileMistakes
from abr_tune.plan.load import load_plan
from abr_tune.plan.yaml import dump, parse
from benchmarks.battery.known_keys import Slot, slots

Edit = Literal["left out", "put in", "replaced", "swapped", "case"]
EDITS: Final[tuple[Edit, ...]] = get_args(Edit)
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz_-."
SHORT: Final = 3
"""Keys of fewer characters are counted by themselves too."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a typo came to."""

    slot: Slot
    typo: str
    edit: Edit
    said: str | None
    """What the message about the typo's place says was meant; None when there is no message, or none that suggests."""

    @property
    def right(self) -> bool:
        """Whether the key that was meant is named."""
        return self.said == self.slot.meant


def answers(folder: Path, *, seed: int = 0, share: float = 1.0) -> Iterator[Answer]:
    """Every typo of every slot, or of all but short keys a random `share`, put to the reader of files in `folder`."""
    draw = random.Random(seed)
    (folder / "earlier").mkdir(exist_ok=True)
    (folder / "earlier" / "best.yaml").touch()
    for slot in slots():
        for edit, typo in edits(slot.key, draw):
            if typo not in slot.known and (len(slot.key) < SHORT or draw.random() < share):
                yield Answer(slot, typo, edit, _suggestion(folder / "spoiled.yaml", slot, typo))


def edits(word: str, draw: random.Random) -> Iterator[tuple[Edit, str]]:
    """One edit away from the word: each place once, each result once."""
    found: dict[str, Edit] = {}

    def note(edit: Edit, typo: str) -> None:
        if typo and typo != word:
            found.setdefault(typo, edit)

    for i, letter in enumerate(word):
        note("left out", word[:i] + word[i + 1 :])
        note("swapped", word[:i] + word[i + 1 : i + 2] + letter + word[i + 2 :])
        note("case", word[:i] + letter.swapcase() + word[i + 1 :])
        note("replaced", word[:i] + draw.choice(LETTERS) + word[i + 1 :])
    for i in range(len(word) + 1):
        note("put in", word[:i] + draw.choice(LETTERS) + word[i:])
    yield from ((edit, typo) for typo, edit in found.items())


def _suggestion(file: Path, slot: Slot, typo: str) -> str | None:
    text = dump(slot.spoiled(typo))
    file.write_text(text, encoding="utf-8")
    place = parse(text, "spoiled").keys[*slot.above, typo]
    try:
        load_plan(file, results=file.parent)
    except FileMistakes as mistakes:
        there = [one for one in mistakes.problems if (one.line, one.column) == (place.line, place.column)]
        hint = (there[0].hint if there else None) or ""
        return hint.removeprefix("did you mean ").removesuffix("?") or None
    return None


def told(found: Sequence[Answer]) -> str:
    """The shares in words."""
    wrong = Counter(answer.edit for answer in found if not answer.right)
    short = [answer for answer in found if len(answer.slot.key) < SHORT]
    parts = [f"{edit} {wrong[edit]}" for edit in EDITS if wrong[edit]]
    return (
        f"{sum(one.right for one in found):,} of {len(found):,} right, {share_right(found):.2%}"
        f" (keys under {SHORT} characters: {sum(one.right for one in short)} of {len(short)})"
        + (f"; wrong by edit: {', '.join(parts)}" if parts else "")
    )


def share_right(found: Sequence[Answer]) -> float:
    """Share of the typos whose suggestion is right."""
    return sum(answer.right for answer in found) / max(1, len(found))


def main() -> None:
    """Print the typos that got another suggestion or none."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="typos-") as folder:
        found = list(answers(Path(folder)))
    for one in found:
        if not one.right:
            print(f"{'.'.join(map(str, one.slot.above)) or 'file'}: {one.typo} for {one.slot.meant}: {one.said}")
    print(told(found))


if __name__ == "__main__":
    main()
