"""Build the memory bank: ``python -m networks.chest_bank CHECKPOINT --out FOLDER``.

Tiles of the training's patients are embedded by the trained network. With the bank, what survey,
linear head and vote say is weighed on the judged patients, and a checkpoint with those weights
that names the bank is written beside the first as ``fitted.pt``: from it thresholds are set and
the file is exported.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from networks.chest_export import encoder_digest
from networks.chest_judge import PARTS, figures, fit_fusion, label_aucs
from networks.chest_sampling import look
from networks.chest_scenes import ChestPool
from networks.chest_study import EVALUATED
from networks.engine import Plan, averaged, device_named, read_checkpoint
from networks.memory_bank import MemoryBank, build
from networks.nets.chest_net import ChestNet
from networks.phantoms.chest_labels import LABEL_NAMES
from networks.scenes import FIRST_SEED
from networks.tasks import task_of
from networks.tasks.chest import JUDGED_PATIENTS, ChestTask

BLOCKS = 12
"""Of eight tiles of each planting."""

FITTED = "fitted.pt"


@torch.no_grad()
def collect(
    network: ChestNet, pool: ChestPool, patients: int, *, blocks: int = BLOCKS, device: str = "cpu"
) -> MemoryBank:
    """Embed tiles of the training's patients and choose among them.

    Parameters
    ----------
    network : ChestNet
        In evaluation mode.
    pool : ChestPool
    patients : int
        From the first seed of training on.
    """
    vectors, labels, sources, scans, shown = [], [], [], [], []
    for seed in track(range(FIRST_SEED, FIRST_SEED + patients), description="tiles"):
        for planting in pool.plantings(seed):
            rng = np.random.default_rng((seed, 37, planting.number))
            group = look(pool, [planting], rng, blocks)
            answer = network(
                torch.from_numpy(group.tiles).to(device).float() / 1000,
                torch.from_numpy(group.places).to(device),
                torch.from_numpy(group.survey).to(device).float() / 1000,
            )
            held = group.labels[0]
            # a tile of which it is not known whether it holds something asked for is no example
            sure = ~(held[:, EVALUATED] < 0).any(axis=1)
            vectors.append(answer.embedded.float().cpu().numpy()[sure])
            labels.append(held[sure] == 1)
            shown.append(group.shown[0][sure])
            sources.append(np.full(sure.sum(), seed, np.int64))
            scans.append(np.full(sure.sum(), seed * 100 + planting.number, np.int64))
    return build(
        np.concatenate(vectors),
        np.concatenate(labels),
        np.concatenate(sources),
        names=LABEL_NAMES,
        encoder=encoder_digest(network),
        groups=np.concatenate(shown),
        scans=np.concatenate(scans),
    )


def fit(task: ChestTask, checkpoint: Path, bank: Path, plan: Plan) -> dict[str, Any]:
    """Weigh the parts with a bank, and write the fitted checkpoint.

    Returns
    -------
    dict
        Figures of each part by itself, so that the vote's gain over the linear head shows, and of
        all fused; the weights are fitted on the same studies.
    """
    network = averaged(task, checkpoint).to(plan.device)
    assert isinstance(network, ChestNet)
    task.bank = str(bank.resolve())
    judged = task.judged_studies(network, plan, task.bank_tensors())
    mix, offset = fit_fusion(judged)
    network.mix.copy_(mix)
    network.offset.copy_(offset)
    refused = [replace(case, logits=_fused(case.parts, mix, offset)) for case in judged]
    kept = torch.load(checkpoint, map_location="cpu", weights_only=True)
    kept["average"] = {name: value.cpu() for name, value in network.state_dict().items()}
    kept["plan"]["bank"] = task.bank
    torch.save(kept, checkpoint.with_name(FITTED))
    return {
        "mix": {name: round(float(w), 4) for name, w in zip(PARTS, mix, strict=True)},
        **figures(refused),
        "labels_auc": {LABEL_NAMES[n]: figure for n, figure in label_aucs(refused).items()},
    }


def _fused(parts: NDArray[np.float32], mix: Tensor, offset: Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = mix.numpy() @ parts + offset.numpy()
    return logits


def main(arguments: list[str] | None = None) -> None:
    """Build and fit from the command line; prints what came of it."""
    parser = argparse.ArgumentParser(prog="python -m networks.chest_bank", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, help="folder of the bank; beside the checkpoint")
    parser.add_argument("--pool", type=Path, default=ChestTask.default_pool())
    parser.add_argument("--patients", type=int, help="those of the training by default")
    parser.add_argument("--judged", type=int, default=JUDGED_PATIENTS)
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="of eight tiles of a planting")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    plan = Plan(workers=given.workers, device=device_named(given.device))
    task = task_of(read_checkpoint(given.checkpoint)["plan"], pool=given.pool, judged=given.judged)
    assert isinstance(task, ChestTask)
    network = averaged(task, given.checkpoint).to(plan.device)
    assert isinstance(network, ChestNet)
    out = given.out or given.checkpoint.with_name("bank")
    bank = collect(
        network, task.plantings(), given.patients or task.pool_size,
        blocks=given.blocks, device=plan.device,
    )  # fmt: skip
    bank.save(out)
    told = fit(task, given.checkpoint, out, plan)
    size = sum(path.stat().st_size for path in out.iterdir())
    told = {"tiles": len(bank.embedded), "digest": bank.digest, "bytes": size, **told}
    print(json.dumps(told | {"counts": bank.counts}, indent=2))


if __name__ == "__main__":
    main()
