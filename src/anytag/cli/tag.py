"""``anytag tag``."""

from __future__ import annotations

import typer

from anytag.cli import options as opt
from anytag.cli.interrupts import interrupts_told


def tag(
    paths: opt.Paths = None,
    from_file: opt.FromFile = None,
    recursive: opt.Recursive = False,
    tags: opt.TagsFile = None,
    tag: opt.TagNames = None,
    extend_tags: opt.ExtendTags = None,
    exclude: opt.Exclude = None,
    always: opt.Always = None,
    threshold: opt.Threshold = None,
    thresholds: opt.Thresholds = None,
    top_k: opt.TopK = None,
    lang: opt.Lang = None,
    form: opt.OutputFormat = None,
    out: opt.Out = None,
    resume: opt.Resume = False,
    overwrite: opt.Overwrite = False,
    caption: opt.Caption = False,
    caption_txt: opt.CaptionTxt = False,
    quiet: opt.Quiet = False,
    embed: opt.Embed = False,
    dry_run: opt.DryRun = False,
    xmp_naming: opt.Naming = opt.XmpNaming.AUTO,
    model: opt.Model = "nano",
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    backend: opt.Backend = opt.RunBy.AUTO,
    batch_size: opt.BatchSize = 32,
    workers: opt.Workers = None,
    engine: opt.Engine = opt.RunOn.LOCAL,
    ray_address: opt.RayAddress = None,
    ray_workers: opt.RayWorkers = None,
    shard_size: opt.ShardSize = None,
) -> None:
    """Tag photos.

    Examples:

        anytag tag photo.jpg
        anytag tag photos -r -o tags.jsonl --resume
        anytag tag photos --tag "red panda" --tag forklift --threshold 0.4
        anytag tag "photos/**/*.jpg" --top-k 10 --format csv > tags.csv
        anytag tag photos -r --format xmp --dry-run
        find . -name "*.webp" -print0 | anytag tag - --extend-tags mine.txt
        anytag tag shards/*.tar --engine ray -o tagged --format webdataset --resume
    """
    given = dict(locals())  # before any other name exists: exactly the options
    from anytag.cli.tag_options import TagOptions

    options = TagOptions(**given)
    with interrupts_told():
        if options.engine is opt.RunOn.RAY:
            from anytag.cli.tag_ray import run as run_on_ray

            code = run_on_ray(options)
        else:
            from anytag.cli.tag_run import run

            code = run(options)
    raise typer.Exit(code)
