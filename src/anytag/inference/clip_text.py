"""CLIP's text tower: texts to the vectors with which RAM and RAM++ were trained.

Source: CLIP (arXiv 2103.00020). The network and its tokenizer are those of transformers, which
``pip install 'anytag[clip]'`` adds; torchvision is not needed. Weights come from a
safetensors file, or where there is none from a pickle that is read as data (``weights_only``) and
can run nothing.

Shapes: T texts, L tokens, E width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anytag.checkpoints.checkpoint_file import read_checkpoint
from anytag.checkpoints.hub import HubPath
from anytag.errors import LabelError, MissingExtraError, ModelError
from anytag.inference.device import choose_device

#: the text tower of the released RAM and RAM++
DEFAULT = "openai/clip-vit-base-patch16"
#: texts in one forward pass
BATCH_SIZE = 256

#: weight files, the better first
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZER = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json")
_PROJECTION = "text_projection.weight"


class ClipTextEncoder:
    """Texts -> unit vectors [T, E].

    Example:
        >>> encoder = ClipTextEncoder.load()  # doctest: +SKIP
        >>> encoder.encode(["a photo of a dog."]).shape  # doctest: +SKIP
        (1, 512)
    """

    # Any: transformers is optional and its types are not known where it is missing
    def __init__(self, network: Any, tokenizer: Any, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._tokenizer = tokenizer
        self._device = device
        self._max_length: int = network.config.max_position_embeddings

    @classmethod
    def load(cls, source: str | Path = DEFAULT, device: str = "cpu") -> ClipTextEncoder:
        """Read a CLIP model or its text tower.

        Args:
            source: a folder as ``save_pretrained`` writes it, or a hub id, "org/name[@revision]"
            device: "auto", or anything torch knows

        Raises:
            MissingExtraError: transformers is not installed
            ModelError: no such model, or it has no weights that can be read or does not fit
            UsageError: unknown device
        """
        chosen = choose_device(device)
        try:
            transformers = import_module("transformers")
        except ImportError as error:
            raise MissingExtraError("transformers", "clip") from error
        folder = _find(source)
        state = _read_text_weights(folder)
        network = _build(transformers, folder, state)
        if not (folder / "tokenizer.json").is_file() and not (folder / "merges.txt").is_file():
            raise ModelError(f"{folder}: no tokenizer; expected tokenizer.json, or vocab.json "
                             "and merges.txt")  # fmt: skip
        try:
            tokenizer = transformers.CLIPTokenizerFast.from_pretrained(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{folder}: its tokenizer cannot be read ({error})") from error
        if len(tokenizer) > len(state["text_model.embeddings.token_embedding.weight"]):
            raise ModelError(
                f"{folder}: the tokenizer has {len(tokenizer)} tokens, the network embeds "
                f"{len(state['text_model.embeddings.token_embedding.weight'])}"
            )
        return cls(network, tokenizer, chosen)

    @property
    def dim(self) -> int:
        """Width E of the vectors."""
        return int(self._network.text_projection.weight.shape[0])

    @property
    def max_length(self) -> int:
        """Tokens of a text, start and end included; 77 for CLIP."""
        return self._max_length

    @cached_property
    def fingerprint(self) -> str:
        """Differs for other weights or another tokenizer; a key for caches."""
        digest = hashlib.sha256()
        for key, value in sorted(self._network.state_dict().items()):
            data = value.detach().to("cpu", torch.float32).contiguous()
            digest.update(f"{key}{list(data.shape)}".encode())
            digest.update(data.numpy().data)
        vocabulary = sorted(self._tokenizer.get_vocab().items(), key=lambda item: item[1])
        digest.update(json.dumps(vocabulary).encode())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors float32 [T, E]; a text that is too long is cut at its end.

        Raises:
            LabelError: a text is blank
        """
        for position, text in enumerate(texts):
            if not text.strip():
                raise LabelError(f"text {position} is empty; there is nothing to embed")
        rows = np.empty((len(texts), self.dim), np.float32)
        # Texts of like length together: less padding. Padding follows the end mark, and attention
        # is causal, so it changes no result.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.inference_mode():
            for start in range(0, len(order), BATCH_SIZE):
                part = order[start : start + BATCH_SIZE]
                rows[part] = self._forward([texts[i] for i in part]).cpu().numpy()
        return rows

    def _forward(self, texts: list[str]) -> Tensor:
        tokens = self._tokenizer(
            texts, truncation=True, max_length=self._max_length, padding=True, return_tensors="pt"
        )
        vectors = self._network(
            input_ids=tokens["input_ids"].to(self._device),
            attention_mask=tokens["attention_mask"].to(self._device),
        ).text_embeds.float()
        unit: Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
        return unit


def _find(source: str | Path) -> Path:
    """The folder of a model; hub models are downloaded once."""
    path = Path(source)
    if path.is_dir():
        return path
    name = str(source)
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"no text encoder {name!r}: expected a folder, or a hub id such as "
                         f"{DEFAULT}")  # fmt: skip
    hub = HubPath.parse(f"hf:{name}")
    if hub is None:
        raise ModelError(f"no text encoder {name!r}: not a hub id such as {DEFAULT}")
    folder = hub.snapshot(["config.json", _WEIGHTS[0], *_TOKENIZER])
    # OpenAI's own repositories were published with a pickle alone.
    return folder if (folder / _WEIGHTS[0]).is_file() else hub.snapshot([_WEIGHTS[1]])


def _read_text_weights(folder: Path) -> dict[str, Tensor]:
    """The text tower's weights in float32; a whole CLIP's picture side is mapped and not read."""
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise ModelError(f"{folder}: no weights; expected {' or '.join(_WEIGHTS)}")
    state = {
        key: value.float()
        for key, value in read_checkpoint(path).items()
        if key.startswith(("text_model.", "text_projection.")) and "position_ids" not in key
    }
    if _PROJECTION not in state:
        raise ModelError(f"{path}: no {_PROJECTION}; not a CLIP model with a projected text tower")
    return state


def _build(transformers: Any, folder: Path, state: Mapping[str, Tensor]) -> Any:
    """The network of config.json with exactly these weights."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        sizes = values.get("text_config") or values
        sizes = {**sizes, "projection_dim": len(state[_PROJECTION])}
        config = transformers.CLIPTextConfig(**sizes)
        with torch.random.fork_rng(devices=[]):  # its random weights cost the caller no numbers
            network = transformers.CLIPTextModelWithProjection(config)
    except Exception as error:  # what transformers raises for a wrong config is not defined
        raise ModelError(f"{folder / 'config.json'}: not a CLIP text tower's ({error})") from error
    expected = network.state_dict()
    missing, unknown = expected.keys() - state.keys(), state.keys() - expected.keys()
    wrong = [k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape]
    if missing or unknown or wrong:
        raise ModelError(
            f"{folder}: {len(missing)} weights missing, {len(unknown)} not known, {len(wrong)} of "
            f"another shape ({', '.join(sorted([*missing, *unknown, *wrong])[:3])})"
        )
    network.load_state_dict(state, assign=True)
    return network
