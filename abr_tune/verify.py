"""`abr-tune verify`: does a configuration still give what its file claims?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from abr_tune.console import stderr_console
from abr_tune.errors import Exit, UserError
from abr_tune.plain import visible
from abr_tune.plan.config import Config, load_config
from abr_tune.repeats import Interval, prediction_interval
from abr_tune.since import Change, changed
from abr_tune.single import SeedRun, load, train_seeds
from abr_tune.trial import TrialStep

Verdict = Literal["holds", "differs", "absent"]
DIGITS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One claim, held against one training."""

    metric: str
    seed: int
    claim: float
    """What the file claims; of a fresh seed the mean of its confirmation."""
    got: float | None
    allowed: Interval
    verdict: Verdict
    why: str | None = None
    """What ended the training before it had a value."""


def verify(file: Path, *, seeds: int, out: Path, trust_code: bool, as_json: bool, command: str) -> Exit:
    """Train again and compare: with the file's own seed, or with `seeds` ones that nobody has used.

    On its own seed every claim must come back within `tolerance.same_seed`. On fresh seeds the objective must lie where
    as many further runs all lie in 19 of 20 cases, by the spread of confirmation.

    Raises:
        UserError: the file claims nothing, or has no confirmation to judge fresh seeds by.
    """
    config = load_config(file, trust_code=trust_code)
    expected = _fresh(config, seeds) if seeds else _same(config)
    dataset = load(config)
    fingerprint = "none" if config.data is None else config.task.fingerprint(dataset)
    changes = list(changed(config.provenance, fingerprint))
    console = stderr_console()
    for said in (*config.remarks, *changes):
        console.print(str(said), markup=False)
    trained = train_seeds(config, dataset, fresh_seeds(config, seeds) if seeds else [config.seed], out=out)
    if trained.signal is not None:
        console.print(f"interrupted; continue with: {command}", markup=False, soft_wrap=True)
        return Exit(128 + trained.signal)
    checks = [check for run in trained.runs for check in _checks(run, expected)]
    holds = all(check.verdict == "holds" for check in checks)
    if as_json:
        sys.stdout.write(
            json.dumps(_document(config, changes, checks, holds=holds), indent=2, ensure_ascii=False) + "\n"
        )
    else:
        sys.stdout.writelines(f"{visible(line)}\n" for line in _table(checks))
        sys.stdout.write(_conclusion(checks, changes, holds=holds) + "\n")
    return Exit.DONE if holds else Exit.NOTHING_COMPLETE


def fresh_seeds(config: Config, count: int) -> range:
    """Seeds that neither the search nor the confirmation trained with."""
    used = int((config.provenance.get("confirmed") or {}).get("seeds", 0))
    first = config.seed + used + 1
    return range(first, first + count)


Expected = Mapping[str, tuple[float, Interval]]
"""Metric -> what is claimed, and where the value may lie."""


def _same(config: Config) -> Expected:
    if not config.claims:
        raise UserError(f"{config.file} claims nothing: there is nothing to verify; train it with abr-tune train")
    allowed = config.tolerance.get("same_seed", 0.0)
    return {metric: (claim, (claim - allowed, claim + allowed)) for metric, claim in config.claims.items()}


def _fresh(config: Config, seeds: int) -> Expected:
    """Only the objective: its spread between seeds is the only one that the file states."""
    confirmed = config.provenance.get("confirmed") or {}
    spread = confirmed.get("sd") is not None and confirmed.get("seeds", 1) > 1
    if config.objective is None or not spread or confirmed.get("folds"):
        raise UserError(
            f"{config.file} does not say how much seeds differ: --seeds needs a configuration that was confirmed with "
            "at least two fresh seeds, without folds; leave --seeds out to train it with its own"
        )
    mean, sd, seen = confirmed["mean"], confirmed["sd"], confirmed["seeds"]
    return {config.objective.metric: (mean, prediction_interval(mean, sd, seen, seeds))}


def _checks(run: SeedRun, expected: Expected) -> Iterator[Check]:
    why = _ended_early(run)
    metrics = run.last.report.metrics if isinstance(run.last, TrialStep) and why is None else {}
    absent = run.last.report.absent if isinstance(run.last, TrialStep) else {}
    for metric, (claim, (low, high)) in expected.items():
        got = metrics.get(metric)
        verdict: Verdict = "absent" if got is None else "holds" if low <= got <= high else "differs"
        reason = (why or absent.get(metric, "the run did not report it")) if got is None else None
        yield Check(
            metric=metric, seed=run.seed, claim=claim, got=got, allowed=(low, high), verdict=verdict, why=reason
        )


def _ended_early(run: SeedRun) -> str | None:
    """Why a training has no end to be judged by; None for one that has."""
    if run.last is None:
        return "the task yielded no report"
    if not isinstance(run.last, TrialStep):
        return f"it failed: {run.last.error}"
    return None if run.last.stop is None else f"it was stopped by {run.last.stop.rule}: {run.last.stop.why}"


def _document(config: Config, changes: Sequence[Change], checks: Sequence[Check], *, holds: bool) -> dict[str, Any]:
    return {
        "file": str(config.file),
        "verdict": "holds" if holds else "fails",
        "remarks": list(config.remarks),
        "changes": [asdict(change) for change in changes],
        "checks": [asdict(check) for check in checks],
    }


def _table(checks: Sequence[Check]) -> Iterator[str]:
    width = max(len(check.metric) for check in checks)
    yield f"{'claim of':{width}s}  seed  {'claimed':>12s}  {'got':>12s}  {'allowed':>26s}  verdict"
    for check in checks:
        low, high = check.allowed
        allowed = "exactly that" if low == high else f"{low:.{DIGITS}f} to {high:.{DIGITS}f}"
        got = "-" if check.got is None else f"{check.got:.{DIGITS}f}"
        line = f"{check.metric:{width}s}  {check.seed:4d}  {check.claim:12.{DIGITS}f}  {got:>12s}  {allowed:>26s}"
        yield f"{line}  {check.verdict}" + (f": {check.why}" if check.why else "")


def _conclusion(checks: Sequence[Check], changes: Sequence[Change], *, holds: bool) -> str:
    if holds:
        return f"the file holds: {len(checks)} of {len(checks)} values are as claimed"
    failed = [check for check in checks if check.verdict != "holds"]
    gaps = [abs(check.got - check.claim) for check in failed if check.got is not None]
    said = f"the file does not hold: {len(failed)} of {len(checks)} values are not as claimed"
    if gaps:
        said += f", the furthest {max(gaps):.3g} away"
    if changes:
        said += (
            f"; {', '.join(change.what for change in changes)} {'is' if len(changes) == 1 else 'are'} other than then"
        )
    return said
