"""A file of stages: several space files run in order, each of which begins from the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from abr_tune.errors import FileMistakes, Problem
from abr_tune.plan.arguments import apply_overrides
from abr_tune.plan.earlier import Since, begin_with
from abr_tune.plan.load import load_plan, name_after
from abr_tune.plan.overrides import strict_json
from abr_tune.plan.plan import Plan
from abr_tune.plan.schema import StageSection, StagesFile
from abr_tune.plan.sections import check_keys
from abr_tune.plan.source import Source
from abr_tune.plan.yaml import Loc, read

KEYS = tuple(StagesFile.model_fields)
"""Keys of a file of stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What the command line says besides; all of it is said to every stage."""

    trials: int | None = None
    seconds: float | str | None = None
    seed: int | None = None
    trust_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One space file of the order."""

    name: str
    """The run's name, and its folder's below that of the whole."""
    file: Path
    weights: bool | None
    """Whether it begins from the weights of the stage before; None: where there are some and the task takes them."""
    settings: bool
    """Whether what its file leaves open is as in the best configuration of the stage before."""
    overrides: tuple[str, ...] = ()
    plan: Plan
    """As far as it is known before the stage before has been run: with that one's fixed options, without weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What a file of stages asks for."""

    name: str
    about: str
    file: Path
    stages: tuple[Stage, ...]
    arguments: Arguments = Arguments()

    def plan(self, index: int, folder: Path) -> Plan:
        """The plan of a stage whose predecessors have been run in `folder`, that of the whole.

        Raises `FileMistakes` where its file does not go with what the stage before found, and `UserError` where that
        one has no weights that are asked for.
        """
        stage = self.stages[index]
        since = None
        if index:
            before = folder / self.stages[index - 1].name
            since = begin_with(before, stage.plan.task, weights=stage.weights, settings=stage.settings)
        return _plan(stage.file, stage.overrides, self.arguments, since, results=folder)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What this machine lacks for them."""
        return tuple(problem for stage in self.stages for problem in stage.plan.warnings)


def describe_stages(stages: Stages) -> dict[str, Any]:
    """What `plan.yaml` of the whole says; each stage's own lies in its folder."""
    return {
        "name": stages.name,
        "about": stages.about,
        "stages": [
            {"name": stage.name, "file": str(stage.file), "weights": stage.weights, "settings": stage.settings}
            for stage in stages.stages
        ],
    }


def names_stages(file: Path | str) -> bool:
    """Whether a file is one of stages rather than a search. Raises `FileMistakes` when it cannot be read."""
    data = read(Path(file)).data
    return isinstance(data, Mapping) and "stages" in data


def load_stages(
    file: Path | str,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    arguments: Arguments = Arguments(),
    results: Path = Path("results"),
) -> Stages:
    """What a file of stages and all files it names ask for.

    An override whose first word is a stage's name (`phase2.budget.trials=5`) is said to that stage, one of the file's
    own keys to the file, any other to every stage. Raises `FileMistakes` with everything that is wrong in any of them.
    """
    file = Path(file)
    source = Source(read(file))
    own, others = _own(overrides)
    apply_overrides(source, own, KEYS)
    if name is not None:
        source.override(("name",), name, "--name")
    name_after(source, file)
    check_keys(source, StagesFile)
    whole = results / str(source.data.get("name", file.stem))
    stages = tuple(_Reader(source, file.parent, others, arguments, whole).stages())
    source.finish()
    text = StagesFile.model_validate_json(strict_json(source.data), strict=True)
    return Stages(name=text.name or file.stem, about=text.about, file=file, stages=stages, arguments=arguments)


def _own(overrides: Sequence[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """Overrides of the file's own keys, and the others with their numbers on the command line."""
    own, others = [], []
    for number, text in enumerate(overrides, 1):
        if text.partition("=")[0].strip() in KEYS:
            own.append(text)
        else:
            others.append((number, text))
    return own, others


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the files of the stages; mistakes, those in the files too, are noted in the source."""

    source: Source
    folder: Path
    """That of the file of stages."""
    overrides: Sequence[tuple[int, str]]
    arguments: Arguments
    whole: Path
    """Where the run will lie."""

    def stages(self) -> Iterator[Stage]:
        """The stages whose files could be read."""
        entries = list(_entries(self.source))
        names = [_name(self.folder / entry.file) for _, entry in entries]
        before: Plan | None = None
        taken: dict[str, str] = {}
        for (loc, entry), name in zip(entries, names, strict=True):
            told = _for(name, names, self.overrides)
            # A stage whose own file is wrong says nothing of the next.
            since = None if before is None else Since(run=self.whole / before.name, settings=before.train)
            plan = self._plan(loc, self.folder / entry.file, told, since)
            if plan is None:
                continue
            if plan.name in taken:
                self.source.add(loc, f"{entry.file} has the name {plan.name}, which {taken[plan.name]} has already")
            if before is not None and before.task_name != plan.task_name:
                self.source.add(
                    loc, f"{entry.file} is of task {plan.task_name}, the stage before of {before.task_name}"
                )
            before = plan
            taken[plan.name] = entry.file
            yield Stage(
                name=plan.name,
                file=plan.file,
                weights=entry.weights,
                settings=entry.settings,
                overrides=tuple(text for _, text in told),
                plan=plan,
            )

    def _plan(self, loc: Loc, place: Path, overrides: Sequence[tuple[int, str]], since: Since | None) -> Plan | None:
        """The plan of a stage before its predecessor has been run; None when there is none, which is noted."""
        try:
            if names_stages(place):
                self.source.add(loc, f"{place.name} is itself a file of stages")
                return None
            return _plan(place, [text for _, text in overrides], self.arguments, since, results=self.whole)
        except FileMistakes as mistakes:
            if place.is_file():
                self.source.problems += [_relabelled(problem, overrides) for problem in mistakes.problems]
            else:
                [problem] = mistakes.problems
                self.source.add(loc, f"{place}: {problem.message}", problem.hint)
            return None


def _plan(file: Path, overrides: Sequence[str], arguments: Arguments, since: Since | None, *, results: Path) -> Plan:
    return load_plan(
        file,
        overrides=overrides,
        trials=arguments.trials,
        seconds=arguments.seconds,
        seed=arguments.seed,
        trust_code=arguments.trust_code,
        results=results,
        since=since,
    )


def _entries(source: Source) -> Iterator[tuple[Loc, StageSection]]:
    """The entries that name a file, with their places."""
    written = source.data.get("stages")
    for index, entry in enumerate(written if isinstance(written, list) else ()):
        if isinstance(entry, str) and entry:
            yield ("stages", index), StageSection(file=entry)
        elif isinstance(entry, dict) and isinstance(entry.get("file"), str) and entry["file"]:
            switches: dict[str, Any] = {
                key: entry[key] for key in ("weights", "settings") if isinstance(entry.get(key), bool)
            }
            yield ("stages", index, "file"), StageSection(file=entry["file"], **switches)


def _name(file: Path) -> str:
    """The name its file gives a stage; the file's own where none can be read."""
    try:
        data = read(file).data
    except FileMistakes:
        return file.stem
    name = data.get("name") if isinstance(data, Mapping) else None
    return name if isinstance(name, str) else file.stem


def _for(name: str, names: Iterable[str], overrides: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """The overrides a stage is told: its own, without its name, and those that are nobody's."""
    told = []
    for number, text in overrides:
        first, dot, rest = text.partition(".")
        if dot and first == name:
            told.append((number, rest))
        elif not (dot and first in names):
            told.append((number, text))
    return told


def _relabelled(problem: Problem, overrides: Sequence[tuple[int, str]]) -> Problem:
    """A problem of an override under its number on the command line."""
    numbers = {f"--set {place}": f"--set {number}" for place, (number, _) in enumerate(overrides, 1)}
    return replace(problem, file=numbers.get(problem.file, problem.file))
