from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from anytag.data.images import ImageLimits, load_image, open_image
from anytag.errors import ImageError, UsageError

PARITY = Path(__file__).parents[3] / "shared" / "parity" / "preprocess"
RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def encode(image: Image.Image, format_name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def gradient(width: int = 40, height: int = 24) -> Image.Image:
    """No two corners alike, so that a wrong turn or flip is seen."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / max(width - 1, 1), 255 * y / max(height - 1, 1)
    return Image.fromarray(np.stack([red, green, red * 0 + 90], -1).round().astype(np.uint8))


def photo(width: int, height: int) -> Image.Image:
    """Smooth shapes with some fine texture, as in a photograph."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return Image.fromarray((smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims any size in 60 bytes: what a decompression bomb looks like from outside."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def one_pixel(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (4, 4), colour)


def palette_with_hole() -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([*BLUE, *RED])
    return encode(image, "PNG", transparency=1)


def cmyk_jpeg() -> bytes:
    return encode(one_pixel("CMYK", (0, 255, 255, 0)), "JPEG", quality=95)


def frames(format_name: str, **options: Any) -> bytes:
    first, second = Image.new("RGB", (4, 4), RED), Image.new("RGB", (4, 4), BLUE)
    return encode(first, format_name, save_all=True, append_images=[second], **options)


def grey16(value: int, format_name: str = "PNG") -> bytes:
    return encode(Image.fromarray(np.full((4, 4), value, np.uint16)), format_name)


def tiff(array: np.ndarray[Any, Any]) -> bytes:
    return encode(Image.fromarray(array), "TIFF")


MODES = [
    ("jpeg", lambda: encode(one_pixel("RGB", RED), "JPEG", quality=95), (254, 0, 0)),
    ("grey jpeg", lambda: encode(one_pixel("L", 100), "JPEG"), (100, 100, 100)),
    ("cmyk jpeg is not inverted", cmyk_jpeg, RED),
    ("progressive jpeg", lambda: encode(one_pixel("L", 9), "JPEG", progressive=True), (9, 9, 9)),
    ("1 bit", lambda: encode(one_pixel("1", 1), "PNG"), WHITE),
    ("grey", lambda: encode(one_pixel("L", 7), "PNG"), (7, 7, 7)),
    ("grey + alpha", lambda: encode(one_pixel("LA", (0, 0)), "PNG"), WHITE),
    ("half alpha", lambda: encode(one_pixel("RGBA", (0, 0, 0, 51)), "PNG"), (204, 204, 204)),
    ("opaque alpha", lambda: encode(one_pixel("RGBA", (*BLUE, 255)), "PNG"), BLUE),
    ("colour key", lambda: encode(one_pixel("RGB", RED), "PNG", transparency=RED), WHITE),
    ("palette", lambda: encode(one_pixel("RGB", GREEN).quantize(4), "PNG"), GREEN),
    ("palette with a transparent colour", palette_with_hole, WHITE),
    ("16-bit grey, white", lambda: grey16(65535), WHITE),
    ("16-bit grey, middle", lambda: grey16(0x7F00), (127, 127, 127)),
    ("16-bit tiff", lambda: grey16(0x7F00, "TIFF"), (127, 127, 127)),
    ("big-endian 16-bit", lambda: encode(Image.new("I;16B", (4, 4), 0x7F00), "TIFF"), (127,) * 3),
    ("32 bits with 16 used", lambda: tiff(np.full((4, 4), 65535, np.int32)), WHITE),
    ("32 bits with 8 used", lambda: tiff(np.full((4, 4), 200, np.int32)), (200,) * 3),
    ("float up to 1", lambda: tiff(np.full((4, 4), 0.2, np.float32)), (51, 51, 51)),
    ("float up to 255", lambda: tiff(np.full((4, 4), 51.0, np.float32)), (51, 51, 51)),
    ("float, not a number", lambda: tiff(np.full((4, 4), np.nan, np.float32)), BLACK),
    ("cmyk tiff", lambda: encode(one_pixel("CMYK", (0, 255, 255, 0)), "TIFF"), RED),
    ("lab tiff", lambda: encode(one_pixel("LAB", (0, 128, 128)), "TIFF"), BLACK),
    ("gif", lambda: encode(one_pixel("RGB", RED), "GIF"), RED),
    ("bmp", lambda: encode(one_pixel("RGB", RED), "BMP"), RED),
    ("ppm", lambda: encode(one_pixel("RGB", RED), "PPM"), RED),
    ("animated gif", lambda: frames("GIF", duration=10), RED),
    ("animated webp", lambda: frames("WEBP", lossless=True), RED),
    ("animated png", lambda: frames("PNG"), RED),
    ("tiff pages", lambda: frames("TIFF"), RED),
    ("mpo", lambda: frames("MPO", quality=95), (254, 0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "expected"), [row[1:] for row in MODES], ids=[r[0] for r in MODES]
)
def test_modes_become_rgb(make: Any, expected: tuple[int, int, int]) -> None:
    data = make()
    loaded = load_image(data, size=None)
    assert loaded.pixels.shape == (4, 4, 3)
    assert loaded.pixels.dtype == np.uint8
    np.testing.assert_allclose(loaded.pixels, np.broadcast_to(expected, (4, 4, 3)), atol=1)
    assert loaded.sha256 == hashlib.sha256(data).hexdigest()


def test_float_with_negative_values_is_stretched() -> None:
    values = np.array([[-2.0, 0.0, 2.0, np.inf]], np.float32)
    assert load_image(tiff(values), size=None).pixels[0, :, 0].tolist() == [0, 128, 255, 255]


def test_avif() -> None:
    Image.init()
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    loaded = load_image(encode(one_pixel("RGB", RED), "AVIF", quality=100), size=None)
    np.testing.assert_allclose(loaded.pixels[0, 0], RED, atol=4)


def test_heic() -> None:
    heif = pytest.importorskip("pillow_heif", reason="optional: pip install 'anytag[heif]'")
    stream = io.BytesIO()
    heif.from_pillow(gradient(64, 32)).save(stream, quality=95)
    assert load_image(stream.getvalue(), size=None).pixels.shape == (32, 64, 3)
    assert "HEIF" not in Image.OPEN, "reading must not register anything with Pillow"


def test_heic_without_the_extra_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"\0" * 40
    with pytest.raises(ImageError, match=r"pip install 'anytag\[heif\]'") as caught:
        load_image(data, size=None)
    assert caught.value.kind == "unsupported"


# --- orientation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_as_pillow_applies_it(orientation: int, format_name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if format_name == "JPEG" else {}
    data = encode(gradient(40, 24), format_name, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    loaded = load_image(data, size=None)
    np.testing.assert_array_equal(loaded.pixels, np.asarray(expected))
    assert (loaded.width, loaded.height) == expected.size == ((40, 24), (24, 40))[orientation > 4]


def test_orientation_of_a_pil_image_is_applied_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(gradient(40, 24), "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        once = open_image(image)
    assert once.size == (24, 40)
    assert open_image(once).size == (24, 40)


def test_orientation_from_xmp() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="8"/></x:xmpmeta>'
    data = encode(gradient(40, 24), "WEBP", xmp=xmp)
    assert load_image(data, size=None).width == 24


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x01" * 20,
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        b"Exif\0\0garbage",
    ],
)
def test_damaged_exif_does_not_lose_the_picture(exif: bytes) -> None:
    """Pillow warns about these, which is an error here (see pytest's filterwarnings)."""
    assert load_image(encode(gradient(), "JPEG", exif=exif), size=None).width == 40


def test_malformed_mpo_is_read_as_jpeg() -> None:
    data = (
        frames("MPO").replace(b"MPF\0MM\0*", b"MPF\0MM\0\0").replace(b"MPF\0II*\0", b"MPF\0II\0\0")
    )
    assert load_image(data, size=None).width == 4


# --- sizes, golden numbers, limits ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["img0", "img1", "img2", "img3", "img_gray", "img_rgba"])
def test_golden_numbers_of_the_published_preprocessing(name: str) -> None:
    if not PARITY.is_dir():
        pytest.skip("../shared/parity is not here")
    from safetensors.numpy import load_file

    from anytag.data.transforms import IMAGENET, normalize

    arrays = load_file(PARITY / "inputs.safetensors")
    array = next(value for key, value in arrays.items() if key.startswith(f"{name}."))
    if name == "img_rgba":  # on purpose different: the public code drops alpha, we lay it on white
        array = array[:, :, :3]
    pixels = load_image(array, size=48).pixels
    expected = load_file(PARITY / "outputs.safetensors")[f"{name}.out"]
    np.testing.assert_array_equal(normalize(pixels[None], IMAGENET)[0].numpy(), expected)


def test_resize_is_plain_bilinear_over_the_whole_picture() -> None:
    image = photo(301, 190)
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))
    loaded = load_image(encode(image, "PNG"), size=64)
    np.testing.assert_array_equal(loaded.pixels, expected)
    assert (loaded.width, loaded.height) == (301, 190)
    assert loaded.pixels.flags.writeable
    assert loaded.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("width", "height", "target", "expected"),
    [
        (1600, 1200, 100, (400, 300)),  # 1/4: 1/8 would be 150, below 2 x 100
        (1600, 1600, 100, (200, 200)),
        (1601, 1203, 100, (401, 301)),  # rounded up
        (399, 1200, 100, (399, 1200)),  # one side is below 4 x 100
        (1600, 1200, None, (1600, 1200)),
    ],
)
def test_large_jpegs_are_decoded_smaller(
    width: int, height: int, target: int | None, expected: tuple[int, int]
) -> None:
    data = encode(Image.new("RGB", (width, height)), "JPEG")
    assert open_image(data, target_size=target).size == expected


@pytest.mark.parametrize("orientation", [1, 6])
def test_draft_changes_little(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(photo(1300, 900), "JPEG", quality=90, exif=exif)
    quick = load_image(data, size=100)
    full = open_image(data).resize((100, 100), Image.Resampling.BILINEAR)
    difference = np.abs(quick.pixels.astype(int) - np.asarray(full).astype(int))
    assert 0 < difference.mean() < 2
    assert (quick.width, quick.height) == ((1300, 900), (900, 1300))[orientation > 4]


def test_panorama_and_pictures_above_pillows_warning_work() -> None:
    loaded = load_image(encode(Image.new("L", (30000, 2000), 99), "JPEG"), size=32)
    assert (loaded.width, loaded.height) == (30000, 2000)
    large = encode(Image.new("1", (10000, 9001)), "PNG")  # Pillow warns from 89,478,486 on
    assert load_image(large, size=8).width == 10000


def test_nothing_global_is_touched() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    load_image(encode(gradient(), "PNG"), size=8)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


# --- sources --------------------------------------------------------------------------------------


def test_all_kinds_of_source_give_the_same_pixels(tmp_path: Path) -> None:
    image = gradient()
    path = tmp_path / "a.png"
    image.save(path)
    expected = np.asarray(image)
    for source in (path, str(path), path.read_bytes(), image, expected):
        np.testing.assert_array_equal(load_image(source, size=None).pixels, expected)
    hashes = [load_image(s, size=4).sha256 for s in (path, path.read_bytes(), image, expected)]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert hashes == [digest, digest, None, None]


def test_callers_image_is_left_alone() -> None:
    image = Image.open(io.BytesIO(encode(photo(400, 400), "JPEG")))
    image.info["mine"] = 1
    for size in (None, 50):
        load_image(image, size=size)
        assert open_image(image, target_size=size) is not image
    assert image.size == (400, 400)
    assert image.info["mine"] == 1


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (5, 6, 4)])
def test_array_shapes(shape: tuple[int, ...]) -> None:
    loaded = load_image(np.full(shape, 255, np.uint8), size=None)
    assert (loaded.width, loaded.height, loaded.sha256) == (6, 5, None)
    assert loaded.pixels.min() == 255


def test_array_that_is_a_view() -> None:
    array = np.asarray(gradient())[::2, ::-1]
    np.testing.assert_array_equal(load_image(array, size=None).pixels, array)


def closed_image() -> Image.Image:
    image = Image.open(io.BytesIO(encode(gradient(), "PNG")))
    image.close()
    return image


SOURCES: list[tuple[str, Any, str, str]] = [
    ("float array", lambda: np.zeros((4, 4, 3)), "unsupported", "uint8.*float64"),
    ("channels first", lambda: np.zeros((3, 8, 9), np.uint8), "unsupported", r"\[3, 8, 9\]"),
    ("array without pixels", lambda: np.zeros((0, 4, 3), np.uint8), "empty", "no pixels"),
    ("image without pixels", lambda: Image.new("RGB", (0, 3)), "empty", "0 x 3"),
    ("closed image", closed_image, "truncated", "PIL image"),
    ("a number", lambda: 7, "unsupported", "found int"),
    ("no bytes", lambda: b"", "empty", "zero bytes"),
    ("text", lambda: b"hello world, this is no picture", "not_an_image", "known image format"),
    ("text that begins like a BMP", lambda: b"BM is short for benchmark", "not_an_image", "known"),
    ("text that begins like a PPM", lambda: b"P5 is the fifth", "not_an_image", "known"),
    ("one letter", lambda: b"P", "not_an_image", "known"),
    ("pdf", lambda: b"%PDF-1.7 ...", "unsupported", "PDF"),
    ("svg", lambda: b"<svg xmlns='...'/>", "unsupported", "SVG"),
    (
        "postscript",
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9",
        "unsupported",
        "Post",
    ),
    ("jpeg xl", lambda: b"\xff\x0a\x00\x00", "unsupported", "JPEG XL"),
    ("video", lambda: struct.pack(">I", 16) + b"ftypisom\0\0\0\0", "unsupported", "video"),
    ("bomb", lambda: png_header(60000, 60000), "too_many_pixels", r"60000 x 60000.*200,000,000"),
    ("header only", lambda: png_header(60, 60), "truncated", "damaged or cut off"),
    ("many bytes", lambda: b"\xff\xd8\xff" * 100_000, "too_large", "300,000 bytes.*100,000"),
]


@pytest.mark.parametrize(
    ("make", "kind", "message"), [row[1:] for row in SOURCES], ids=[row[0] for row in SOURCES]
)
def test_bad_sources(make: Any, kind: str, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        load_image(make(), size=8, limits=ImageLimits(max_bytes=100_000))
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("format_name", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
    ],
)
def test_half_a_file_is_an_error(format_name: str, options: dict[str, Any]) -> None:
    data = encode(photo(120, 120), format_name, **options)
    for size in (None, 10):
        with pytest.raises(ImageError) as caught:
            load_image(data[: len(data) // 2], size=size)
        assert caught.value.kind == "truncated"


def test_bad_paths(tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    big.write_bytes(encode(gradient(), "PNG") + b"\0" * 2000)
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    rows = [
        ("nowhere.jpg", "missing"),
        ("big.png/inside.jpg", "missing"),
        ("nul\0.jpg", "missing"),
        ("empty.jpg", "empty"),
        ("big.png", "too_large"),
        (".", "not_an_image"),
        ("pipe", "unreadable"),
        ("loop", "unreadable"),
        ("x" * 300, "unreadable"),
    ]
    for name, kind in rows:
        with pytest.raises(ImageError) as caught:
            load_image(str(tmp_path / name), size=8, limits=ImageLimits(max_bytes=2000))
        assert (caught.value.kind, str(tmp_path) in str(caught.value)) == (kind, True), name


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encode(gradient(), "PNG"))
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything

        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match="no permission") as caught:
        load_image(path, size=8)
    assert caught.value.kind == "unreadable"


def test_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9\n.png")
    with pytest.raises(ImageError) as caught:
        load_image(name, size=8)
    assert str(caught.value).encode("utf-8").endswith(rb"caf\udce9\n.png does not exist")
    try:
        Path(name).write_bytes(encode(gradient(), "PNG"))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert load_image(name, size=8).width == 40


def test_own_arguments_are_checked() -> None:
    with pytest.raises(UsageError, match="size must be 1"):
        load_image(gradient(), size=0)
    with pytest.raises(UsageError, match="max_pixels"):
        ImageLimits(max_pixels=0)


def test_pixel_limit_holds_for_every_source() -> None:
    limits = ImageLimits(max_pixels=959)
    for source in (
        gradient(40, 24),
        np.asarray(gradient(40, 24)),
        encode(gradient(40, 24), "JPEG"),
    ):
        with pytest.raises(ImageError) as caught:
            open_image(source, limits=limits, target_size=2)
        assert caught.value.kind == "too_many_pixels"
    assert open_image(gradient(40, 24), limits=ImageLimits(max_pixels=960)).size == (40, 24)


# --- anything else --------------------------------------------------------------------------------

KINDS = {"image", "empty", "not_an_image", "truncated", "too_many_pixels", "unsupported"}
SEEDS = {
    name: encode(gradient(33, 21), name, **options)
    for name, options in {
        "JPEG": {},
        "PNG": {},
        "GIF": {},
        "WEBP": {},
        "TIFF": {"compression": "tiff_lzw"},
        "BMP": {},
        "PPM": {},
        "ICO": {},
    }.items()
}


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(sorted(SEEDS)),
    edits=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 4000) | st.none(),
    size=st.sampled_from([None, 5]),
)
def test_any_bytes_give_an_image_or_an_image_error(
    name: str, edits: list[tuple[int, int]], cut: int | None, size: int | None
) -> None:
    data = bytearray(SEEDS[name])
    for position, value in edits:
        data[position % len(data)] = value
    content = bytes(data[:cut])
    try:
        loaded = load_image(content, size=size, limits=ImageLimits(max_pixels=1_000_000))
    except ImageError as error:
        kind = error.kind
    else:
        kind = "image" if loaded.pixels.shape[2] == 3 else "?"
    assert kind in KINDS


@settings(max_examples=100, deadline=None)
@given(prefix=st.sampled_from([b"", *(seed[:12] for seed in SEEDS.values())]), tail=st.binary())
def test_random_bytes(prefix: bytes, tail: bytes) -> None:
    with pytest.raises(ImageError):
        load_image(prefix + tail[:50], size=4, limits=ImageLimits(max_pixels=1_000_000))
