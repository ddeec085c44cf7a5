"""The data set of the audio task: features of sound files, made-up calls; free of torch."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.classification.dataset import ClassifierDataset, dataset, divided
from core.data.audio.features import SUFFIXES, FeatureOptions
from core.data.audio.longtail import histogram_in, json_in, tail_counts
from core.data.audio.simulated import names, tail, write_calls
from core.data.cache import Cache, cache_folder
from core.data.check import DataMistakes, DataProblem
from core.data.labelled import Division, Labelled
from core.data.listing import Listed, classes_of, listed, table_of
from core.data.many import read_many
from core.extras import need
from core.tasks.audio_options import LongTail, RecordedSounds, SimulatedCalls


def load_sounds(data: SimulatedCalls | RecordedSounds, *, folder: Path) -> ClassifierDataset:
    """Features of the recordings, divided; relative paths are relative to `folder`.

    Raises ValueError (DataMistakes, TooFewPatients) for files that are missing or make no sense, MissingExtra where the
    packages that read sounds are not installed.
    """
    return _simulated(data) if isinstance(data, SimulatedCalls) else _recorded(data, folder)


def read_table(
    files: Sequence[Listed], options: FeatureOptions, *, class_names: tuple[str, ...], unreadable: float, source: str
) -> tuple[Labelled, Mapping[str, str]]:
    """The features of the files as a table, and which were left out and why."""
    need("sounds", "librosa", "soundfile")
    read = read_many(
        "audio",
        files,
        options.model_dump(mode="json"),
        shape=options.shape,
        dtype=np.float32,
        cache=Cache(cache_folder() / "audio-features", options.how()),
        most_unreadable=unreadable,
        source=source,
    )
    kept = [files[index] for index in read.kept]
    return table_of(kept, read.arrays, class_names), read.skipped


def _recorded(data: RecordedSounds, folder: Path) -> ClassifierDataset:
    source = folder / data.source
    files = listed(source, SUFFIXES, names=data.names)
    class_names = classes_of(files, source, names=data.names)
    aside: list[Listed] = []
    if data.long_tail is not None:
        files, aside = _thinned(files, class_names, data.long_tail, folder=folder, seed=data.seed)
    table, skipped = read_table(
        [*files, *aside], data.features, class_names=class_names, unreadable=data.unreadable, source=str(source)
    )
    whole = _whole(table, {file.name for file in aside}, data)
    return dataset(
        [whole], data, skipped=skipped, weights=_weights(data, folder), reading=data.features.model_dump(mode="json")
    )


def _whole(table: Labelled, aside: set[str], data: RecordedSounds | SimulatedCalls) -> Division:
    """The table divided; what was set aside is tested on."""
    if not aside:
        return divided(table, data)
    aside_N = np.isin(table.name, sorted(aside))
    division = divided(table.take(~aside_N), data.model_copy(update={"test_share": 0.0}))
    return replace(division, test=table.take(aside_N))


def _thinned(
    files: Sequence[Listed], class_names: Sequence[str], tail: LongTail, *, folder: Path, seed: int
) -> tuple[tuple[Listed, ...], list[Listed]]:
    """The files that are kept, and those set aside for the end, drawn by the seed."""
    counts = tail_counts(
        histogram_in(folder / tail.counts, tail.key), len(class_names), largest=tail.largest, least=tail.least
    )
    random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
    kept: list[Listed] = []
    aside: list[Listed] = []
    for name, count in zip(class_names, counts, strict=True):
        mine = [file for file in files if file.class_name == name]
        if len(mine) < tail.test + tail.least:
            problem = DataProblem(
                f"{name} has {len(mine)} recordings: {tail.test} to test and {tail.least} to keep are asked for",
                hint="lower data.long_tail.test or data.long_tail.least",
            )
            raise DataMistakes(str(tail.counts), [problem])
        order = random.permutation(len(mine))
        aside += [mine[index] for index in order[: tail.test]]
        kept += [mine[index] for index in order[tail.test : tail.test + count]]
    return tuple(kept), aside


def _weights(data: RecordedSounds, folder: Path) -> Mapping[str, float] | None:
    if data.class_weights is None:
        return None
    found = json_in(folder / data.class_weights)
    if data.class_weights_key is not None:
        found = found.get(data.class_weights_key) if isinstance(found, Mapping) else None
    fits = isinstance(found, Mapping) and all(
        isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < float("inf")
        for weight in found.values()
    )
    if not fits or not found:
        where = f" under {data.class_weights_key}" if data.class_weights_key else ""
        problem = DataProblem(f"positive weights by the names of classes are wanted{where}, as in {{name: 1.5, ...}}")
        raise DataMistakes(str(folder / data.class_weights), [problem])
    return {str(name): float(weight) for name, weight in found.items()}


def _simulated(data: SimulatedCalls) -> ClassifierDataset:
    need("sounds", "soundfile")
    counts = tail(data.classes, data.largest, data.smallest)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_calls(folder, classes=data.classes, counts=tuple(count + data.test for count in counts), seed=data.seed)
        files = listed(folder, SUFFIXES)
        table, _ = read_table(files, data.features, class_names=names(data.classes), unreadable=0.0, source="simulated")
    # The first takes of each kind are tested on: every take is drawn from a stream of its own.
    aside = {name for name in table.name.tolist() if int(Path(name).stem) < data.test}
    reading = data.features.model_dump(mode="json")
    return dataset([_whole(table, aside, data)], data, simulated=True, reading=reading)
