"""The options of ``anytag tag`` as one value, checked before anything heavy is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anytag.cli.options import RunBy, RunOn, XmpNaming
from anytag.cli.ray_options import check_ray
from anytag.data.discover import UrlItem, read_list
from anytag.errors import UsageError
from anytag.files import display_path
from anytag.inference.writers import Format

#: formats of which parts can be read one by one
IN_PARTS = (Format.JSONL, Format.CSV, Format.PARQUET, Format.WEBDATASET)


@dataclass(frozen=True, kw_only=True)
class TagOptions:
    """The options of ``anytag tag``, by the names of its parameters.

    Raises:
        UsageError: they do not fit together
    """

    paths: list[str] | None
    from_file: str | None
    recursive: bool
    tags: Path | None
    tag: list[str] | None
    extend_tags: Path | None
    exclude: list[str] | None
    always: list[str] | None
    threshold: str | None
    thresholds: Path | None
    top_k: int | None
    lang: str | None
    form: Format | None
    out: Path | None
    resume: bool
    overwrite: bool
    caption: bool
    caption_txt: bool
    quiet: bool
    embed: bool
    dry_run: bool
    xmp_naming: XmpNaming
    model: str
    device: str
    dtype: str
    backend: RunBy
    batch_size: int
    workers: int | None
    engine: RunOn
    ray_address: str | None
    ray_workers: int | None
    shard_size: int | None

    def __post_init__(self) -> None:
        on_ray = self.engine is RunOn.RAY
        check_ray(self.engine, self.ray_address, self.ray_workers, self.shard_size)
        xmp = self.form is Format.XMP
        wrong = {
            "no input: name images, folders or URLs, or use --from-file": not self.paths
            and not self.from_file,
            "standard input can be read only once": self.num_stdin > 1,
            "--resume and --overwrite exclude each other": self.resume and self.overwrite,
            "--resume needs the file of the interrupted run: -o OUT": self.resume
            and self.out is None,
            "--threshold and --thresholds exclude each other": self.threshold is not None
            and self.thresholds is not None,
            "--embed, --dry-run and --xmp-naming need --format xmp": not xmp
            and (self.embed or self.dry_run or self.xmp_naming is not XmpNaming.AUTO),
            "--format parquet needs a file: -o OUT": self.form is Format.PARQUET
            and self.out is None,
            "--caption needs a format that holds it: jsonl, json or parquet": self.caption
            and self._format not in (Format.JSONL, Format.JSON, Format.PARQUET),
            f"-o {self.out}: is a folder": self.out is not None
            and self.out.is_dir()
            and not on_ray,
            f"-o {self.out}: its folder does not exist": self.out is not None
            and not self.out.parent.is_dir(),
            "--engine ray needs an output: -o OUT": on_ray and self.out is None,
            "--engine ray writes nothing beside the images: no --caption-txt, no --format xmp": (
                on_ray and (xmp or self.caption_txt)
            ),
            f"-o {self.out}: a folder of parts holds jsonl, csv, parquet or webdataset": (
                on_ray and self.in_parts and self._format not in IN_PARTS
            ),
            "--format webdataset needs --engine ray and a folder: -o DIR": (
                self.form is Format.WEBDATASET and not (on_ray and self.in_parts)
            ),
        }
        for message, is_wrong in wrong.items():
            if is_wrong:
                raise UsageError(message)

    @property
    def in_parts(self) -> bool:
        """With ``--engine ray``: OUT is a folder, of a part for each shard."""
        return self.out is not None and (self.out.is_dir() or not self.out.suffix)

    @property
    def _format(self) -> Format:
        """What is written, if nothing is wrong."""
        by_name = Format.TABLE if self.out is None else Format.of_file(self.out)
        return self.form or by_name

    @property
    def num_stdin(self) -> int:
        """How often standard input is asked for; then the inputs can be read only once."""
        return (self.paths or []).count("-") + (self.from_file == "-")

    def inputs(self) -> Sequence[str] | Iterator[str | Path | UrlItem]:
        """What to look for images in; anew at each call, but for standard input."""
        if not self.from_file and "-" not in (self.paths or []):
            return self.paths or []
        return self._read_inputs()

    def _read_inputs(self) -> Iterator[str | Path | UrlItem]:
        for path in self.paths or []:
            if path == "-":
                yield from read_list(sys.stdin.buffer)
            else:
                yield path
        if self.from_file == "-":
            yield from read_list(sys.stdin.buffer)
        elif self.from_file:
            try:
                with Path(self.from_file).open("rb") as file:
                    yield from read_list(file)
            except OSError as error:
                raise UsageError(
                    f"--from-file {display_path(self.from_file)}: cannot be read ({error.strerror})"
                ) from error
