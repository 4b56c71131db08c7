"""``anytag export``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from anytag.cli import options as opt

_CHECK = "What is compared"


class Target(str, Enum):
    """What runs the exported model."""

    ONNX = "onnx"
    OPENVINO = "openvino"


ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="nano, a model directory, a checkpoint, or a hub id.")
]
To = Annotated[Target, typer.Option("--to", help="ONNX Runtime (TensorRT reads it too), OpenVINO.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to.")]
Int8 = Annotated[
    bool,
    typer.Option("--int8", help="Image encoder in 8 bits, calibrated on --photos."),
]
MaxChanged = Annotated[
    float,
    typer.Option(min=0.0, help="Refuse --int8 that changes a larger share of the tags."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR.")]
Photos = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Photos like those to be tagged; else pictures are made for the comparison.",
        rich_help_panel=_CHECK,
        show_default=False,
    ),
]
NumPhotos = Annotated[
    int,
    typer.Option(
        min=2,
        help="So many of them, from all over the folder; half of them calibrate --int8.",
        rich_help_panel=_CHECK,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Labelled photos, any file that 'anytag eval' reads: compare mAP too.",
        rich_help_panel=_CHECK,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The photos of FILE.", rich_help_panel=_CHECK),
]


def export(
    model: ModelArgument,
    to: To,
    output: Output,
    int8: Int8 = False,
    max_changed: MaxChanged = 0.05,
    overwrite: Overwrite = False,
    photos: Photos = None,
    num_photos: NumPhotos = 256,
    data: Data = None,
    images: Images = None,
    quiet: opt.Quiet = False,
) -> None:
    """Export a model for ONNX Runtime or OpenVINO, and compare its tags with the original's.

    What is written runs without torch, with any tags: their embeddings are an input.

    Examples:

        anytag export nano --to onnx -o nano-onnx
        anytag tag photos -r --model nano-onnx
        anytag export ram-plus --to openvino --photos ~/Pictures -o ram-plus-openvino
        anytag export nano --to onnx --int8 --photos photos --data labels.csv -o nano-int8
    """
    from anytag.errors import UsageError
    from anytag.inference.backends import torch_installed

    if not torch_installed():
        raise UsageError("exporting needs torch, which is not installed: pip install torch")
    from anytag.cli.export_run import ExportRun, run

    run(
        ExportRun(
            model=model,
            to=to.value,
            output=output,
            int8=int8,
            max_changed=max_changed,
            overwrite=overwrite,
            photos=photos,
            num_photos=num_photos,
            data=data,
            images=images,
            quiet=quiet,
        )
    )
