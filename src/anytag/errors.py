"""Every error that anytag raises on purpose.

    AnytagError                 base: catch this to catch all
    |- UsageError               wrong arguments or options; the command line exits with 2
    |- ConfigError              a configuration value or key is wrong; likewise
    |- ModelError               a model directory or checkpoint cannot be used
    |- LabelError               a tag list, threshold file or label set is wrong
    |- ImageError               one image cannot be read; ``kind`` says why
    |- FetchError               a URL was refused or could not be downloaded
    |- AnnotationError          an annotation or score file of an evaluation is wrong
    |- MetadataError            an XMP sidecar or embedded metadata cannot be read or written
    |- TrainingError            a run diverged, or its saved state cannot be read
    |- OutputError              a result file cannot be written
    |- MissingExtraError        an optional dependency is not installed

A message says what is wrong, where (file, key, row), what was expected and what to do.
"""

from __future__ import annotations


class AnytagError(Exception):
    """Base of all errors raised on purpose by anytag."""


class UsageError(AnytagError):
    """Arguments or options that do not fit together."""


class ConfigError(AnytagError):
    """A configuration value or key is wrong."""


class ModelError(AnytagError):
    """A model directory or checkpoint cannot be used."""


class LabelError(AnytagError):
    """A tag list, threshold file or label set is wrong."""


class ImageError(AnytagError):
    """One image cannot be read.

    ``kind`` is a stable word for error records: ``missing``, ``unreadable``, ``empty``,
    ``not_an_image``, ``truncated``, ``too_large`` (bytes), ``too_many_pixels``, ``unsupported``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class FetchError(AnytagError):
    """A URL was refused (address, type, size) or could not be downloaded."""


class AnnotationError(AnytagError):
    """An annotation or score file of an evaluation is wrong, or they do not fit together."""


class MetadataError(AnytagError):
    """An XMP sidecar or embedded metadata cannot be read or written."""


class TrainingError(AnytagError):
    """A training run diverged, or its saved state cannot be read."""


class OutputError(AnytagError):
    """A result file cannot be written."""


class MissingExtraError(AnytagError):
    """An optional dependency is not installed; the message gives the install command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed. "
            f"Install it with: pip install 'anytag[{extra}]'"
        )
