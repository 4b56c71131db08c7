"""The options of ``anytag eval`` as one value, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from anytag.cli.options import RunOn
from anytag.cli.ray_options import check_ray
from anytag.cli.scoring import ScoringOptions
from anytag.errors import UsageError
from anytag.evaluation.benchmarks import Benchmark, find_benchmark
from anytag.evaluation.operating import Rule


@dataclass(frozen=True, kw_only=True)
class EvalOptions(ScoringOptions):
    """The options of ``anytag eval``, by the names of its parameters.

    Raises:
        UsageError: they do not fit together
    """

    set_name: str | None
    annotations: Path | None
    model: list[str] | None
    scores: list[str] | None
    threshold: str
    prompt: str
    descriptions: Path | None
    engine: RunOn = RunOn.LOCAL
    ray_address: str | None = None
    ray_workers: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ray(self.engine, self.ray_address, self.ray_workers)
        names = [name for name, _ in (*self.models, *self.score_files)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"two systems are named {twice!r}; name them: --model NAME=M")

    def mistakes(self) -> dict[str, bool]:
        """See `ScoringOptions`."""
        return {
            "nothing to evaluate: name a set (--set NAME) or a file (--annotations FILE)": (
                self.set_name is None and self.annotations is None
            ),
            "--kind and --set exclude each other: a set has its kind": (
                self.set_name is not None and self.kind != "auto"
            ),
            "--engine ray needs a folder that all workers see: -o DIR": (
                self.engine is RunOn.RAY and self.out is None
            ),
            "--prompt needs {} where the tag goes": "{}" not in self.prompt,
        }

    @property
    def rule(self) -> Rule:
        """How the threshold is chosen."""
        return Rule.parse(self.threshold)

    @cached_property
    def benchmark(self) -> Benchmark | None:
        """The named test set."""
        return None if self.set_name is None else find_benchmark(self.set_name)

    @property
    def models(self) -> list[tuple[str, str]]:
        """Name and source of each model; nano where nothing is asked for."""
        given = self.model or ([] if self.scores else ["nano"])
        pairs = [one.rpartition("=") for one in given]
        return [(name or _short_name(source), source) for name, _, source in pairs]

    @property
    def score_files(self) -> list[tuple[str, Path]]:
        """Name and file of each system.

        Raises:
            UsageError: one is not NAME=FILE
        """
        found = []
        for one in self.scores or []:
            name, equals, file = one.partition("=")
            if not (name and equals and file):
                raise UsageError(f"--scores {one}: expected NAME=FILE")
            found.append((name, Path(file)))
        return found


def _short_name(source: str) -> str:
    """What a model is called that was not given a name."""
    if source.startswith("open_clip:"):  # ViT-B-32/openai: one of many with these weights
        return source.removeprefix("open_clip:")
    return Path(source).name or source
