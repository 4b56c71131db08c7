"""MobileNetV2 against numbers that timm's own implementation gave (tests/golden)."""

import json
import zlib
from pathlib import Path

import pytest
import torch

from anytag.models.mobilenet import HEAD, STAGES, STEM, MobileNetV2, from_timm

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mobilenet_timm.json").read_text())


def timm_shapes() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of timm's mobilenetv2_100, from its definition."""
    shapes: dict[str, tuple[int, ...]] = {"conv_stem.weight": (STEM, 3, 3, 3)}
    norms = {"bn1": STEM, "bn2": HEAD}
    channels = STEM
    for stage, (expansion, out, repeats, _) in enumerate(STAGES):
        for repeat in range(repeats):
            prefix, inner = f"blocks.{stage}.{repeat}", channels * expansion
            if expansion > 1:
                shapes[f"{prefix}.conv_pw.weight"] = (inner, channels, 1, 1)
                shapes[f"{prefix}.conv_dw.weight"] = (inner, 1, 3, 3)
                shapes[f"{prefix}.conv_pwl.weight"] = (out, inner, 1, 1)
                norms |= {f"{prefix}.bn1": inner, f"{prefix}.bn2": inner, f"{prefix}.bn3": out}
            else:
                shapes[f"{prefix}.conv_dw.weight"] = (inner, 1, 3, 3)
                shapes[f"{prefix}.conv_pw.weight"] = (out, inner, 1, 1)
                norms |= {f"{prefix}.bn1": inner, f"{prefix}.bn2": out}
            channels = out
    shapes["conv_head.weight"] = (HEAD, channels, 1, 1)
    for norm, width in norms.items():
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (width,)
    return shapes


def fill(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The same numbers as those given to timm when the golden values were made."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if key.endswith("running_var"):
        return 0.5 + x
    if len(shape) == 1:
        return 0.8 + 0.4 * x if key.endswith("weight") else x * 0.2 - 0.1
    fan_in = shape[1] * shape[2] * shape[3]
    return (x - 0.5) * (6 / fan_in) ** 0.5 * 1.5


# timm's TensorFlow weights use eps 1e-3; its plain mobilenetv2_100 the default of PyTorch.
@pytest.mark.parametrize("side", [64, 97])
def test_equals_timm(side: int) -> None:
    network = MobileNetV2().eval()
    state = {key: fill(key, shape) for key, shape in timm_shapes().items()}
    network.load_state_dict(from_timm(state, eps=1e-5))
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(side)) * 2 - 1
    with torch.inference_mode():
        tokens = network(images)
    golden = GOLDEN[str(side)]
    assert list(tokens.shape) == golden["shape"]
    assert tokens.mean().item() == pytest.approx(golden["mean"], abs=1e-4)
    assert tokens.std().item() == pytest.approx(golden["std"], abs=1e-4)
    values = tokens[1, ::2, 5:1280:131].flatten()[:40]
    torch.testing.assert_close(values, torch.tensor(golden["values"]), atol=1e-4, rtol=1e-3)


def test_number_of_parameters_is_the_papers() -> None:
    # Sandler et al., table 4: 3.4 M with the 1,000-class classifier; ours has none, and one
    # bias a channel where BatchNorm had two parameters.
    count = sum(p.numel() for p in MobileNetV2().parameters())
    norms = sum(m.bias.numel() for m in MobileNetV2().modules() if isinstance(m, torch.nn.Conv2d))
    assert count + norms + 1280 * 1000 + 1000 == 3_504_872
