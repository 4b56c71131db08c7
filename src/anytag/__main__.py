"""``python -m anytag``: the command line, as torchrun needs it."""

from anytag.cli.main import main

main()
