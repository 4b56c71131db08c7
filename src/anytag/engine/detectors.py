"""The detector that a configuration names."""

from __future__ import annotations

from anytag.engine.config import GROUNDING_DINO, GroundConfig
from anytag.engine.ground import AttentionDetector, Detector, WindowDetector
from anytag.inference.tagger import Tagger


def make_detector(config: GroundConfig, tagger: Tagger) -> Detector:
    """The detector that the config names, for the tags of ``tagger``.

    Raises:
        ModelError: Grounding DINO cannot be read
        MissingExtraError: transformers is not installed
    """
    if config.detector.startswith(GROUNDING_DINO):
        from anytag.engine.grounding_dino import BOX_THRESHOLD, GroundingDino

        return GroundingDino(
            config.detector.removeprefix(GROUNDING_DINO),
            tagger.labels.names,
            device=str(tagger.device),
            threshold=BOX_THRESHOLD if config.box_threshold is None else config.box_threshold,
        )
    made = WindowDetector if config.detector == "windows" else AttentionDetector
    return made(tagger, config.box_threshold or 0.0)
