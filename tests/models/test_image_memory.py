"""Memory of a batch of large photos."""

import subprocess
import sys

import numpy as np
from PIL import ExifTags, Image

SCRIPT = """
import resource, sys
from tiger_fg_hf import TigerFGImageProcessorPil

processor = TigerFGImageProcessorPil(size=224)
processor([sys.argv[1]] * 32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels = processor(sys.argv[2:], return_tensors="np").pixel_values
print(((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 - pixels.nbytes) // 2**20)
"""


def test_a_batch_of_large_photos_takes_little_more_than_one(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    coarse = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((8_000, 6_000), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    photo.save(tmp_path / "upright.jpg")
    photo.save(tmp_path / "turned.jpg", exif=turned)
    photo.save(tmp_path / "progressive.jpg", progressive=True)
    photo.save(tmp_path / "photo.png", compress_level=1)
    paths = [tmp_path / name for name in ("upright.jpg", "turned.jpg", "progressive.jpg", "photo.png")]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "small.png", *paths], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 200  # MiB
