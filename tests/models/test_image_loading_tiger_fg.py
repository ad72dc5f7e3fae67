import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from tiger_fg_hf.models.image_loading_tiger_fg import load_reduced_rgb_image, load_rgb_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(height=12, width=10):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image)


def test_every_source_gives_the_same_image(tmp_path):
    image = noise()
    data = encode(image)
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    array = np.asarray(image)
    sources = [
        image,
        Image.open(path),
        path,
        str(path),
        data,
        bytearray(data),
        {"bytes": data, "path": None},
        {"bytes": None, "path": str(path)},
        {"bytes": data, "path": "missing.png"},
        array,
        array.transpose(2, 0, 1),
        array / 255,
        torch.from_numpy(array.copy()),
        torch.from_numpy(array.transpose(2, 0, 1).copy()),
        torch.from_numpy(array.copy()).double() / 255,
    ]
    for source in sources:
        assert np.array_equal(pixels(load_rgb_image(source)), array), type(source)


def test_rgb_image_is_not_copied():
    image = noise()
    assert load_rgb_image(image) is image


def test_ambiguous_layout_follows_the_library():
    array = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    assert load_rgb_image(array).size == (5, 3)
    assert load_rgb_image(torch.from_numpy(array)).size == (3, 5)


def test_gray_and_transparent_arrays():
    gray = np.full((4, 5), 128, dtype=np.uint8)
    for array in (gray, gray[..., None], gray[None]):
        assert (pixels(load_rgb_image(array)) == 128).all()
    clear = np.zeros((4, 5, 4), dtype=np.uint8)
    assert (pixels(load_rgb_image(clear)) == 255).all()
    assert pixels(load_rgb_image(torch.full((3, 4, 5), 0.5, dtype=torch.bfloat16))).shape == (4, 5, 3)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (32, 16), RED)
    upright.paste(BLUE, (0, 0, 8, 8))
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }[orientation]
    image = upright
    for step in stored:
        image = image.transpose(step)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert np.array_equal(pixels(load_rgb_image(encode(image, exif=exif))), np.asarray(upright))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_ignored():
    data = encode(noise(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff broken")
    assert load_rgb_image(data).size == (10, 12)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa"])
def test_transparency_becomes_white(mode):
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (2, 0, 4, 2))
    result = pixels(load_rgb_image(image.convert(mode)))
    assert (result[:, :2] == 0).all()
    assert (result[:, 2:] == 255).all()


def test_half_transparent_pixels_are_blended():
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    assert np.abs(pixels(load_rgb_image(image)).astype(int) - 127).max() <= 1


def test_transparent_palette_color():
    image = Image.new("P", (4, 2), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (2, 0, 4, 2))
    result = pixels(load_rgb_image(encode(image, transparency=0)))
    assert (result[:, :2] == 255).all()
    assert (result[:, 2:] == BLUE).all()


def test_other_modes_are_converted():
    assert (pixels(load_rgb_image(Image.new("CMYK", (2, 2), (0, 255, 255, 0)))) == RED).all()
    assert np.abs(pixels(load_rgb_image(encode(Image.new("CMYK", (8, 8)), "JPEG"))).astype(int) - 255).max() <= 1
    assert (pixels(load_rgb_image(Image.new("1", (2, 2), 1))) == 255).all()
    assert (pixels(load_rgb_image(Image.new("HSV", (2, 2), (0, 255, 255)))) == RED).all()


@pytest.mark.parametrize(
    ("dtype", "maximum"), [(np.uint16, 65535), (np.int32, 65535), (np.int32, 255), (np.float32, 1), (np.float32, 255)]
)
def test_deep_grayscale_is_scaled_not_clipped(dtype, maximum):
    ramp = np.linspace(0, maximum, 256).astype(dtype).reshape(16, 16)
    image = Image.fromarray(ramp)
    assert image.mode in ("I;16", "I", "F")
    expected = np.arange(256).reshape(16, 16)
    assert np.abs(pixels(load_rgb_image(image))[..., 0].astype(int) - expected).max() <= 1


def test_16_bit_png_that_is_dark_stays_dark():
    image = Image.fromarray(np.full((4, 4), 2570, dtype=np.uint16))
    assert (pixels(load_rgb_image(encode(image))) == 10).all()


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(format):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN, BLUE)]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    assert np.abs(pixels(load_rgb_image(data)).astype(int) - RED).max() <= 2


def truncated(format):
    data = encode(noise(64, 64), format)
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (truncated("JPEG"), "truncated"),
        (truncated("PNG"), "truncated"),
        (truncated("WEBP"), "."),
        (truncated("GIF"), "truncated"),
        (b"", "empty"),
        (b"<html>not found</html>", "format"),
        (encode(noise())[:20], "."),
        (encode(noise(), "EPS"), "not an image in a supported format"),
        ({"bytes": None, "path": None}, "neither"),
        (None, "NoneType"),
        (3, "int"),
        (Image.new("RGB", (0, 4)), "zero"),
        (np.zeros((0, 4, 3), dtype=np.uint8), "zero"),
        (np.zeros((5, 6, 2), dtype=np.uint8), r"\(5, 6, 2\)"),
        (np.zeros((2, 4, 4, 3), dtype=np.uint8), r"\(2, 4, 4, 3\)"),
        (np.zeros((4, 4, 3), dtype=np.int64), "int64"),
        (np.full((4, 4, 3), 255.0), "255"),
        (np.full((4, 4, 3), np.nan), "nan"),
        (torch.full((3, 4, 4), -1.0), "-1"),
        (Image.fromarray(np.full((4, 4), 1e6, dtype=np.float32)), "1e\\+06"),
        (Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)), "nan"),
        (Image.fromarray(np.full((4, 4), -1, dtype=np.int32)), "-1"),
    ],
)
def test_unreadable_images_are_named(image, reason):
    with pytest.raises(ValueError, match=rf"(?s)^images\[3\] cannot be read: .*{reason}"):
        load_rgb_image(image, name="images[3]")


def test_decompression_bomb_is_refused_before_decoding():
    global_limit = Image.MAX_IMAGE_PIXELS
    data = encode(Image.new("1", (200, 100)))
    with pytest.raises(ValueError, match="200x100 pixels exceeds the limit of 19999"):
        load_rgb_image(data, max_pixels=19_999)
    opened = Image.open(io.BytesIO(data))
    with pytest.raises(ValueError, match="exceeds"):
        load_rgb_image(opened, max_pixels=19_999)
    assert opened.tile  # emptied by decoding
    assert load_rgb_image(data, max_pixels=20_000).size == (200, 100)
    assert global_limit == Image.MAX_IMAGE_PIXELS


def test_file_is_closed(tmp_path):
    path = tmp_path / "photo.jpg"
    noise().save(path)
    image = load_rgb_image(path)
    assert getattr(image, "fp", None) is None
    assert image.resize((2, 2)).size == (2, 2)


def test_paths_are_named(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(truncated("JPEG"))
    for source in (broken, str(broken), {"bytes": None, "path": str(broken)}, {"bytes": b"x", "path": str(broken)}):
        with pytest.raises(ValueError, match=rf"^images\[3\] \('{broken}'\) cannot be read: "):
            load_rgb_image(source, name="images[3]")
    with pytest.raises(ValueError, match=r"^image \('missing\.jpg'\) cannot be read: No such file"):
        load_rgb_image("missing.jpg")
    with pytest.raises(ValueError, match=r"^image \('x{300}…'\) cannot be read: File name too long"):
        load_rgb_image("x" * 5_000)


@pytest.mark.parametrize("url", ["https://shop.example/a.jpg", "s3://bucket/a.jpg", "file:///a.jpg", "hf://x/a.jpg"])
def test_urls_are_refused_as_urls(url):
    for source in (url, {"bytes": None, "path": url}):
        with pytest.raises(ValueError, match=rf"\('{url}'\) cannot be read: it is a URL; download it first"):
            load_rgb_image(source)


def test_folders_and_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, kind in (
        (tmp_path / "pipe.jpg", "a pipe, socket or device"),
        (tmp_path, "a folder"),
        ("/dev/zero", "device"),
    ):
        with pytest.raises(ValueError, match=f"cannot be read: it is .*{kind}"):
            load_rgb_image(path)


# The start of a HEIC file, which is all that tells its format.
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)


def test_heic_without_the_plug_in(monkeypatch):
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match=r"it is a HEIC image; install .*pillow-heif.* or convert it"):
        load_rgb_image(HEIC)


def test_heic_with_the_plug_in():
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), RED)).save(buffer, quality=-1)
    found = pixels(load_rgb_image(buffer.getvalue()))
    assert found.shape == (48, 64, 3)
    assert np.abs(found.astype(int) - RED).max() <= 4
    with pytest.raises(ValueError, match="cannot be read"):
        load_rgb_image(HEIC)


def test_formats_that_nothing_reads():
    with pytest.raises(ValueError, match=r"not an image in a supported format .*; convert it to JPEG or PNG"):
        load_rgb_image(b"%PDF-1.7 not a picture")


def smooth(width, height):
    ramp = np.linspace(0, 255, width, dtype=np.uint8)[None].repeat(height, 0)
    steps = np.linspace(0, 255, height, dtype=np.uint8)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([ramp, steps, ramp // 2 + steps // 2], axis=-1))


@pytest.mark.parametrize(("max_pixels", "divisor"), [(400 * 302, 1), (400 * 302 - 1, 2), (30_200, 2)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_beyond_the_limit_is_read_at_reduced_scale(max_pixels, divisor, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encode(smooth(400, 302), "JPEG", quality=95, exif=exif)
    whole = load_rgb_image(data)
    image, full_size = load_reduced_rgb_image(data, max_pixels=max_pixels)
    assert full_size == whole.size == ((400, 302) if orientation == 1 else (302, 400))
    assert image.size == (whole.width // divisor, whole.height // divisor)
    if divisor == 1:
        assert np.array_equal(pixels(image), pixels(whole))
    else:
        expected = pixels(whole.resize(image.size, Image.Resampling.BOX)).astype(int)
        assert np.abs(pixels(image) - expected).max() <= 4


def test_what_cannot_be_reduced_is_refused(tmp_path):
    image = smooth(400, 300)
    path = tmp_path / "photo.jpg"
    image.save(path)
    for source, limit in (
        (encode(image), 119_999),
        (image, 119_999),
        (Image.open(path), 119_999),
        (path, 29_999),  # less than a quarter
        (encode(image, "JPEG", progressive=True), 59_999),
    ):
        with pytest.raises(ValueError, match=f"400x300 pixels exceeds the limit of {limit} pixels; scale it down"):
            load_reduced_rgb_image(source, max_pixels=limit)
    assert load_reduced_rgb_image(encode(image, "JPEG", progressive=True), max_pixels=60_000).image.size == (200, 150)
    with pytest.raises(ValueError, match="exceeds"):
        load_rgb_image(path, max_pixels=119_999)


def test_a_photo_of_108_megapixels_needs_little_memory(tmp_path):
    Image.new("L", (12_000, 9_000), 200).save(tmp_path / "photo.jpg")
    script = """
import resource, sys, warnings
from tiger_fg_hf import TigerFGImageProcessorPil

warnings.simplefilter("error")
processor = TigerFGImageProcessorPil(size=32, do_normalize=False)
processor("%s/small.jpg" % sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = processor(f"{sys.argv[1]}/photo.jpg", boxes=[[6_000, 4_500, 12_000, 9_000]], return_tensors="np").pixel_values
assert found.shape == (1, 3, 32, 32) and abs(found[0, :, 16, 16] - 200 / 255).max() < 0.01
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    noise().save(tmp_path / "small.jpg")
    run = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 250  # MiB; all pixels are 309 in RGB


def test_images_of_other_modes_can_be_refused():
    for image in (Image.new("L", (4, 4)), encode(Image.new("RGBA", (4, 4))), np.zeros((4, 4), dtype=np.uint8)):
        with pytest.raises(ValueError, match="not RGB, and do_convert_rgb=False"):
            load_reduced_rgb_image(image, convert=False)
    assert load_reduced_rgb_image(encode(noise()), convert=False).full_size == (10, 12)
