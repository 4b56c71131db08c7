"""``anytag describe``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytag.cli import options as opt
from anytag.cli.interrupts import interrupts_told

#: where Ollama listens
LOCAL_URL = "http://localhost:11434/v1"
#: sent to local and to encrypted addresses without being named
KEY_VARIABLE = "OPENAI_API_KEY"

_ENDPOINT = "Language model"
_OUTPUT = "Output"

Tags = Annotated[
    list[str],
    typer.Argument(metavar="TAGS", help="Names, or files of names, one a line."),
]
Out = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="OUT", help="Write this file.", rich_help_panel=_OUTPUT),
]
Prepared = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Take what this file has; ask only for the other tags.",
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace OUT.", rich_help_panel=_OUTPUT)
]
Url = Annotated[str, typer.Option(help="An OpenAI-compatible address.", rich_help_panel=_ENDPOINT)]
Model = Annotated[
    str | None,
    typer.Option(help="Its model; not needed if it has only one.", rich_help_panel=_ENDPOINT),
]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Environment variable with the key; {KEY_VARIABLE} if not given.",
        rich_help_panel=_ENDPOINT,
    ),
]
Samples = Annotated[
    int, typer.Option(min=1, help="Answers to each of the 5 prompts.", rich_help_panel=_ENDPOINT)
]
Concurrency = Annotated[
    int, typer.Option(min=1, max=64, help="Requests at once.", rich_help_panel=_ENDPOINT)
]
Retries = Annotated[
    int,
    typer.Option(min=0, help="Further attempts, with growing waits.", rich_help_panel=_ENDPOINT),
]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds for one request.", rich_help_panel=_ENDPOINT)
]


def describe(
    tags: Tags,
    out: Out,
    prepared: Prepared = None,
    resume: opt.Resume = False,
    overwrite: Overwrite = False,
    quiet: opt.Quiet = False,
    url: Url = LOCAL_URL,
    model: Model = None,
    api_key_env: ApiKeyEnv = None,
    samples: Samples = 10,
    concurrency: Concurrency = 4,
    retries: Retries = 5,
    timeout: Timeout = 120.0,
) -> None:
    """Describe tags with a language model, for RAM++ and for names that say too little.

    Examples:

        anytag describe tags.txt -o descriptions.json
        anytag describe "red panda" forklift -o two.json --model llama3.2
        anytag describe tags.txt -o all.json --from released.json --resume
        anytag describe tags.txt -o all.json --url https://api.openai.com/v1 --model gpt-4o-mini
    """
    given = dict(locals())  # before any other name exists: exactly the options
    from anytag.cli.describe_run import DescribeOptions, run

    with interrupts_told("go on with --resume"):
        code = run(DescribeOptions(**given))
    raise typer.Exit(code)
