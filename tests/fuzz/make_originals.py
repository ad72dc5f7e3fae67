"""Write `originals/`: one tiny picture for each of eight formats, from which the broken pictures are made.

    python tests/fuzz/make_originals.py

The files are committed, because encoders differ between versions. Needs Pillow with WebP and AVIF, and pillow-heif.
"""

from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

ORIGINALS = Path(__file__).with_name("originals")


def main() -> None:
    pillow_heif.register_heif_opener()
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, 255, 24, dtype=np.uint8)
    pixels = np.stack([np.add.outer(smooth[:20], smooth), rng.integers(0, 256, (20, 24), dtype=np.uint8)] * 2, axis=-1)
    rgba, rgb = Image.fromarray(pixels), Image.fromarray(pixels[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    rgb.save(ORIGINALS / "turned_progressive.jpg", progressive=True, exif=exif)
    rgba.save(ORIGINALS / "transparent.png")
    frames = [rgb.convert("P"), rgb.rotate(180).convert("P")]
    frames[0].save(ORIGINALS / "animated.gif", save_all=True, append_images=frames[1:])
    rgba.save(ORIGINALS / "transparent.webp", quality=60)
    rgb.convert("P").save(ORIGINALS / "palette.bmp")
    Image.fromarray((pixels[..., 1] / 255).astype(np.float32)).save(
        ORIGINALS / "float.tif", compression="tiff_adobe_deflate"
    )
    rgb.save(ORIGINALS / "photo.avif", quality=60)
    rgb.save(ORIGINALS / "photo.heic", quality=60)


if __name__ == "__main__":
    main()
