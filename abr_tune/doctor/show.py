"""What the doctor found, for a person and for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from abr_tune.doctor.checks import CHECKS, LEVELS, Mended, Told, worst
from abr_tune.doctor.finding import Finding, Place
from abr_tune.plain import visible
from abr_tune.report.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

STYLES: Final[dict[str, str]] = {
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "problem": "bold red",
    "done": "green",
    "not done": "yellow",
}
"""By a level, or by what came of a repair."""


def document(place: Place, told: Sequence[Told], mended: Sequence[Mended], seconds: float) -> dict[str, Any]:
    """Everything, as `--json` prints it."""
    return {
        "level": worst(told),
        "results": str(place.out),
        "temp": str(place.temp),
        "storage": place.storage,
        "counts": counts(told),
        "findings": [
            {
                "group": CHECKS[each.check].group,
                "check": each.check,
                "level": each.finding.level,
                "sentence": each.finding.sentence,
                "remedy": each.finding.remedy,
                "repairable": each.finding.repairable,
                "repairs": [repair.what for repair in each.finding.repairs],
            }
            for each in told
        ],
        "repaired": [{"check": each.check, "what": each.what, "error": each.error} for each in mended],
        "seconds": round(seconds, 1),
    }


def counts(told: Sequence[Told]) -> dict[str, int]:
    """Level -> findings."""
    found = Counter(each.finding.level for each in told)
    return {level: found[level] for level in LEVELS}


def show(console: Console, told: Sequence[Told], mended: Sequence[Mended], *, seconds: float, dry: bool) -> None:
    """The page: group by group, then what was repaired, then in one line how it stands."""
    for group in dict.fromkeys(CHECKS[each.check].group for each in told):
        _print(console, group, _rows([each for each in told if CHECKS[each.check].group == group], dry=dry))
    if mended:
        rows = [Row("not done" if each.error else "done", each.check, _mended(each)) for each in mended]
        _print(console, "repaired", rows)
    for line in closing(told, seconds=seconds, dry=dry):
        console.print(line, markup=False, style=STYLES[worst(told)])


class Row(NamedTuple):
    """A line of the page, and those that belong below it."""

    mark: str
    check: str
    text: str
    below: Sequence[str] = ()


def _rows(told: Sequence[Told], *, dry: bool) -> Iterator[Row]:
    """Findings of the same check stand under one name."""
    before = None
    for each in told:
        name = "" if each.check == before else each.check
        before = each.check
        yield Row(each.finding.level, name, each.finding.sentence, list(what_to_do(each.finding, dry=dry)))


def _mended(each: Mended) -> str:
    return f"{each.what}: {each.error}" if each.error else each.what


def _print(console: Console, title: str, rows: Iterable[Row]) -> None:
    """In a terminal sentences are wrapped in their column; elsewhere each stands on one line."""
    from rich.table import Table
    from rich.text import Text

    mark, name = max(map(len, STYLES)), max(map(len, CHECKS))
    console.print(title, style="bold")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for width in (mark, name, None):
        table.add_column(no_wrap=width is not None, min_width=width, overflow="fold")
    for row in rows:
        lines = [visible(row.text), *(f"-> {visible(line)}" for line in row.below)]
        if console.is_terminal:
            text = Text("\n").join([Text(lines[0]), *(Text(line, style="dim") for line in lines[1:])])
            table.add_row(Text(row.mark, style=STYLES[row.mark]), Text(row.check), text)
        else:
            starts = [f"{row.mark:{mark}}  {row.check:{name}}  ", *[" " * (mark + name + 4)] * len(row.below)]
            for start, line in zip(starts, lines, strict=True):
                console.out((start + line).rstrip(), highlight=False)
    if console.is_terminal:
        console.print(table)


def what_to_do(finding: Finding, *, dry: bool) -> Iterator[str]:
    """A line for what a person can do, and one for what `--repair` would."""
    if finding.remedy:
        yield finding.remedy
    if finding.repairs and dry:
        first = finding.repairs[0].what
        more = f", and {len(finding.repairs) - 1} more" if len(finding.repairs) > 1 else ""
        yield f"--repair would {first}{more}"


def closing(told: Sequence[Told], *, seconds: float, dry: bool) -> Iterator[str]:
    """How it stands, in a line; what keeps a search from working is named once more."""
    found = counts(told)
    checks = counted(len({each.check for each in told}), "check")
    kinds = [counted(found[level], level) for level in reversed(LEVELS) if level != "ok" and found[level]]
    yield f"{', '.join(kinds) or 'all is well'}; {checks} in {seconds:.1f} s"
    problems = list(dict.fromkeys(each.check for each in told if each.finding.level == "problem"))
    if problems:
        yield f"to be mended: {', '.join(problems)}"
    repairs = sum(len(each.finding.repairs) for each in told)
    if repairs and dry:
        yield f"{counted(repairs, 'thing')} that dead runs left: the same command with --repair takes them away"
