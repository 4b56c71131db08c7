"""`anytag train` under Ray Train: Ray places the processes, and starts them again after a failure.

::

    pip install 'anytag[train,ray]'
    python examples/ray_train.py pets.yaml --workers 2                 # a Ray of our own
    RAY_ADDRESS=auto python examples/ray_train.py pets.yaml --workers 16 --gpu

Each process takes its part of `run.batch_size`, as under torchrun. All nodes must see the data and
the output of the configuration under the same names; there the states are, from which a process
group that lost a node goes on, bit by bit.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer


def work(settings: dict[str, Any]) -> None:
    """One process of the training; Ray has joined it with the others."""
    from anytag.cli.train_run import run_training
    from anytag.training.config_file import read_config
    from anytag.training.state import newest_state

    os.chdir(settings["folder"])  # to which relative paths belong
    config = read_config(Path(settings["config"]), settings["changes"])
    begun = newest_state(Path(config.output) / "state") is not None
    run_training(config, resume=begun)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="CONFIG.yaml of anytag train")
    parser.add_argument("changes", nargs="*", help="KEY=VALUE")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--gpu", action="store_true", help="a GPU for each process")
    parser.add_argument("--failures", type=int, default=3, help="restarts before giving up")
    parser.add_argument("--storage", help="Ray's own notes, in a folder that all nodes see")
    options = parser.parse_args()
    ray.init(address=os.environ.get("RAY_ADDRESS", "local"))
    trainer = TorchTrainer(
        work,
        train_loop_config={
            "config": options.config,
            "changes": options.changes,
            "folder": str(Path.cwd()),
        },
        scaling_config=ScalingConfig(num_workers=options.workers, use_gpu=options.gpu),
        run_config=RunConfig(
            storage_path=options.storage,
            failure_config=FailureConfig(max_failures=options.failures),
        ),
    )
    trainer.fit()


if __name__ == "__main__":
    main()
