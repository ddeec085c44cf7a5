"""What the report tells of trainings that went on with a lower learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from abr_tune.journal import journal
from abr_tune.report.lowered import Lowered, lowered_rates
from abr_tune.report.write import write_report
from abr_tune.search.events import VerdictGiven
from core.health import Level, Verdict


def said(events: Path, *given: tuple[int, int, str, Level], why: str = "too steep") -> None:
    with journal(events) as listener:
        for number, epoch, rule, level in given:
            listener(VerdictGiven(number, Verdict(level=level, rule=rule, why=why, epoch=epoch)))


def test_interventions_are_counted_by_rule(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    said(
        events,
        (3, 5, "non_finite", "intervene"),
        (4, 2, "gradient_explosion", "intervene"),
        (4, 6, "gradient_explosion", "intervene"),
        (4, 6, "gradient_explosion", "intervene"),  # judged again after a kill
        (7, 3, "gradient_explosion", "intervene"),
        (4, 9, "gradient_explosion", "stop"),
        (5, 1, "class_collapse", "warn"),
    )
    assert lowered_rates(events) == (
        Lowered("gradient_explosion", 2, 3, 4, 2, "too steep"),
        Lowered("non_finite", 1, 1, 3, 5, "too steep"),
    )


def test_a_run_without_events_or_with_damaged_ones(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    assert lowered_rates(events) == ()
    said(events, (3, 5, "non_finite", "intervene"))
    with events.open("a", encoding="utf-8") as file:
        file.write('{"event": "verdict", "level": "intervene", "number": "x"}\n[]\n{"event"')
    assert [row.times for row in lowered_rates(events)] == [1]


def test_the_page_tells_of_them(new_run: Any) -> None:
    run = new_run("lowered")
    run.end(run.start({"optimizer.lr": 1e-3}), [0.2, 0.3])
    run.study.close()
    assert "lower learning rate instead" not in write_report(run.folder.path).read_text(encoding="utf-8")
    said(run.folder.events, (0, 1, "gradient_explosion", "intervene"), why="<b>steep</b>")
    page = write_report(run.folder.path).read_text(encoding="utf-8")
    assert "What went on with a lower learning rate instead" in page
    assert "trial 0, epoch 1: &lt;b&gt;steep&lt;/b&gt;" in page
