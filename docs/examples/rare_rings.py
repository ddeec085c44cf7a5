"""A task of one's own: find the few of 2,000 points that lie in a ring inside a disc."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, Field
from safetensors.torch import load_file, save_file
from sklearn.metrics import f1_score
from torch import Tensor, nn

from core.health import HealthOptions
from core.health.options import ClassCollapse
from core.report import EpochReport
from core.tasks import Objective


class Options(BaseModel, frozen=True, extra="forbid"):
    """Every field can be fixed under `train:` or searched under `search:`."""

    epochs: int = 12
    lr: Annotated[float, Field(gt=0)] = 1e-2
    rare_weight: Annotated[float, Field(gt=0)] = 1.0
    hidden: Annotated[int, Field(ge=1)] = 16


def points(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """(N, 3) x, y and squared radius of points in the unit disc; (N,) whether they lie in the ring, about 1 in 10."""
    generator = torch.Generator().manual_seed(seed)
    radius = torch.rand(count, generator=generator).sqrt()
    angle = 6.2832 * torch.rand(count, generator=generator)
    rare = ((radius > 0.3) & (radius < 0.45)).long()
    xy_N2 = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    xy_N2 += 0.01 * torch.randn(count, 2, generator=generator)
    return torch.cat([xy_N2, xy_N2.square().sum(dim=1, keepdim=True)], dim=1), rare


class RareRings:
    """What `task: rare_rings:TASK` names. Nothing here knows of Ray or Optuna."""

    name = "rare_rings"
    options = Options
    objective = Objective("val/class/f1_macro")
    health = HealthOptions(class_collapse=ClassCollapse(grace=3))

    def baselines(self, dataset: None) -> dict[str, float]:
        """The score of calling every validation point common; this task has no data section, hence no data set."""
        _, y_N = points(seed=2, count=2000)
        return {"val/class/f1_macro": float(f1_score(y_N, torch.zeros_like(y_N), average="macro", zero_division=0))}

    def train(self, options: Options, *, seed: int, checkpoint: Path) -> Iterator[EpochReport]:
        """One report an epoch; the weights lie in `checkpoint` before the report goes out."""
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, options.hidden), nn.Tanh(), nn.Linear(options.hidden, 2))
        # Plain SGD has no state of its own: the weights are enough to go on from.
        optimizer = torch.optim.SGD(model.parameters(), lr=options.lr)
        loss_of = nn.CrossEntropyLoss(weight=torch.tensor([1.0, options.rare_weight]))
        x_N3, y_N = points(seed=1, count=2000)
        val_x_N3, val_y_N = points(seed=2, count=2000)
        done = 0
        weights = checkpoint / "model.safetensors"
        if weights.exists():
            tensors = load_file(weights)
            done = int(tensors.pop("epoch"))
            model.load_state_dict(tensors)
        for epoch in range(done + 1, options.epochs + 1):
            order_N = torch.randperm(len(x_N3), generator=torch.Generator().manual_seed(seed * 1000 + epoch))
            total = 0.0
            for index_B in order_N.split(100):
                loss = loss_of(model(x_N3[index_B]), y_N[index_B])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() / 20
            checkpoint.mkdir(parents=True, exist_ok=True)
            save_file({**model.state_dict(), "epoch": torch.tensor(epoch)}, checkpoint / "next.safetensors")
            (checkpoint / "next.safetensors").replace(weights)
            with torch.no_grad():
                probability_N = model(val_x_N3).softmax(dim=1)[:, 1]
            found_N = (probability_N > 0.5).long()
            yield EpochReport(
                epoch=epoch,
                phase="all",
                metrics={
                    "val/class/f1_macro": float(f1_score(val_y_N, found_N, average="macro", zero_division=0)),
                    "val/class/probability_sd": float(probability_N.std()),
                },
                health={"loss/class": total},
                active={"class": epoch},
            )


TASK = RareRings()
