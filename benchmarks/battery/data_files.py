"""Files of recordings that are damaged, hostile or wrong, put through the commands that read them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

import psutil

from abr_tune.cli import main
from benchmarks.battery.damage import (
    ABORTS,
    CLINIC_CHANGES,
    PICKLES,
    TEXTS,
    UNITS,
    VALUES,
    blinded,
    bombs,
    cell,
    clinic_changed,
    cut_short,
    flipped,
    in_other_unit,
    pickled,
    rearranged,
    spliced,
)
from benchmarks.battery.data_samples import NAMES, Form, make, table
from benchmarks.battery.row import Row
from core.data import apart
from core.data.check import find_problems
from core.data.files import opened

SEED: Final = 11
OWN: Final[frozenset[Form]] = frozenset({"npz", "parquet"})
"""Forms that are described; the others are imported."""
CHECKED: Final[frozenset[Form]] = frozenset({"npz", "parquet", "ihs"})
"""Forms with checksums, in which no byte can change unseen."""
FLIPS, CUTS, SPLICES, ARRAYS = 10, 6, 5, 12
"""Files of each form that are damaged so."""

_PLACE: Final = re.compile(
    r": error: (recording \d+|sampling_rate_hz|patient|signal|abr_tune|scaler|.*\bbyte \d|.*the footer|.*up to byte"
    r"|(clean|static|hearing_class|class_names|unit|facts|weight|sweeps|frequency_khz|threshold_db|fmp|age_years"
    r"|intensity_db_nhl|rate_per_s|peak_\w+|waveform_uV|time_ms|level_dB|subject|expert_thresholds_all|static_params"
    r"|v_peak\w*|target|clinical_threshold|LEVELS|SAMPLE|FREQ|REP RATE|# AVERAGES|Threshold)\b"
    r"|.*columns? [a-z]|there are no (recordings|samples)|not an EPL text|.*the pickle)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of one file."""

    what: str
    form: Form
    path: Path
    code: int
    said: str
    seconds: float
    made: Path | None
    """The table that was made of it."""

    @property
    def problems(self) -> list[str]:
        """The lines of the message."""
        return [line for line in self.said.splitlines() if ": error: " in line]

    @property
    def placed(self) -> bool:
        """Whether every line of a refusal names the file, and the first of them a place in it."""
        named = all(line.startswith(str(self.path)) for line in self.problems)
        first = self.problems[0].removeprefix(str(self.path)) if self.problems else ""
        return named and bool(re.match(r":\d+: error: ", first) or _PLACE.match(first))

    @property
    def died(self) -> bool:
        """Whether the command ended as no command may."""
        return self.code not in {0, 2} or "Traceback" in self.said or "fault of ours" in self.said


@dataclass(slots=True)
class Bench:
    """A folder with a sound file of each form, and the command that reads one."""

    folder: Path
    sound: dict[Form, Path] = field(default_factory=dict)
    prints: dict[Form, str] = field(default_factory=dict)
    count: int = 0

    @classmethod
    def build(cls, folder: Path) -> Bench:
        """The files, each of which is read once."""
        bench = cls(folder)
        (folder / "sound").mkdir()
        for form in get_args(Form):
            bench.sound[form] = make(form, table(), folder / "sound")
            reply = bench.read(form, "sound", bench.sound[form])
            if reply.code:
                raise RuntimeError(f"the undamaged {form} is refused: {reply.said}")
            bench.prints[form] = bench.fingerprint(reply) or ""
        return bench

    def place(self) -> Path:
        """An empty folder for one file."""
        self.count += 1
        folder = self.folder / f"{self.count:03d}"
        folder.mkdir()
        return folder

    def written(self, form: Form, what: str, content: bytes) -> Reply:
        """What becomes of a file with that content."""
        path = self.place() / NAMES[form]
        path.write_bytes(content)
        return self.read(form, what, path)

    def read(self, form: Form, what: str, path: Path) -> Reply:
        """What becomes of a file: described, or imported."""
        to = self.folder / f"{self.count:03d}-read.npz"
        trust = ["--trust-pickle"] if form == "clinic" else []
        words = (
            ["data", "describe", str(path), "--json"]
            if form in OWN
            else ["data", "import", "--format", form, *trust, str(path), "--to", str(to)]
        )
        out, err = io.StringIO(), io.StringIO()
        began = time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _ended(words)
        said = err.getvalue() if code else out.getvalue()
        took = time.monotonic() - began
        made = path if form in OWN else to
        return Reply(what=what, form=form, path=path, code=code, said=said, seconds=took, made=None if code else made)

    def fingerprint(self, reply: Reply) -> str | None:
        """Of the table that was read; None where it makes no sense after all."""
        if reply.made is None:
            return None
        if reply.form in OWN:
            json.loads(reply.said, parse_constant=_refuse)
        recordings = opened(reply.made)
        return None if find_problems(recordings) else recordings.fingerprint()


def data_files(folder: Path) -> Iterator[Row]:
    """300 files and more, each through the command that reads its form."""
    bench, draw = Bench.build(folder), random.Random(SEED)
    yield bench_row(bench, "data files with bytes changed", _of_bytes(bench, draw, flipped, FLIPS), bytewise=True)
    yield bench_row(bench, "bytes that bring the reader down", _of_aborts(bench), refused=True)
    yield bench_row(bench, "data files cut short", _of_bytes(bench, draw, cut_short, CUTS), bytewise=True)
    yield bench_row(bench, "data files spliced", _of_bytes(bench, draw, spliced, SPLICES), bytewise=True)
    yield bench_row(bench, "arrays of another kind or missing", _of_arrays(bench, draw))
    yield bench_row(bench, "values that cannot be", _of_values(bench, draw), refused=True)
    yield _units(bench)
    yield bench_row(bench, "CSV from editors and spreadsheets", _of_texts(bench), texts=True)
    yield bench_row(bench, "archives that inflate or lie", _of_bombs(bench), refused=True)
    yield bench_row(bench, "pickles that kill or spoil", _of_pickles(bench), refused=True)
    yield _no_files(bench)


def bench_row(
    bench: Bench,
    fault: str,
    replies: Iterator[Reply],
    *,
    refused: bool = False,
    bytewise: bool = False,
    texts: bool = False,
) -> Row:
    """One line on all of them.

    `refused`: none may be read; `bytewise`: where there are checksums, none may be read as another table; `texts`:
    those that may be read are known.
    """
    told = Counter[str]()
    slowest = 0.0
    broken: list[str] = []
    for reply in replies:
        kind = _kind(bench, reply)
        may = not refused and (not texts or TEXTS[reply.what][1])
        if kind in {"died", "not placed", "nonsense"} or (kind in {"unchanged", "changed"} and not may):
            broken.append(f"{reply.form} {reply.what}: {kind}: {reply.said[:300]}")
        elif texts and may and kind == "refused":
            broken.append(f"{reply.what} is refused: {reply.said[:300]}")
        elif kind == "changed" and reply.form in CHECKED and bytewise:
            broken.append(f"{reply.form} {reply.what}: another table was read")
        told[kind] += 1
        slowest = max(slowest, reply.seconds)
    names = ("refused", "unchanged", "changed", "died", "not placed", "nonsense")
    words = {"refused": "refused by file and place", "unchanged": "harmless", "changed": "read with other values"}
    happened = ", ".join(f"{told[name]} {words.get(name, name)}" for name in names if told[name] or name == "died")
    return Row(
        fault=fault,
        times=told.total(),
        promised="exit 2 naming file and place, or read as valid; nobody dies",
        happened=f"{happened}; slowest {slowest:.1f} s" + "".join(f"\n    {line}" for line in broken[:5]),
        holds=not broken,
    )


def _kind(bench: Bench, reply: Reply) -> str:
    if reply.died:
        return "died"
    if reply.code:
        return "refused" if reply.placed else "not placed"
    found = bench.fingerprint(reply)
    return "nonsense" if found is None else "unchanged" if found == bench.prints[reply.form] else "changed"


def _of_bytes(bench: Bench, draw: random.Random, damage: Callable[..., bytes], times: int) -> Iterator[Reply]:
    for form in get_args(Form):
        content = bench.sound[form].read_bytes()
        for _ in range(times):
            yield bench.written(form, damage.__name__, damage(content, draw))


def _of_aborts(bench: Bench) -> Iterator[Reply]:
    for change in ABORTS:
        yield bench.written("parquet", "an abort", change(bench.sound["parquet"].read_bytes()))


def _of_arrays(bench: Bench, draw: random.Random) -> Iterator[Reply]:
    for form in ("npz", "parquet", "ihs"):
        for _ in range(ARRAYS):
            what, content = rearranged(form, bench.sound[form], draw)
            yield bench.written(form, what, content)
    for what in CLINIC_CHANGES:
        yield bench.read("clinic", what, clinic_changed(table(), what, draw.randrange(24), bench.place()))


def _of_values(bench: Bench, draw: random.Random) -> Iterator[Reply]:
    for column, value, forms in VALUES:
        for form in forms:
            row = 4 * draw.randrange(1 if form == "epl" else 6)  # in every fourth, wave V is seen
            damaged = cell(column, row, value)(table())
            yield bench.read(form, f"{column} {value}", make(form, damaged, bench.place()))


def _units(bench: Bench) -> Row:
    replies: list[tuple[str, Reply]] = []
    for column, word, factor, forms in UNITS:
        for form in forms:
            r = in_other_unit(column, factor)(table())
            replies.append((word, bench.read(form, f"{column} not in the unit", make(form, r, bench.place()))))
    right = [word.lower() in reply.said.lower() and reply.code == 2 and reply.placed for word, reply in replies]
    wrong = [reply.said[:200] for kept, (_, reply) in zip(right, replies, strict=True) if not kept]
    return Row(
        fault="columns in another unit",
        times=len(replies),
        promised="exit 2 naming the unit it may be in",
        happened=f"{sum(right)} recognised" + "".join(f"\n    {line}" for line in wrong[:5]),
        holds=all(right),
    )


def _of_texts(bench: Bench) -> Iterator[Reply]:
    text = bench.sound["csv"].read_text(encoding="utf-8")
    for what, (change, _) in TEXTS.items():
        changed = change(text)
        yield bench.written("csv", what, changed if isinstance(changed, bytes) else changed.encode())


def _of_bombs(bench: Bench) -> Iterator[Reply]:
    for what, content in bombs(bench.sound["npz"]).items():
        yield bench.written("npz", what, content)


def _of_pickles(bench: Bench) -> Iterator[Reply]:
    allowed, apart.SECONDS = apart.SECONDS, 4  # type: ignore[misc]  # one of them never ends
    try:
        for what in PICKLES:
            yield bench.read("clinic", what, pickled(what, bench.place()))
    finally:
        apart.SECONDS = allowed  # type: ignore[misc]
    yield bench.read("clinic", "checks switched off", blinded(table(), bench.place()))


def _no_files(bench: Bench) -> Row:
    """Folders, pipes, devices, and files that go or change while they are read."""
    replies = [*_things_that_are_no_files(bench), *_moving(bench)]
    right = [reply.code == 2 and str(reply.path) in reply.said and not reply.died for reply in replies]
    wrong = [f"{reply.what}: {reply.said[:200]}" for kept, reply in zip(right, replies, strict=True) if not kept]
    return Row(
        fault="no files, and files that change meanwhile",
        times=len(replies),
        promised="exit 2 naming the file; nobody waits",
        happened=f"{sum(right)} refused, slowest {max(reply.seconds for reply in replies):.1f} s"
        + "".join(f"\n    {line}" for line in wrong[:5]),
        holds=all(right),
    )


def _things_that_are_no_files(bench: Bench) -> Iterator[Reply]:
    for form in ("csv", "npz"):
        suffix = Path(NAMES[form]).suffix
        folder = bench.place()
        for what in ("folder", "pipe", "socket", "link", "empty", "absent", "closed"):
            path = folder / f"{what}{suffix}"
            if what == "folder":
                path.mkdir()
            elif what == "pipe":
                os.mkfifo(path)
            elif what == "socket":
                with socket.socket(socket.AF_UNIX) as door, contextlib.chdir(folder):
                    door.bind(path.name)
            elif what == "link":
                path.symlink_to("/dev/zero" if form == "csv" else folder / "nowhere")
            elif what == "empty":
                path.touch()
            elif what == "closed":
                if os.geteuid() == 0:
                    continue  # root may read everything
                path.write_bytes(b"x")
                path.chmod(0)
            yield bench.read(form, what, path)
        yield bench.read(form, "a name too long", folder / ("x" * 300 + suffix))


def _moving(bench: Bench) -> Iterator[Reply]:
    """Files that grow, go, or become others while a process reads them."""
    changes: Sequence[tuple[str, Callable[[Path], object]]] = (
        ("grows", lambda path: path.open("ab").write(b"\n")),
        ("goes", lambda path: path.unlink()),
        ("becomes another", lambda path: make("csv", table(seed=4), path.parent)),
    )
    for what, change in changes:
        path = make("csv", table(recordings=200), bench.place())
        watcher = threading.Thread(target=_once_read, args=(path, change))
        watcher.start()
        yield bench.read("csv", what, path)
        watcher.join()


def _once_read(path: Path, change: Callable[[Path], object]) -> None:
    """Changes a file as soon as a child of this process has been given it."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if str(path) in child.cmdline():
                    change(path)
                    return
        time.sleep(0.002)


def _ended(words: Sequence[str]) -> int:
    try:
        main(list(words))
    except SystemExit as end:
        return int(end.code or 0)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
