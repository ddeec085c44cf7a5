"""Ranking between trials: pure rules over recorded learning curves that stop or pause the hopeless ones."""

from __future__ import annotations

from abr_tune.search.pruning.field import Field
from abr_tune.search.pruning.halving import Outlook
from abr_tune.search.pruning.ladder import rungs
from abr_tune.search.pruning.methods import PRUNERS, Method, levels, milestones

__all__ = ["PRUNERS", "Field", "Method", "Outlook", "levels", "milestones", "rungs"]
