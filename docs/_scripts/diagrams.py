"""Draws the diagrams of the documentation as SVG that the pages inline: `python docs/_scripts/diagrams.py`.

Colours come from `docs/assets/extra.css`, so that a diagram follows the light and the dark scheme.
"""

import re
from html import escape
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"
_SUBSCRIPT = re.compile(r"\b([A-Za-z])_(\w+)")


class Drawing:
    """An SVG drawing of boxes and arrows; coordinates are in pixels.

    Args:
        width, height: size of the canvas.
        title: what the drawing shows, for readers who cannot see it.
    """

    def __init__(self, width: int, height: int, title: str):
        self.parts = [
            f'<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" '
            f'aria-label="{escape(title)}">'
        ]

    def box(self, x: int, y: int, width: int, height: int, *lines: str, kind: str = "part") -> None:
        """Draw a box: a `part` that learns, a `frozen` one, or `data`. Lines that begin with `~` are small."""
        radius = height / 2 if kind == "data" and height < 50 else 6
        self.parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius:g}"/>')
        for number, line in enumerate(lines):
            middle = y + height / 2 + 18 * (number - (len(lines) - 1) / 2)
            self.text(x + width / 2, middle, line.removeprefix("~"), "small" if line.startswith("~") else "")

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """Write a line, centred at a point; the class `start` begins it there instead. `f_m` has a subscript."""
        marked = _SUBSCRIPT.sub(r'\1<tspan class="sub" dy="4">\2</tspan><tspan dy="-4">&#8203;</tspan>', escape(text))
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{marked}</text>')

    def label(self, x: float, y: float, text: str) -> None:
        """Write a small line above an arrow that runs 10 pixels below `y`."""
        self.text(x, y - 4, text, "small")

    def arrow(self, *points: tuple[int, int], kind: str = "", both: bool = False) -> None:
        """Draw a line through points, with a head at its end, and with `both` at its start as well."""
        path = "M" + " L".join(f"{x} {y}" for x, y in points)
        self.parts.append(f'<path class="{kind}" d="{path}"/>')
        self._head(points[-2], points[-1], kind)
        if both:
            self._head(points[1], points[0], kind)

    def _head(self, before: tuple[int, int], tip: tuple[int, int], kind: str) -> None:
        dx, dy = ((b > a) - (b < a) for a, b in zip(before, tip, strict=True))
        x, y = tip
        left, right = (x - 8 * dx + 4 * dy, y - 8 * dy + 4 * dx), (x - 8 * dx - 4 * dy, y - 8 * dy - 4 * dx)
        path = f"M{x} {y} L{left[0]} {left[1]} L{right[0]} {right[1]} Z"
        self.parts.append(f'<path class="{" ".join(filter(None, ("head", kind)))}" d="{path}"/>')

    def save(self, name: str) -> None:
        """Write `docs/assets/NAME.svg`, without blank lines: in Markdown one would end the drawing."""
        (ASSETS / f"{name}.svg").write_text("\n".join([*self.parts, "</svg>"]) + "\n", encoding="utf-8")


def draw_tiger_fg() -> None:
    """Draw both towers of TIGER-FG."""
    d = Drawing(
        940,
        470,
        "The query tower embeds a crop; the item tower reads the text, then pools the picture where it points.",
    )
    d.box(16, 24, 124, 44, "crop", kind="data")
    d.box(180, 24, 140, 44, "vision encoder")
    d.box(590, 24, 140, 44, "projection")
    d.box(790, 24, 134, 44, "query q", kind="data")
    d.arrow((140, 46), (178, 46))
    d.arrow((320, 46), (588, 46))
    d.label(455, 36, "class token")
    d.arrow((730, 46), (788, 46))
    d.arrow((250, 70), (250, 150), both=True)
    d.text(258, 110, "same weights", "small start")

    d.box(16, 152, 124, 44, "listing picture", kind="data")
    d.box(180, 152, 140, 44, "vision encoder")
    d.arrow((140, 174), (178, 174))
    d.arrow((320, 174), (588, 174))
    d.label(455, 163, "patches P, class token v_cls")
    d.arrow((455, 174), (455, 238))
    d.box(380, 240, 150, 48, "slots read", "the patches")
    d.box(590, 240, 140, 48, "slot pooling", "~weights the slots")
    d.arrow((530, 264), (588, 264))
    d.label(560, 254, "S")
    d.box(590, 146, 140, 56, "guided pooling", "~weights the patches")
    d.arrow((650, 240), (650, 204))
    d.text(658, 222, "f_m", "small start")
    d.box(590, 92, 140, 32, "grounding map", kind="data")
    d.arrow((660, 146), (660, 126))
    d.box(790, 152, 134, 44, "merge")
    d.arrow((730, 166), (788, 166))
    d.label(760, 156, "f_a")
    d.arrow((730, 264), (857, 264), (857, 198))
    d.label(800, 254, "f_m")
    d.box(790, 96, 134, 32, "item f_i", kind="data")
    d.arrow((857, 152), (857, 130))
    d.arrow((857, 94), (857, 70), both=True)
    d.text(867, 82, "cosine", "small start")

    d.box(16, 334, 124, 60, "title, category,", "attributes", kind="data")
    d.box(180, 340, 140, 48, "text encoder")
    d.box(380, 340, 150, 48, "slots read", "the text")
    d.arrow((140, 364), (178, 364))
    d.arrow((320, 364), (378, 364))
    d.label(350, 354, "H_t")
    d.arrow((455, 340), (455, 290))
    d.box(380, 420, 150, 34, "M learned slots", kind="data")
    d.arrow((455, 420), (455, 390))
    d.arrow((530, 364), (752, 364), (752, 190), (732, 190), kind="ours")
    d.label(640, 354, "text match (our addition)")
    d.save("tiger-fg")


def draw_tgq_former() -> None:
    """Draw TGQ-Former: frozen dual encoder, connector, language model."""
    d = Drawing(
        940,
        430,
        "Queries from the title and learned queries read the picture. Each stream passes a gate. A language model "
        "reads both before the text.",
    )
    d.box(16, 60, 104, 44, "picture", kind="data")
    d.box(16, 220, 104, 44, "title", kind="data")
    d.box(150, 60, 120, 44, "image encoder", kind="frozen")
    d.box(150, 220, 120, 44, "text encoder", kind="frozen")
    d.arrow((120, 82), (148, 82))
    d.arrow((120, 242), (148, 242))
    d.box(150, 136, 120, 50, "S_title", "~cosine", kind="data")
    d.arrow((210, 104), (210, 134))
    d.arrow((210, 220), (210, 188))
    d.box(310, 216, 130, 52, "convolution,", "~means of K spans")
    d.arrow((270, 242), (308, 242))
    d.box(310, 300, 130, 44, "learned queries", kind="data")
    d.box(490, 60, 120, 284, "Q-Former", "~both streams")
    d.arrow((270, 82), (488, 82))
    d.label(380, 72, "image tokens H_img")
    d.arrow((440, 242), (488, 242))
    d.label(464, 232, "Q_txt")
    d.arrow((440, 322), (488, 322))
    d.label(464, 312, "Q_rnd")
    d.box(660, 216, 116, 52, "metadata", "gate")
    d.box(660, 296, 116, 52, "exploratory", "gate")
    d.arrow((610, 242), (658, 242))
    d.label(634, 232, "E_txt")
    d.arrow((610, 322), (658, 322))
    d.label(634, 312, "E_rnd")
    d.arrow((270, 161), (460, 161), (460, 30), (718, 30), (718, 214))
    d.label(590, 20, "S_title, for the metadata gate alone")
    d.box(816, 216, 108, 132, "language", "model", "~streams first,", "~then the text")
    d.arrow((776, 242), (814, 242))
    d.arrow((776, 322), (814, 322))
    d.box(650, 382, 126, 34, "item text", kind="data")
    d.arrow((776, 399), (870, 399), (870, 350))
    d.box(816, 130, 108, 40, "item", kind="data")
    d.arrow((870, 216), (870, 172))
    d.save("tgq-former")


if __name__ == "__main__":
    draw_tiger_fg()
    draw_tgq_former()
