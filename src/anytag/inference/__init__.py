"""From images to tags: text, tagger, streaming, writers."""
