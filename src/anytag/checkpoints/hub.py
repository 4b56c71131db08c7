"""Single files of the Hugging Face hub, through huggingface_hub: its cache, progress and checksums.

They are written as huggingface_hub's own file system writes them::

    hf:org/name/file.pth                    of a model repository
    hf:spaces/org/name@main/data/file.txt   of a Space, at a revision
    https://huggingface.co/org/name/blob/main/file.pth
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anytag.errors import ModelError

_REVISION = r"(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+)"
_NAME = r"(?P<kind>spaces/|datasets/|)(?P<repository>\w[\w.-]*/\w[\w.-]*)"
_PATTERNS = (
    re.compile(rf"hf:(?://)?{_NAME}(?:@{_REVISION})?(?:/(?P<path>.*))?"),
    re.compile(
        rf"https://(?:www\.)?huggingface\.co/{_NAME}/(?:blob|resolve|tree)/{_REVISION}"
        r"(?:/(?P<path>[^?#]*))?(?:[?#].*)?"
    ),
)
_KINDS = {"": "model", "spaces/": "space", "datasets/": "dataset"}


@dataclass(frozen=True, kw_only=True)
class HubPath:
    """A file or folder of a repository."""

    #: "org/name"
    repository: str
    #: "", "spaces/" or "datasets/"
    kind: str = ""
    #: None = the main branch
    revision: str | None = None
    #: inside the repository, with "/" between folders; "" is the repository itself
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> HubPath | None:
        """Read one of the forms above; None for any other text."""
        for pattern in _PATTERNS:
            if found := pattern.fullmatch(text):
                parts = found.groupdict()
                parts["path"] = (parts["path"] or "").strip("/")
                return cls(**parts)
        return None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf:{self.kind}{self.repository}{revision}/{self.path}".rstrip("/")

    def at(self, path: str) -> HubPath:
        """Another place in the same repository."""
        return replace(self, path=path)

    @property
    def folder(self) -> str:
        """The folder that `path` is in."""
        return self.path.rpartition("/")[0]

    def download(self) -> Path:
        """The file in huggingface_hub's cache, downloaded if it is not there yet.

        Raises:
            ModelError: there is no such file, or no connection
        """
        from huggingface_hub import hf_hub_download

        with _explained(self):
            return Path(
                hf_hub_download(
                    self.repository,
                    self.path,
                    repo_type=_KINDS[self.kind],
                    revision=self.revision,
                )
            )

    def snapshot(self, patterns: Sequence[str]) -> Path:
        """The repository's folder in the cache, with the files that there are of these patterns.

        Raises:
            ModelError: there is no such repository, or no connection and nothing in the cache
        """
        from huggingface_hub import snapshot_download

        with _explained(self):
            return Path(
                snapshot_download(
                    self.repository,
                    repo_type=_KINDS[self.kind],
                    revision=self.revision,
                    allow_patterns=list(patterns),
                )
            )

    def files(self) -> list[str]:
        """Paths of all files of the repository; without a connection, of those in the cache.

        Raises:
            ModelError: there is no such repository, or no connection and nothing in the cache
        """
        from huggingface_hub import list_repo_files, snapshot_download

        where: dict[str, Any] = {"repo_type": _KINDS[self.kind], "revision": self.revision}
        with _explained(self):
            try:
                return list_repo_files(self.repository, **where)
            except Exception:
                try:
                    cached = snapshot_download(self.repository, local_files_only=True, **where)
                except Exception:
                    cached = None
                if cached is None:
                    raise
        found = (path for path in Path(cached).rglob("*") if path.is_file())
        return sorted(path.relative_to(cached).as_posix() for path in found)


@contextmanager
def _explained(place: HubPath) -> Iterator[None]:
    """Errors of huggingface_hub in one line; which they are differs from version to version."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{place}: could not be downloaded: {reason}") from error
