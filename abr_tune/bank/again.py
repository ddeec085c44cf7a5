"""The best trials of a bank trained again with fresh seeds: with one seed alone, the best are partly luck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from abr_tune.bank.folder import UNFINISHED, Bank, RecordedTrial, write_bank
from abr_tune.plan.overrides import resolve
from abr_tune.plan.plan import Plan
from abr_tune.search.engine import Engine
from abr_tune.search.search import Trained, Training, train_all
from abr_tune.trial import TrialStep, length_of


@dataclass(frozen=True, slots=True)
class Again:
    """Which trainings are wanted: those of the `top` best trials with each of `seeds` seeds after the plan's own."""

    plan: Plan
    """Its health rules are those of the recording: nothing but what is not finite ends a training."""
    bank: Bank
    folder: Path
    top: int
    seeds: int

    def missing(self) -> dict[Path, tuple[int, Training]]:
        """Folder -> trial and training, of those the bank does not hold yet."""
        known = {(number, seed) for seed, found in self.bank.fresh_reports().items() for number in found}
        known |= {(number, int(seed)) for seed, numbers in self.bank.facts["fresh_broke"].items() for number in numbers}
        wanted = [(trial, self.plan.seed + 1 + k) for trial in self._best() for k in range(self.seeds)]
        return {
            (place := self.folder / UNFINISHED / f"{trial.number}-{seed}"): (
                trial.number,
                Training(
                    options=resolve(self.plan.task.options, {**self.plan.train, **trial.params}),
                    seed=seed,
                    folder=place,
                ),
            )
            for trial, seed in wanted
            if (trial.number, seed) not in known
        }

    def record(self, dataset: Any, engine: Engine, *, say: Callable[..., None]) -> int | None:
        """Train what is missing and put it into the bank; returns the signal that interrupted it, if one did."""
        missing = self.missing()
        if not missing:
            return None
        numbers = count(1)

        def see(training: Training, step: TrialStep) -> None:
            if step.report.epoch == length_of(training.options):
                say(f"{next(numbers):4d}/{len(missing)}  {training.folder.name} (trial-seed)", markup=False)

        batch = train_all(
            [training for _, training in missing.values()],
            self.plan,
            dataset=dataset,
            baselines=self.bank.facts["baselines"],
            executor=engine.executor,
            jobs=engine.jobs,
            address=engine.address,
            listener=see,
        )
        for trained in batch.trained:
            number, training = missing[trained.training.folder]
            if _broke(trained):
                self.bank.facts["fresh_broke"].setdefault(str(training.seed), []).append(number)
            else:
                self.bank.add_fresh(training.seed, {number: trained.reports})
        write_bank(self.folder, self.bank)
        return batch.signal

    def _best(self) -> list[RecordedTrial]:
        metric, sign = self.plan.objective.metric, -1.0 if self.plan.objective.direction == "maximize" else 1.0
        ends = [
            (sign * trial.whole[-1].metrics[metric], trial.number, trial)
            for trial in self.bank.trials()
            if trial.error is None and trial.broke_off is None and trial.whole and metric in trial.whole[-1].metrics
        ]
        return [trial for _, _, trial in sorted(ends, key=lambda end: end[:2])[: self.top]]


def _broke(trained: Trained) -> bool:
    """Whether a fresh training came to no end of its own: it raised, or something was not finite."""
    return trained.error is not None or trained.stopped is not None
