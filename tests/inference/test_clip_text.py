"""CLIP's text tower: a tiny random one, written and read as the published ones are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from anytag.errors import LabelError, MissingExtraError, ModelError
from anytag.inference.clip_text import ClipTextEncoder
from anytag.inference.prompts import ensemble, fill

MAX_LENGTH = 12


def write_tokenizer(folder: Path) -> int:
    """Byte-level BPE with four merges, in CLIP's two files; returns the number of tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [number for number in range(256) if number not in printable]
    letters = [*map(chr, printable), *(chr(256 + number) for number in range(len(others)))]
    merges = ["d o", "do g</w>", "c a", "ca t</w>"]
    words = ["do", "dog</w>", "ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *words]
    ids = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return len(tokens)


def write_clip(folder: Path, *, whole: bool = True) -> Path:
    """A random CLIP with both towers, or its text tower alone."""
    transformers = pytest.importorskip("transformers", reason="needs anytag[clip]")
    folder.mkdir(parents=True)
    num_tokens = write_tokenizer(folder)
    text = {
        "vocab_size": num_tokens, "hidden_size": 16, "intermediate_size": 32, "projection_dim": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": num_tokens - 2, "eos_token_id": num_tokens - 1,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 32, "patch_size": 16,
    }  # fmt: skip
    torch.manual_seed(0)
    if whole:
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
        network = transformers.CLIPModel(config)
    else:
        network = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**text))
    for parameter in network.parameters():  # so that texts differ well
        torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "whole")


@pytest.fixture(scope="module")
def encoder(clip: Path) -> ClipTextEncoder:
    return ClipTextEncoder.load(clip)


def direct(folder: Path, text: str) -> Any:
    """One text through transformers' own loading, without padding."""
    transformers = pytest.importorskip("transformers")
    network = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.CLIPTokenizerFast.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"]
    ids = [*ids[: MAX_LENGTH - 1], ids[-1]] if len(ids) > MAX_LENGTH else ids
    with torch.no_grad():
        pooled = network.text_model(input_ids=torch.tensor([ids])).pooler_output
        vector = network.text_projection(pooled)[0]
    return (vector / vector.norm()).numpy()


TEXTS = ["a dog", "Cat, dog & bird!", "dog " * 40, "x"]


def test_equal_to_a_direct_computation(clip: Path, encoder: ClipTextEncoder) -> None:
    rows = encoder.encode(TEXTS)
    assert (rows.shape, rows.dtype, encoder.dim) == ((4, 8), np.float32, 8)
    for row, text in zip(rows, TEXTS, strict=True):
        np.testing.assert_allclose(row, direct(clip, text), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)


def test_texts_do_not_change_one_another(encoder: ClipTextEncoder) -> None:
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    assert encoder.encode([]).shape == (0, 8)


def test_long_texts_are_cut_at_the_end(encoder: ClipTextEncoder) -> None:
    assert encoder.max_length == MAX_LENGTH
    cut, longer = encoder.encode(["dog " * 10, "dog " * 10 + "cat cat"])
    np.testing.assert_allclose(cut, longer, atol=1e-6)


def test_batches(encoder: ClipTextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"dog {number}" for number in range(7)]
    whole = encoder.encode(texts)
    monkeypatch.setattr("anytag.inference.clip_text.BATCH_SIZE", 3)
    np.testing.assert_allclose(encoder.encode(texts), whole, atol=1e-6)


def test_ensemble_of_prompts(encoder: ClipTextEncoder) -> None:
    (row,) = ensemble(["dog"], encoder)
    mean = encoder.encode(fill("dog")).mean(0)
    np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)


def test_a_text_tower_alone(tmp_path: Path, clip: Path, encoder: ClipTextEncoder) -> None:
    folder = write_clip(tmp_path / "text", whole=False)
    state = load_file(clip / "model.safetensors")
    kept = {key: value for key, value in state.items() if key.startswith("text_")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    alone = ClipTextEncoder.load(folder)
    np.testing.assert_allclose(alone.encode(["a dog"]), encoder.encode(["a dog"]), atol=1e-6)
    assert alone.fingerprint == encoder.fingerprint


def test_the_end_mark_of_the_published_config(
    tmp_path: Path, clip: Path, encoder: ClipTextEncoder
) -> None:
    """OpenAI's config names token 2, which is wrong and means: the highest id."""
    folder = tmp_path / "clip"
    shutil.copytree(clip, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {"eos_token_id": 2, "bos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config))
    rows = ClipTextEncoder.load(folder).encode(TEXTS)
    np.testing.assert_allclose(rows, encoder.encode(TEXTS), atol=1e-6)


def test_fingerprint_follows_the_weights(
    tmp_path: Path, clip: Path, encoder: ClipTextEncoder
) -> None:
    assert encoder.fingerprint == ClipTextEncoder.load(clip).fingerprint
    folder = write_clip(tmp_path / "other")
    state = load_file(folder / "model.safetensors")
    state["text_projection.weight"][0, 0] += 1e-3
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert ClipTextEncoder.load(folder).fingerprint != encoder.fingerprint


def test_loading_leaves_the_random_numbers_alone(clip: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    ClipTextEncoder.load(clip)
    assert torch.equal(torch.rand(1), expected)


def test_empty_text(encoder: ClipTextEncoder) -> None:
    with pytest.raises(LabelError, match="text 1 is empty"):
        encoder.encode(["a", "  "])


def spoil(folder: Path, what: str) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    if what == "code":
        torch.save({**state, "run": Path}, folder / "pytorch_model.bin")
        path.unlink()
    elif what == "weights":
        path.unlink()
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif what == "key":
        del state["text_model.final_layer_norm.bias"]
        save_file(state, path)
    elif what == "no text":
        save_file({"vision_model.x": torch.zeros(1)}, path)
    elif what == "config":
        (folder / "config.json").write_text("[]")
    elif what == "tokenizer":
        for name in ("vocab.json", "merges.txt"):
            (folder / name).unlink()
    elif what == "vocabulary":
        key = "text_model.embeddings.token_embedding.weight"
        state[key] = state[key][:-9].clone()
        save_file(state, path)
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["vocab_size"] -= 9
        (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("code", "refused: opening it would run code"),
        ("weights", "no weights; expected model.safetensors or pytorch_model.bin"),
        ("cut", "damaged or no safetensors"),
        ("key", "1 weights missing"),
        ("no text", "no text_projection.weight"),
        ("config", "config.json: not a CLIP text tower's"),
        ("tokenizer", "no tokenizer"),
        ("vocabulary", "the tokenizer has 518 tokens, the network embeds 509"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, what: str, message: str) -> None:
    folder = write_clip(tmp_path / "clip")
    spoil(folder, what)
    with pytest.raises(ModelError, match=message):
        ClipTextEncoder.load(folder)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_read_as_data(
    tmp_path: Path, clip: Path, encoder: ClipTextEncoder, zipped: bool
) -> None:
    """As OpenAI's repositories have it, in the file format of its time too."""
    folder = tmp_path / "clip"
    shutil.copytree(clip, folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(
        {**state, "text_model.embeddings.position_ids": torch.arange(MAX_LENGTH)[None]},
        folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=zipped,
    )
    same = ClipTextEncoder.load(folder)
    np.testing.assert_array_equal(same.encode(TEXTS), encoder.encode(TEXTS))
    assert same.fingerprint == encoder.fingerprint


@pytest.mark.parametrize("pickled", [True, False])
def test_the_pickle_of_a_hub_is_the_second_choice(
    pickled: bool, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(repository: str, *, allow_patterns: list[str], **_: object) -> str:
        asked.append({"model.safetensors", "pytorch_model.bin"} & set(allow_patterns))
        return str(folder)

    folder = shutil.copytree(clip, tmp_path / "clip")
    if pickled:
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    ClipTextEncoder.load("openai/clip")
    assert asked == [{"model.safetensors"}, {"pytorch_model.bin"}][: 1 + pickled]


@pytest.mark.parametrize("source", ["./nowhere", "nowhere", "a/b/c"])
def test_no_such_model(source: str) -> None:
    pytest.importorskip("transformers", reason="needs anytag[clip]")
    with pytest.raises(ModelError, match="no text encoder"):
        ClipTextEncoder.load(source)


def test_without_transformers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anytag\[clip\]'"):
        ClipTextEncoder.load(tmp_path)


@pytest.mark.skipif(find_spec("transformers") is None, reason="needs anytag[clip]")
def test_torchvision_is_not_imported(clip: Path) -> None:
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "from anytag.inference.clip_text import ClipTextEncoder\n"
        "assert 'transformers' not in sys.modules\n"
        "print(ClipTextEncoder.load(sys.argv[1]).encode(['dog']).shape)"
    )
    command = [sys.executable, "-c", code, str(clip)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 8)\n"
