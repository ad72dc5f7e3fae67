"""Which files are opened, and what the process has no say in."""

import io
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile

from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image, upright_size


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def iptc(payload, width=16, height=16):
    """An IPTC file around another picture."""

    def field(record, dataset, value):
        return bytes([0x1C, record, dataset]) + struct.pack(">H", len(value)) + value

    head = field(3, 20, struct.pack(">H", width)) + field(3, 30, struct.pack(">H", height))
    head += field(3, 60, b"\x01\x00") + field(3, 120, b"\x01")
    return head + field(8, 10, payload)


def test_wrapped_formats_are_refused():
    picture = Image.new("RGB", (16, 16))
    for data in (iptc(encode(picture, "EPS")), iptc(encode(picture)), encode(picture, "ICO"), encode(picture, "ICNS")):
        for read in (load_rgb_image, upright_size):
            with pytest.raises(ValueError, match="not an image in a supported format"):
                read(data)
    with pytest.raises(ValueError, match="the ICO format is not supported"):
        load_rgb_image(Image.open(io.BytesIO(encode(picture, "ICO"))))


def test_common_formats_are_read():
    picture = Image.new("RGB", (16, 12), "white")
    for format in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"):
        data = encode(picture, format)
        assert (np.asarray(load_rgb_image(data)) == 255).all(), format
        assert upright_size(data) == (16, 12)


def test_pillows_own_limit_neither_warns_nor_refuses():
    data = encode(Image.new("1", (12_000, 9_000)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="12000x9000 pixels exceeds the limit of 89478485 pixels"):
            load_rgb_image(data)
    image = Image.new("1", (200, 100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
        assert load_rgb_image(encode(image)).size == (200, 100)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF"])
def test_truncated_files_are_refused_whatever_the_process_allows(monkeypatch, format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encode(noise, format)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ValueError, match="cannot be read"):
        load_rgb_image(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        load_rgb_image(Image.open(io.BytesIO(data[: len(data) // 2])))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def write_bomb(path, kind):
    side = 9_400
    if kind == "WEBP":
        Image.new("RGB", (side, side)).save(path, "WEBP", lossless=True)
    elif kind == "TIFF":
        Image.new("F", (side, side)).save(path, "TIFF", compression="tiff_deflate")
    elif kind == "RGBA":
        Image.new("RGBA", (side, side)).save(path, "PNG", compress_level=1)
    else:
        Image.fromarray(np.zeros((side, side), np.uint16)).save(path, "PNG", compress_level=1)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "RGBA", "I;16"])
def test_no_file_takes_a_gibibyte(tmp_path, kind):
    path = tmp_path / "bomb"
    write_bomb(path, kind)
    script = """
import resource, sys
import numpy as np
from tiger_fg_hf.models.image_loading_tiger_fg import load_rgb_image

load_rgb_image(np.zeros((4, 4), np.uint8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_rgb_image(sys.argv[1])
except ValueError as error:
    assert "and the limit is 768 MiB" in str(error), error
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    run = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 1_024  # MiB


def test_the_tiles_of_a_tiff_count(monkeypatch):
    """A picture of 16x16 pixels whose only tile has 20,000x20,000."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 20_000, 323: 20_000, 324: 8, 325: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(200)
    with pytest.raises(ValueError, match=r"16x16 pixels, mode L.* the limit is 768 MiB"):
        load_rgb_image(data)
