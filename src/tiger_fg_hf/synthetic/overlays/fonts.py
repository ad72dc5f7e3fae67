"""Fonts of overlays: those in the package, which draw the same on every machine, and those of a folder."""

from __future__ import annotations

import hashlib
import unicodedata
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

_SUFFIXES = (".ttf", ".otf", ".ttc")
# See the README there.
_CARRIED = Path(__file__).parent / "typefaces"
# No font has a glyph for this code point, so it is drawn like every missing glyph.
_NO_CHARACTER = "\U0010ffff"
_DRAWING_SIZE = 96
_SLANT = 0.2


class Font:
    """A font that knows which characters it can draw.

    Args:
        path: A TrueType or OpenType file. None is the font that Pillow carries: Aileron Regular, ASCII only.
        shapes: Whether Raqm, where Pillow has it, lays out the text. Scripts that join or reorder letters need it.
            Without Raqm, every build of Pillow lays out text in the same way.

    Attributes:
        is_bold: Whether its letters are bold.
        is_slanted: Whether its letters lean.

    Raises:
        ValueError: If the file is not a scalable font; the message names it.
    """

    def __init__(self, path: Path | None = None, *, shapes: bool = False):
        self.path, self.shapes = path, shapes
        self._data = None if path is None else path.read_bytes()
        self._with_raqm = shapes and path is not None and features.check("raqm")
        try:
            self._drawing = self._open(_DRAWING_SIZE)
        except OSError as error:
            raise ValueError(f"font '{path}' cannot be read: {error}") from error
        style = (self._drawing.getname()[1] or "").lower()
        self.is_bold = any(word in style for word in ("bold", "black", "heavy"))
        self.is_slanted = any(word in style for word in ("italic", "oblique"))
        self._missing = self._glyph(_NO_CHARACTER)
        self._known: dict[str, bool] = {}

    def covers(self, text: str) -> bool:
        """Return whether the font has a glyph for every character, and can join and reorder them where needed."""
        for character in text:
            if character not in self._known:
                self._known[character] = character == " " or (
                    (self._with_raqm or not _needs_shaping(character)) and self._glyph(character) != self._missing
                )
        return all(self._known[character] for character in text)

    def fit(
        self, text: str, size: tuple[float, float], *, bold: float = 0.0, slant: bool = False, narrow: float = 1.0
    ) -> float:
        """Return the largest scale at which `mask` keeps text within `size` (width, height) in pixels."""
        x0, y0, x1, y1 = self._drawing.getbbox(text)
        stroke = 2 * round(bold * _DRAWING_SIZE)
        width, height = max(1, x1 - x0) + stroke, max(1, y1 - y0) + stroke
        return min(size[0] / (width * narrow + (_SLANT * height if slant else 0)), size[1] / height)

    def mask(
        self, text: str, scale: float, *, bold: float = 0.0, slant: bool = False, narrow: float = 1.0
    ) -> Image.Image:
        """Draw text as an "L" mask, cropped to the ink.

        Text is drawn large and scaled down: strokes can then have any width, and hinting does not depend on the size.

        Args:
            text: One line that the font covers.
            scale: Scale relative to letters of 96 pixels.
            bold: Width by which strokes grow on each side, as a share of the letter size.
            slant: Whether to lean the letters to the right.
            narrow: Width of the letters, as a share of the font's width.
        """
        stroke = round(bold * _DRAWING_SIZE)
        x0, y0, x1, y1 = map(int, self._drawing.getbbox(text, stroke_width=stroke))
        letters = Image.new("L", (max(1, x1 - x0), max(1, y1 - y0)))
        ImageDraw.Draw(letters).text((-x0, -y0), text, font=self._drawing, fill=255, stroke_width=stroke)
        letters = letters.crop(letters.getbbox() or (0, 0, 1, 1))
        target = (max(1, int(letters.width * narrow * scale)), max(1, int(letters.height * scale)))
        letters = letters.resize(target, Image.Resampling.BILINEAR, reducing_gap=2.0)
        if not slant:
            return letters
        lean = _SLANT * letters.height
        matrix = (1, _SLANT, -lean, 0, 1, 0)
        slanted = (letters.width + int(lean), letters.height)
        return letters.transform(slanted, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)

    def __reduce__(self) -> tuple[partial[Font], tuple[Path | None]]:
        return partial(Font, shapes=self.shapes), (self.path,)

    @property
    def digest(self) -> str:
        """Hash of the font's bytes, or of its name if Pillow carries it."""
        data = "/".join(map(str, self._drawing.getname())).encode() if self._data is None else self._data
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    def _open(self, size: float) -> ImageFont.FreeTypeFont:
        if self._data is None:
            font = ImageFont.load_default(size)
            if not isinstance(font, ImageFont.FreeTypeFont):
                raise OSError("Pillow was built without FreeType")
            return font
        layout = ImageFont.Layout.RAQM if self._with_raqm else ImageFont.Layout.BASIC
        return ImageFont.truetype(BytesIO(self._data), size, layout_engine=layout)

    def _glyph(self, character: str) -> tuple[tuple[int, int], bytes]:
        mask = self._drawing.getmask(character)
        return mask.size, bytes(mask)


class FontSet:
    """The fonts to choose from: those that Pillow and this package carry, and those of a folder.

    Fonts installed on the machine are never used. Without a folder, the same text is therefore drawn on every machine,
    in all languages of promotions whose letters need no shaping.

    Args:
        folder: Folder whose `.ttf`, `.otf` and `.ttc` files are added, in the order of their paths.

    Raises:
        FileNotFoundError: If the folder holds no font.
        ValueError: If one of its fonts cannot be read.
    """

    def __init__(self, folder: str | Path | None = None):
        self.fonts = [Font(), *map(Font, _font_files(_CARRIED))]
        if folder is not None:
            paths = _font_files(Path(folder))
            if not paths:
                raise FileNotFoundError(f"'{folder}' holds no font: expected files ending in {', '.join(_SUFFIXES)}")
            self.fonts += [Font(path, shapes=True) for path in paths]

    @property
    def digest(self) -> str:
        """Hash of all fonts in their order."""
        return hashlib.blake2b("".join(font.digest for font in self.fonts).encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=1)
def default_fonts() -> FontSet:
    """Return the fonts that Pillow and this package carry."""
    return FontSet()


def _font_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)


def _needs_shaping(character: str) -> bool:
    """Return whether a character joins or moves around its neighbors, as in Arabic and Indic scripts, or marks."""
    return (
        unicodedata.bidirectional(character) in ("R", "AL", "NSM")
        or unicodedata.category(character) in ("Mn", "Mc", "Me")
        or 0x0900 <= ord(character) <= 0x0EFF
    )
