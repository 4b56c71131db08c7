"""Pictures of records by name, those within shards too, which are found by one pass over a shard.

`anytag.data.records.image_bytes` reads through the shard for each picture: right for a few.
"""

from __future__ import annotations

import tarfile
from collections import OrderedDict
from pathlib import Path

from anytag.data.records import is_url
from anytag.errors import ImageError
from anytag.fetch import fetch
from anytag.files import display_path

#: shards whose table of contents is held
_MAX_SHARDS = 4


class Pictures:
    """Finds the file of a record's picture. Not for several threads at once."""

    def __init__(self) -> None:
        self._spans: OrderedDict[Path, dict[str, tuple[int, int]]] = OrderedDict()

    def source(self, image: str) -> str | Path | _Member:
        """What `load` takes: a path, or the place within a shard."""
        path = Path(image)
        if is_url(image):
            return image
        shard = next((one for one in path.parents if one.suffix == ".tar" and one.is_file()), None)
        if shard is None:
            return path
        span = self._table(shard).get(path.relative_to(shard).as_posix())
        return _Member(image, shard, span)

    def _table(self, shard: Path) -> dict[str, tuple[int, int]]:
        if shard not in self._spans:
            with tarfile.open(shard) as tar:
                self._spans[shard] = {
                    member.name.removeprefix("./"): (member.offset_data, member.size)
                    for member in tar
                    if member.isreg()
                }
            while len(self._spans) > _MAX_SHARDS:
                self._spans.popitem(last=False)
        self._spans.move_to_end(shard)
        return self._spans[shard]


class _Member:
    """A file within a shard."""

    def __init__(self, name: str, shard: Path, span: tuple[int, int] | None) -> None:
        self.name, self.shard, self.span = name, shard, span

    def read(self) -> bytes:
        if self.span is None:
            raise ImageError("missing", f"{display_path(self.name)}: the shard holds no such file")
        with self.shard.open("rb") as file:
            file.seek(self.span[0])
            return file.read(self.span[1])


def content(source: str | Path | _Member) -> Path | bytes:
    """The source as image functions take it; reads shards and URLs, in any thread.

    Raises:
        ImageError: a shard has no such file
        FetchError: a URL was refused or failed
    """
    if isinstance(source, _Member):
        return source.read()
    return fetch(source, allow_octet_stream=True) if isinstance(source, str) else source
