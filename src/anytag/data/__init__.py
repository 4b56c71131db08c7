"""Images and records on disk: decoding and formats. Knows no model and no label set."""
