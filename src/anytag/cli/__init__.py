"""The command line: one file a command; parse arguments, call one function, print."""
