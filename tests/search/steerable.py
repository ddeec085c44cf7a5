"""A task that never gets better and does what its reports are answered with: it writes down at which rate it trains."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

from core.report import EpochReport, Intervention
from tests.search.tasks import MAJORITY, METRIC, Rare, RareOptions


class Steerable(Rare):
    """Twelve lines of a training loop that takes interventions."""

    def train(
        self, options: RareOptions, *, seed: int, checkpoint: Path, data: object = None
    ) -> Generator[EpochReport, Intervention | None]:
        saved = checkpoint / "state.json"
        rate, lowered, done = 1.0, list[int](), 0
        if saved.exists():
            state = json.loads(saved.read_text())
            rate, lowered, report = state["rate"], state["lowered"], EpochReport.from_json(state["report"])
            done, asked = report.epoch, (yield report)
            rate, lowered = (rate * asked.lower_rate, [*lowered, done]) if asked else (rate, lowered)
        for epoch in range(done + 1, options.epochs + 1):
            health = {"rate_factor": rate, "interventions": float(len(lowered))}
            health |= {"since_intervention": float(epoch - lowered[-1])} if lowered else {}
            metrics = {METRIC: MAJORITY + epoch / 100, "val/threshold/r2": -1.0}
            report = EpochReport(epoch=epoch, phase="all", metrics=metrics, health=health, active={"threshold": epoch})
            checkpoint.mkdir(parents=True, exist_ok=True)
            saved.write_text(json.dumps({"rate": rate, "lowered": lowered, "report": report.to_json()}))
            asked = yield report
            rate, lowered = (rate * asked.lower_rate, [*lowered, epoch]) if asked else (rate, lowered)
