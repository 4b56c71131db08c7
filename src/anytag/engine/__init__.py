"""Data engine: generate missing tags, clean wrong ones, audit labelled sets."""
