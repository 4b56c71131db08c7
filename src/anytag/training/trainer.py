"""The training loop: steps, validation, saved states, the best model.

Every step is a function of the state before it and of (seed, step): dropout is seeded anew for each
step, and the loader's order and augmentation are functions of (seed, epoch, place). So a run that
was killed goes on bit by bit as if it had not been (on one kind of machine, in float32).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from anytag.errors import TrainingError
from anytag.training.batch import Batch
from anytag.training.journal import Journal
from anytag.training.session import Session
from anytag.training.sharding import full_state, load_optimizer, load_weights
from anytag.training.state import Progress, load_state, newest_state, save_state
from anytag.training.validation import Validation, validate

#: weights that no network has that learned anything
HUGE = 1e4
#: values of a step that are shown and logged
Losses = dict[str, float]


class Listener(Protocol):
    """Is told how a run goes on."""

    def noted(self, text: str) -> None:
        """What a person should know of the data, before the first step."""

    def caching(self, done: int, total: int, size: int) -> None:
        """Views of which features are kept, all, and the bytes that these take on disk."""

    def started(self, step: int, total: int) -> None:
        """Steps done before, and all."""

    def stepped(self, step: int, epoch: int, losses: Losses) -> None:
        """One step is done."""

    def validated(self, step: int, validation: Validation, is_best: bool) -> None:
        """A validation is done."""


class Trainer:
    """Runs a session to its end.

    Args:
        session: everything that was prepared
        listener: is told how it goes on
        save_model: writes the model directory from the network's weights
    """

    def __init__(
        self,
        session: Session,
        listener: Listener,
        save_model: Callable[[dict[str, Tensor], Validation | None], None],
    ) -> None:
        self._s = session
        self._listener = listener
        self._save_model = save_model
        self._progress = Progress(config=session.fingerprint)

    def run(self) -> Progress:
        """Train from the newest saved state, or from the start, to the last step.

        Raises:
            TrainingError: the loss became NaN or infinite, or a saved state does not fit
        """
        s = self._s
        self._resume()
        first = self._progress.step
        self._listener.started(first, s.total_steps)
        clock = time.monotonic() - self._progress.seconds
        with self._journal() as journal:
            batches: Iterator[Batch] = iter(())
            for step in range(first, s.total_steps):
                epoch, place = divmod(step, s.steps_per_epoch)
                if place == 0 or step == first:
                    batches = s.loader.batches(epoch, place)
                losses = self._step(step, next(batches))
                self._progress = replace(
                    self._progress,
                    step=step + 1,
                    seconds=time.monotonic() - clock,
                )
                self._listener.stepped(step + 1, epoch, losses)
                if (step + 1) % s.config.run.log_every == 0 and journal is not None:
                    journal.write("train", step + 1, {"epoch": epoch, **losses})
                self._after(step + 1, epoch, journal)
        if self._progress.best_step is None:  # no validation chose other weights
            self._write_model(None)
        return self._progress

    def _step(self, step: int, batch: Batch) -> Losses:
        s = self._s
        torch.manual_seed(_step_seed(s.config.run.seed, step, s.accelerator.process_index))
        lr = s.set_lr(step)
        parts = batch.split(s.config.run.accumulate)
        sums: dict[str, Tensor] = {}
        for number, part in enumerate(parts, start=1):
            with s.gathering(last=number == len(parts)), s.accelerator.autocast():
                losses = s.model(part.to(s.accelerator.device))
                s.accelerator.backward(losses["total"] / len(parts))
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach() / len(parts)
        means = s.accelerator.reduce(torch.stack(list(sums.values())), "mean").tolist()
        found: Losses = dict(zip(sums, means, strict=True))
        if not all(map(math.isfinite, means)):
            raise TrainingError(self._diagnose(step, batch, found, lr))
        norm = s.clip_gradients()
        s.optimizer.step()
        s.optimizer.zero_grad(set_to_none=True)
        if s.average is not None:
            s.average.update(s.objective)
        return {"lr": lr, "gradient_norm": norm, **found}

    def _after(self, done: int, epoch: int, journal: Journal | None) -> None:
        """Validate and save where it is time."""
        s, run = self._s, self._s.config.run
        last = done == s.total_steps
        epoch_ends = done % s.steps_per_epoch == 0
        if s.val_loader is not None and (
            last or _is_time(done, run.validate_every, default=epoch_ends)
        ):
            validation = self._validate()
            value = validation.mean
            is_best = value is not None and value > (self._progress.best_map or -1.0)
            if is_best:
                self._progress = replace(self._progress, best_map=value, best_step=done)
                self._write_model(validation)
            self._listener.validated(done, validation, is_best)
            if journal is not None:
                values = {"epoch": epoch, "map": value, "num_tags": validation.num_tags}
                journal.write("val", done, values)
        if last or _is_time(done, run.save_every, default=epoch_ends):
            self._save()

    def _validate(self) -> Validation:
        s = self._s
        assert s.val_loader is not None
        s.model.eval()
        try:
            with s.averaged(), s.accelerator.autocast():
                return validate(
                    s.objective.predict, s.val_loader, s.accelerator.device, s.gather_objects
                )
        finally:
            s.model.train()

    def _write_model(self, validation: Validation | None) -> None:
        s = self._s
        with s.averaged():
            state = full_state(s.objective)
        if s.accelerator.is_main_process:
            prefix = "network."
            network = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            self._save_model(network, validation)
        s.accelerator.wait_for_everyone()

    def _save(self) -> None:
        s = self._s
        weights = full_state(s.objective)
        optimizer = full_state(s.objective, s.raw_optimizer)
        average, num_averaged = None, 0
        if s.average is not None:
            num_averaged = s.average.num_updates
            with s.averaged():
                average = full_state(s.objective)
        self._progress = replace(
            self._progress, num_skipped=s.num_skipped(), num_averaged=num_averaged
        )
        if s.accelerator.is_main_process:
            save_state(s.folder / "state", self._progress, weights, optimizer, average)
        s.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        s = self._s
        path = newest_state(s.folder / "state")
        if path is None:
            return
        saved = load_state(path)
        if saved.progress.config != s.fingerprint:
            raise TrainingError(
                f"{s.folder}: holds a run with another configuration; give another output, or "
                "delete the folder to begin anew"
            )
        if saved.average is not None:
            load_weights(s.objective, saved.average)
            s.restart_average(saved.progress.num_averaged)
        load_weights(s.objective, saved.weights)
        load_optimizer(s.objective, s.raw_optimizer, saved.optimizer)
        self._progress = saved.progress

    def _journal(self) -> contextlib.AbstractContextManager[Journal | None]:
        s = self._s
        if not s.accelerator.is_main_process:
            return contextlib.nullcontext()
        return Journal(s.folder, s.config, self._progress.step)

    def _diagnose(self, step: int, batch: Batch, losses: Losses, lr: float) -> str:
        """Why a run was stopped, in words that help."""
        s = self._s
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        largest, where = max((_largest(p), n) for n, p in s.objective.named_parameters())
        cause = (
            f"weights have grown to {largest:.3g} ({where}), so earlier steps were too large: try "
            "a lower optim.lr, more optim.warmup_steps or optim.clip_norm=1.0"
            if not largest < HUGE
            else "the weights are of usual size, so it arose in this step: in float16 try bfloat16"
        )
        state = newest_state(s.folder / "state")
        kept = "no state was saved yet" if state is None else f"the last good state is {state}"
        pictures = ", ".join(s.loader.names(batch.positions[:4].tolist(), step))
        return (
            f"step {step + 1}: {', '.join(bad)} is {', '.join(str(losses[n]) for n in bad)} at "
            f"lr {lr:.3g}; {cause}. Pictures of the batch: {pictures}. {kept}"
        )


def _step_seed(seed: int, step: int, rank: int) -> int:
    """Different for every step and process, and far apart."""
    return (seed * 1_000_003 + step) * 65_537 + rank


def _is_time(done: int, every: int | None, *, default: bool) -> bool:
    return default if every is None else done % every == 0


def _largest(parameter: nn.Parameter) -> float:
    """Largest absolute weight, of this process's part; infinite where one is not a number."""
    value: Any = parameter.detach()
    part: Tensor = value.to_local() if hasattr(value, "to_local") else value
    return float(part.abs().nan_to_num(nan=math.inf).max()) if part.numel() else 0.0
