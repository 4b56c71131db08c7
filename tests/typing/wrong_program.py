"""Mistakes that a type checker must find in a user's program; the comments name its error codes."""

from __future__ import annotations

from anytag import Label, Tagger

tagger = Tagger.from_pretrained("nano", devise="cpu")  # call-arg
tagger.with_tags(5)  # arg-type
tagger("photo.jpg").tgas  # noqa: B018  # attr-defined
Label(id="0", name="cat")  # arg-type
