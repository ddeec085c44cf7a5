"""A bank on disk.

```
<bank>/
  curves.parquet           trial, seed, epoch, metric, value (see `rows`)
  fresh.parquet            the same of the best trials trained again with fresh seeds; only where that was asked for
  configurations.parquet   trial, param, value: path and its value as JSON text
  bank.json                what the numbers mean: task, objectives, rules, baselines, versions, how trials ended
  space.yaml               the space they were drawn from, as given
  unfinished/              trainings that go on when the same command is given again; not part of the bank
```
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from abr_tune.bank.rows import SCHEMA, SECONDS, reports_of, table_of
from abr_tune.errors import UserError
from abr_tune.runs import write_json
from core.report import EpochReport

FORMAT: Final = 1
CURVES: Final = "curves.parquet"
CONFIGURATIONS: Final = "configurations.parquet"
FRESH: Final = "fresh.parquet"
FACTS: Final = "bank.json"
SPACE: Final = "space.yaml"
UNFINISHED: Final = "unfinished"
KEYS: Final = (
    "rows",
    "task",
    "code",
    "set",
    "objectives",
    "baselines",
    "data_fingerprint",
    "names",
    "broke_off",
    "failed",
)
"""What `bank.json` must say beside its format and seeds."""
CONFIGURATION_SCHEMA: Final = pa.schema([("trial", pa.int32()), ("param", pa.string()), ("value", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTrial:
    """One configuration and everything it reported, up to its last epoch."""

    number: int
    name: str | None
    """The start point's name; None for one drawn at random."""
    seed: int
    params: Mapping[str, Any]
    """Path -> value."""
    reports: tuple[EpochReport, ...]
    """By epoch; the last one is incomplete where something stopped being finite."""
    error: str | None = None
    """What the task's code raised."""

    @property
    def whole(self) -> tuple[EpochReport, ...]:
        """The epochs that were finished."""
        return tuple(report for report in self.reports if report.complete)

    @property
    def broke_off(self) -> EpochReport | None:
        """The report from within an epoch that ended it, if something was not finite."""
        return self.reports[-1] if self.reports and not self.reports[-1].complete else None


@dataclass(slots=True)
class Bank:
    """The trials of a bank and what is known of them all; kept as tables, which are small."""

    facts: dict[str, Any]
    """What `bank.json` says."""
    curves: list[pa.Table] = field(default_factory=list)
    configurations: list[dict[str, Any]] = field(default_factory=list)
    fresh: dict[int, pa.Table] = field(default_factory=dict)
    """Seed -> curves of the trials that were trained again with it."""

    @property
    def numbers(self) -> frozenset[int]:
        """The trials it holds."""
        return frozenset(self.facts["seeds"])

    def add(self, trial: RecordedTrial) -> None:
        """Take in a trial that has ended."""
        number = str(trial.number)
        self.curves.append(table_of(trial.number, trial.seed, trial.reports))
        self.configurations += [
            {"trial": trial.number, "param": path, "value": json.dumps(value, allow_nan=False)}
            for path, value in trial.params.items()
        ]
        self.facts["seeds"][trial.number] = trial.seed
        if trial.name is not None:
            self.facts["names"][number] = trial.name
        if trial.broke_off is not None:
            self.facts["broke_off"][number] = trial.broke_off.to_json()
        if trial.error is not None:
            self.facts["failed"][number] = trial.error

    def add_fresh(self, seed: int, reports: Mapping[int, Sequence[EpochReport]]) -> None:
        """Take in what trials reported (number -> whole epochs) when they were trained again with another seed."""
        tables = [table_of(number, seed, each) for number, each in sorted(reports.items())]
        known = [self.fresh[seed]] if seed in self.fresh else []
        self.fresh[seed] = _joined([*known, *tables])

    def fresh_reports(self) -> dict[int, dict[int, list[EpochReport]]]:
        """Seed -> trial -> what it reported with that seed. Raises `ValueError` when a row makes no sense."""
        return {seed: reports_of(table) for seed, table in sorted(self.fresh.items())}

    def trials(self) -> list[RecordedTrial]:
        """Every trial with its reports, by number. Raises `ValueError` when a row of the tables makes no sense."""
        params: dict[int, dict[str, Any]] = {number: {} for number in self.numbers}
        for row in self.configurations:
            params[row["trial"]][row["param"]] = json.loads(row["value"])
        reports = reports_of(_joined(self.curves))
        broken = self.facts["broke_off"]
        return [
            RecordedTrial(
                number=number,
                name=self.facts["names"].get(str(number)),
                seed=seed,
                params=params[number],
                reports=(*reports.get(number, ()), *_broken(broken.get(str(number)))),
                error=self.facts["failed"].get(str(number)),
            )
            for number, seed in sorted(self.facts["seeds"].items())
        ]


def new_facts(**known: Any) -> dict[str, Any]:
    """`bank.json` of a bank that holds nothing yet."""
    return {"format": FORMAT, **known, "seeds": {}, "names": {}, "broke_off": {}, "failed": {}, "fresh_broke": {}}


def write_bank(folder: Path, bank: Bank) -> None:
    """Put a bank on disk: a reader sees each file as it was or as it is, `bank.json` last."""
    folder.mkdir(parents=True, exist_ok=True)
    curves = _sorted(_joined(bank.curves))
    _write(folder / CURVES, curves)
    if bank.fresh:
        _write(folder / FRESH, _sorted(_joined(list(bank.fresh.values()))))
    rows = sorted(bank.configurations, key=lambda row: int(row["trial"]))
    _write(folder / CONFIGURATIONS, pa.Table.from_pylist(rows, schema=CONFIGURATION_SCHEMA))
    spent = curves.filter(pc.equal(curves.column("metric").cast(pa.string()), SECONDS))
    known = {
        "trials": len(bank.numbers),
        "rows": curves.num_rows,
        "fresh": {str(seed): table.num_rows for seed, table in sorted(bank.fresh.items())},
        "fresh_trials": {str(seed): _trials(table) for seed, table in sorted(bank.fresh.items())},
        "epochs": pc.max(curves.column("epoch")).as_py() or 0,
        "seconds_per_epoch": round(pc.mean(spent.column("value")).as_py() or 0.0, 4),
    }
    write_json(folder / FACTS, bank.facts | known)


def read_bank(folder: Path) -> Bank:
    """The bank in a folder.

    Raises:
        UserError: there is none, it is of another format, or its files are damaged or do not belong together.
    """
    if not (folder / FACTS).is_file():
        raise UserError(f"{folder} holds no bank; `abr-tune bank SPACE --trials N` records one")
    facts = _facts(folder / FACTS)
    numbers = pa.array(sorted(facts["seeds"]), pa.int32())
    # A recorder that was killed may have written tables, but not yet the facts, of trials it will end again.
    curves, configurations = (
        table.filter(pc.is_in(table.column("trial"), numbers))
        for table in (_read(folder / CURVES, SCHEMA), _read(folder / CONFIGURATIONS, CONFIGURATION_SCHEMA))
    )
    if curves.num_rows != facts["rows"]:
        raise UserError(
            f"{folder / CURVES} is damaged: it has {curves.num_rows} rows of the trials in {FACTS}, not {facts['rows']}"
        )
    return Bank(
        facts=facts, curves=[curves], configurations=configurations.to_pylist(), fresh=_read_fresh(folder, facts)
    )


def _read_fresh(folder: Path, facts: Mapping[str, Any]) -> dict[int, pa.Table]:
    known: Mapping[str, int] = facts.get("fresh", {})
    if not known:
        return {}
    table = _read(folder / FRESH, SCHEMA)
    found = {int(seed): table.filter(pc.equal(table.column("seed"), int(seed))) for seed in known}
    # As with the curves: a killed recorder's rows may be ahead of its facts. Early banks do not name the trials.
    trials: Mapping[str, list[int]] = facts.get("fresh_trials", {})
    for seed in map(int, trials.keys() & known.keys()):
        numbers = pa.array(trials[str(seed)], pa.int32())
        found[seed] = found[seed].filter(pc.is_in(found[seed].column("trial"), numbers))
    for seed, part in found.items():
        if part.num_rows != known[str(seed)]:
            raise UserError(f"{folder / FRESH} is damaged: {part.num_rows} rows of seed {seed}, not {known[str(seed)]}")
    return found


def _trials(table: pa.Table) -> list[int]:
    return sorted(pc.unique(table.column("trial")).to_pylist())


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise UserError(f"{path} is of format {facts['format']}, this version reads format {FORMAT}")
        facts.setdefault("fresh_broke", {})  # banks of the first days have no fresh trainings
        facts["seeds"] = {int(number): seed for number, seed in facts["seeds"].items()}
        missing = [key for key in KEYS if key not in facts]
        if missing:
            raise UserError(f"{path} is damaged: it has no {', '.join(missing)}")
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise UserError(f"{path} is damaged: {type(fault).__name__}: {fault}") from fault
    return facts


def _write(path: Path, table: pa.Table) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    names = [name for name in table.column_names if name != "value" or table.schema.field("value").type == pa.string()]
    split = [name for name in table.column_names if name not in names]
    pq.write_table(
        table, temporary, compression="zstd", compression_level=9, use_dictionary=names, use_byte_stream_split=split
    )
    temporary.replace(path)


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        return pq.read_table(path).cast(schema)
    except (OSError, pa.ArrowException, ValueError) as fault:
        said = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise UserError(f"{path} is damaged or missing: {said}") from fault


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries() if tables else SCHEMA.empty_table()


def _sorted(curves: pa.Table) -> pa.Table:
    """By metric first: a metric's values resemble one another, which packs best."""
    place = curves.schema.get_field_index("metric")
    plain = curves.set_column(place, "metric", curves.column("metric").cast(pa.string()))
    return plain.sort_by([(name, "ascending") for name in ("metric", "trial", "seed", "epoch")]).cast(SCHEMA)


def _broken(record: Mapping[str, Any] | None) -> Iterator[EpochReport]:
    if record is not None:
        yield EpochReport.from_json(record)


__all__ = ["FORMAT", "Bank", "RecordedTrial", "new_facts", "read_bank", "write_bank"]
