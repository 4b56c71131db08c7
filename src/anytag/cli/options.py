"""Options of the commands: one name, one meaning, one help text, in one place."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from anytag.inference.writers import Format

_TAGS = "Which tags"
_OUTPUT = "Output"
_XMP = "With --format xmp"
_SPEED = "Model and speed"
_RAY = "Many machines"


class XmpNaming(str, Enum):
    """Names of new sidecars."""

    AUTO = "auto"
    STEM = "stem"
    FULL = "full"


class RunBy(str, Enum):
    """What runs the model."""

    AUTO = "auto"
    TORCH = "torch"
    ONNX = "onnx"
    OPENVINO = "openvino"


class RunOn(str, Enum):
    """Where the work is done."""

    LOCAL = "local"
    RAY = "ray"


Engine = Annotated[
    RunOn,
    typer.Option(
        "--engine",
        help="local: this process. ray: a pool of Ray workers, see docs/scale.md.",
        rich_help_panel=_RAY,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="local|auto|ADDRESS",
        help="Ray of our own (local), or a running cluster; RAY_ADDRESS if not given, else local.",
        rich_help_panel=_RAY,
    ),
]
RayWorkers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Workers, each with a model; one for each GPU, or processor, if not given.",
        rich_help_panel=_RAY,
    ),
]
ShardSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Images that one worker does at a time, and loses when it dies; 500 if not given. "
        "Tar and Parquet files are a shard each.",
        rich_help_panel=_RAY,
    ),
]

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        help="Images, folders, quoted globs, URLs, webdataset .tar, .parquet; - reads a list from "
        "standard input.",
        show_default=False,
    ),
]
FromFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-", help="Read paths and URLs from a list, separated by newline or NUL."
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Look into the subfolders of folders.")
]

Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="nano, a model directory, a checkpoint, or a hub id.",
        rich_help_panel=_SPEED,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=_SPEED)]
Dtype = Annotated[
    str, typer.Option(help="auto, float32, bfloat16, float16.", rich_help_panel=_SPEED)
]
Backend = Annotated[
    RunBy,
    typer.Option(
        help="What runs the model; onnx and openvino need one of anytag export.",
        rich_help_panel=_SPEED,
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Images that are scored together.", rich_help_panel=_SPEED)
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Decoding threads beside the model; one for each processor if not given.",
        rich_help_panel=_SPEED,
    ),
]

TagsFile = Annotated[
    Path | None,
    typer.Option(
        "--tags", help="Ask for the tags of this file, one a line.", rich_help_panel=_TAGS
    ),
]
TagNames = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME", help="Ask for this tag.", rich_help_panel=_TAGS),
]
ExtendTags = Annotated[
    Path | None,
    typer.Option(
        help="Also ask for the tags of this file, beside the model's own.", rich_help_panel=_TAGS
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME,...|FILE", help="Never give these tags.", rich_help_panel=_TAGS),
]
Always = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME,...",
        help="Give these tags first, whatever their score.",
        rich_help_panel=_TAGS,
    ),
]
Threshold = Annotated[
    str | None,
    typer.Option(
        metavar="auto|F",
        help="Least score: each tag's own (auto), or one in 0 to 1 for all.",
        rich_help_panel=_TAGS,
    ),
]
Thresholds = Annotated[
    Path | None,
    typer.Option(
        help="A file of thresholds: one a line in tag order, or tag,threshold rows.",
        rich_help_panel=_TAGS,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Most tags an image; without --threshold the best K however low.",
        rich_help_panel=_TAGS,
    ),
]
Lang = Annotated[
    str | None,
    typer.Option(help="Language of the tags, such as de or zh.", rich_help_panel=_TAGS),
]

OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format", help="Follows the ending of OUT if not given.", rich_help_panel=_OUTPUT
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="OUT", help="Write a file.", rich_help_panel=_OUTPUT),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with OUT; nothing is done twice.", rich_help_panel=_OUTPUT
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace OUT, and captions that exist.", rich_help_panel=_OUTPUT
    ),
]
Caption = Annotated[
    bool,
    typer.Option(
        "--caption",
        help="Write a sentence too; jsonl, json and parquet have it.",
        rich_help_panel=_OUTPUT,
    ),
]
CaptionTxt = Annotated[
    bool,
    typer.Option(
        "--caption-txt",
        help="Also write photo.txt beside photo.jpg: comma separated, as trainers read it.",
        rich_help_panel=_OUTPUT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress bar, no summary.", rich_help_panel=_OUTPUT),
]

Embed = Annotated[
    bool,
    typer.Option(
        "--embed", help="Write into the images instead of sidecars.", rich_help_panel=_XMP
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would change.", rich_help_panel=_XMP)
]
Naming = Annotated[
    XmpNaming,
    typer.Option(
        "--xmp-naming",
        help="New sidecars: a.xmp (stem), a.jpg.xmp (full), or whatever is unique (auto).",
        rich_help_panel=_XMP,
    ),
]
