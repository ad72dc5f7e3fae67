"""A painter that draws lit, textured parts over each other on a transparent square."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .geometry import arc, circle, smooth
from .marks import MARKS
from .palette import Rgb
from .patterns import PATTERNS
from .shading import FINISHES, fine_texture, illuminate, lit_color
from .view import View

Outline = np.ndarray | Sequence[np.ndarray]
Texture = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

#: Normals are computed at every `_COARSE`-th pixel: light is smooth, and this is several times faster.
_COARSE = 3


@cache
def _scaled(factor: float) -> list[int]:
    """Return the lookup table that multiplies a byte by `factor`."""
    return [int(value * factor) for value in range(256)]


@dataclass(frozen=True)
class Surface:
    """Color, material and pattern of one part.

    Attributes:
        color: Base color.
        material: A key of `FINISHES`.
        pattern: A key of `PATTERNS`, or "solid".
        pattern_color: Second color of the pattern.
        pattern_scale: Periods of the pattern per product unit.
        opacity: Factor on the opacity of the material.
    """

    color: Rgb
    material: str = "plastic"
    pattern: str = "solid"
    pattern_color: Rgb = (255, 255, 255)
    pattern_scale: float = 10.0
    opacity: float = 1.0

    def toned(self, factor: float) -> Surface:
        """Return the surface without its pattern, and darker (factor < 1) or lighter (factor > 1)."""
        base = np.array(self.color, dtype=np.float64)
        tone = base * factor if factor <= 1.0 else base + (255.0 - base) * (factor - 1.0)
        red, green, blue = (int(v) for v in np.clip(tone, 0, 255))
        return replace(self, color=(red, green, blue), pattern="solid")


class Painter:
    """A transparent square canvas on which the parts of a product are drawn from back to front.

    Args:
        pixels: Side of the canvas.
        view: Its light, yaw and elevation are used here; the rest of it is applied later, by a warp.
        noise: Tile of unit-variance noise, shape (k, k), for fine textures and cloth folds.
    """

    def __init__(self, pixels: int, view: View, noise: np.ndarray) -> None:
        self.pixels = pixels
        self.view = view
        self.rim = view.elevation
        self.canvas = Image.new("RGBA", (pixels, pixels))
        self._noise = noise
        self._shade = np.ones((pixels, pixels), dtype=np.float32)

    # Parts ---------------------------------------------------------------------------------------------------------

    def puffy(
        self,
        outline: Outline,
        surface: Surface,
        *,
        depth: float = 0.05,
        folds: float = 0.0,
    ) -> None:
        """Fill an outline as a cushion-like volume.

        Args:
            outline: One polygon (k, 2) or several, in product units.
            surface: What it is made of.
            depth: Width of the rounded edge in product units.
            folds: Strength of soft cloth folds, 0 for none.
        """
        patch = self._mask(outline, margin=depth)
        if patch is not None:
            self._paint_puffy(*patch, surface=surface, depth=depth, folds=folds)

    def flat(self, outline: Outline, surface: Surface) -> None:
        """Fill an outline as a plane that faces the viewer."""
        patch = self._mask(outline)
        if patch is None:
            return
        mask, x0, y0 = patch
        # A plane is not lit evenly: the end toward the light is a little brighter.
        lx, ly, _ = self.view.light
        u, v = self._grid(mask, x0, y0, _COARSE)
        nx = math.copysign(0.12, lx) * (u - 0.5)
        self._paint(mask, x0, y0, surface, nx, math.copysign(0.2, ly) * (v - 0.5) + 0.03)

    def stroke(self, points, width: float, surface: Surface) -> None:
        """Draw a round bar of `width` along a polyline."""
        patch = self._stroke_mask(np.asarray(points, dtype=np.float64), width, margin=width)
        if patch is not None:
            self._paint_puffy(*patch, surface=surface, depth=width * 0.45, folds=0.0)

    def revolve(self, profile, surface: Surface, *, cx: float = 0.5, curved: bool = True) -> None:
        """Draw a body of revolution about a vertical axis.

        Args:
            profile: `(y, radius)` from top to bottom, at least two.
            surface: What it is made of.
            cx: Axis.
            curved: Pass a smooth curve through the profile; else straight lines.
        """
        line = np.asarray(profile, dtype=np.float64)
        if curved and len(line) > 2:
            line = smooth(line, closed=False)
        ys, radii = line[:, 0], np.maximum(line[:, 1], 1e-3)
        right = np.stack([cx + radii, ys], axis=1)
        left = np.stack([cx - radii, ys], axis=1)[::-1]
        bottom = arc(cx, ys[-1], radii[-1], radii[-1] * self.rim, 0, 180)
        top = arc(cx, ys[0], radii[0], radii[0] * self.rim, 180, 360)
        patch = self._mask(np.concatenate([right, bottom, left, top]))
        if patch is None:
            return
        mask, x0, y0 = patch
        u, v = self._grid(mask, x0, y0, _COARSE)
        order = np.maximum.accumulate(ys)
        slope = np.gradient(radii) / np.maximum(np.gradient(ys), 1e-4)
        across = np.clip((u - cx) / np.interp(v[:, :1], order, radii), -0.999, 0.999)
        down = np.clip(-0.38 * np.interp(v[:, :1], order, slope), -0.42, 0.42) * np.sqrt(1.0 - across**2)
        turn = math.radians(self.view.yaw) * float(radii.max())

        def texture(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            radius = np.interp(v[:, :1], order, radii).astype(np.float32)
            return np.arcsin(np.clip((u - cx) / radius, -0.999, 0.999)) * radius + (turn + 0.5), v

        self._paint(mask, x0, y0, surface, across * 0.93, down, texture)

    def ball(self, cx: float, cy: float, radius: float, surface: Surface) -> None:
        """Draw a sphere."""
        patch = self._mask(circle(cx, cy, radius, count=72))
        if patch is None:
            return
        mask, x0, y0 = patch
        u, v = self._grid(mask, x0, y0, _COARSE)
        nx, ny = (u - cx) / radius, (v - cy) / radius
        squeeze = np.minimum(1.0, 0.96 / np.maximum(np.sqrt(nx * nx + ny * ny), 1e-4))
        turn = math.radians(self.view.yaw) * radius

        def texture(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x, y = (u - cx) / radius, (v - cy) / radius
            length = np.clip(np.sqrt(x * x + y * y), 1e-4, 0.999)
            bend = np.arcsin(length) / length * radius
            return x * bend + (turn + 0.5), y * bend + 0.5

        self._paint(mask, x0, y0, surface, nx * squeeze, ny * squeeze, texture)

    def opening(self, cx: float, cy: float, radius: float, surface: Surface, *, thickness: float = 0.012) -> None:
        """Draw the opening of a vessel seen from above: the lip and the dark inside."""
        lip, inside = surface.toned(1.12), surface.toned(0.62)
        self.flat(circle(cx, cy, radius, radius * self.rim, 48), lip)
        inner = radius - thickness
        self.puffy(circle(cx, cy, inner, inner * self.rim * 0.93, 48), inside, depth=0.04)

    # Drawing on parts ----------------------------------------------------------------------------------------------

    def seam(self, points, color: Rgb, *, width: float = 0.006, opacity: float = 0.6) -> None:
        """Draw a thin line that takes the light of the part under it."""
        patch = self._stroke_mask(np.asarray(points, dtype=np.float64), width, margin=0.0)
        if patch is not None:
            self._print(*patch, color=color, opacity=opacity)

    def decal(self, outline: Outline, color: Rgb, *, opacity: float = 0.95) -> None:
        """Print a flat shape on the part under it, which keeps its light."""
        patch = self._mask(outline)
        if patch is not None:
            self._print(*patch, color=color, opacity=opacity)

    def mark(self, name: str, cx: float, cy: float, radius: float, color: Rgb, *, wrap: float = 0.0) -> None:
        """Print a mark.

        Args:
            name: A key of `MARKS`, or "" for none.
            cx: Center, before the yaw.
            cy: Center.
            radius: Half of its side.
            color: Its color.
            wrap: Radius of the round body that carries it, on which it moves with the yaw; 0 for a flat one.
        """
        if not name:
            return
        polygons = []
        for unit in MARKS[name]():
            points = unit * radius
            if wrap:
                angle = np.clip(points[:, 0] / wrap + math.radians(self.view.yaw) * 0.7, -1.5, 1.5)
                points = np.stack([wrap * np.sin(angle), points[:, 1]], axis=1)
            polygons.append(points + np.array([cx, cy]))
        self.decal(polygons, color)

    # Internals -----------------------------------------------------------------------------------------------------

    def _patch(self, low: np.ndarray, high: np.ndarray, margin: float) -> tuple[int, int, int, int] | None:
        n = self.pixels
        x0, y0 = (max(0, int(v)) for v in np.floor((low - margin) * n))
        x1, y1 = (min(n, int(v)) for v in np.ceil((high + margin) * n) + 1)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    def _mask(self, outline: Outline, *, margin: float = 0.0) -> tuple[Image.Image, int, int] | None:
        polygons = [outline] if isinstance(outline, np.ndarray) and outline.ndim == 2 else list(outline)
        patch = self._patch(
            np.min([p.min(axis=0) for p in polygons], axis=0),
            np.max([p.max(axis=0) for p in polygons], axis=0),
            margin,
        )
        if patch is None:
            return None
        x0, y0, x1, y1 = patch
        mask = Image.new("L", (x1 - x0, y1 - y0))
        draw = ImageDraw.Draw(mask)
        for polygon in polygons:
            draw.polygon((polygon * self.pixels - (x0, y0)).ravel().tolist(), fill=255)
        return mask, x0, y0

    def _stroke_mask(self, points: np.ndarray, width: float, margin: float) -> tuple[Image.Image, int, int] | None:
        patch = self._patch(points.min(axis=0), points.max(axis=0), margin + width / 2)
        if patch is None:
            return None
        x0, y0, x1, y1 = patch
        mask = Image.new("L", (x1 - x0, y1 - y0))
        draw = ImageDraw.Draw(mask)
        path = points * self.pixels - (x0, y0)
        thick = max(1, round(width * self.pixels))
        draw.line(path.ravel().tolist(), fill=255, width=thick, joint="curve")
        if thick > 2:
            for x, y in (path[0], path[-1]):
                draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)
        return mask, x0, y0

    def _grid(self, mask: Image.Image, x0: int, y0: int, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return the product coordinates of every `step`-th pixel of a patch."""
        width, height = (-(-side // step) for side in mask.size)
        u = ((np.arange(width, dtype=np.float32) + 0.5) * step + x0) / self.pixels
        v = ((np.arange(height, dtype=np.float32) + 0.5) * step + y0) / self.pixels
        return np.broadcast_to(u, (height, width)), np.broadcast_to(v[:, None], (height, width))

    def _paint_puffy(self, mask: Image.Image, x0: int, y0: int, surface: Surface, depth: float, folds: float) -> None:
        low = mask.reduce(_COARSE)
        radius = max(depth * self.pixels / _COARSE, 0.8)
        pad = int(radius) + 1
        padded = Image.new("L", (low.width + 2 * pad, low.height + 2 * pad))
        padded.paste(low, (pad, pad))
        hill = np.asarray(padded.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255.0
        if folds:
            hill = hill + folds * self._folds(hill.shape)
        dy, dx = np.gradient(hill * (radius * 1.9))
        scale = 1.0 / np.sqrt(1.0 + dx * dx + dy * dy)
        nx, ny = (-(slope * scale)[pad:-pad, pad:-pad] for slope in (dx, dy))
        self._paint(mask, x0, y0, surface, nx, ny)

    def _folds(self, shape: tuple[int, int]) -> np.ndarray:
        coarse = Image.fromarray(self._noise[:5, :6].astype(np.float32))
        return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))

    def _paint(
        self, mask: Image.Image, x0: int, y0: int, surface: Surface, nx, ny, texture: Texture | None = None
    ) -> None:
        """Light a patch and lay it over the canvas.

        Args:
            mask: Its outline, mode "L".
            x0: Its left edge on the canvas.
            y0: Its top edge on the canvas.
            surface: What it is made of.
            nx: Horizontal normals of every `_COARSE`-th pixel.
            ny: Vertical normals of the same pixels.
            texture: Maps product coordinates to texture coordinates; the identity by default.
        """
        finish = FINISHES[surface.material]
        shade, highlight = illuminate(nx, ny, self.view.light, finish)
        shade, highlight = self._enlarged(shade, mask.size), self._enlarged(highlight, mask.size)
        color = np.array(surface.color, dtype=np.float32)
        patterned = surface.pattern != "solid"
        if patterned or finish.texture:
            u, v = self._grid(mask, x0, y0)
            if texture is not None and patterned:
                u, v = texture(u, v)
            if patterned:
                scale = surface.pattern_scale
                cover = PATTERNS[surface.pattern](u * scale, v * scale)[..., None].astype(np.float32)
                color = color + (np.array(surface.pattern_color, dtype=np.float32) - color) * cover
            if finish.texture:
                height, width = shade.shape
                k = len(self._noise)
                tile = self._noise[np.arange(y0, y0 + height)[:, None] % k, np.arange(x0, x0 + width) % k]
                shade = shade + fine_texture(finish.texture, u, v, tile)
        shade = np.clip(shade, 0.32, 1.3)
        patch = Image.fromarray(lit_color(color, shade, highlight))
        patch.putalpha(mask.point(_scaled(finish.opacity * surface.opacity)))
        self.canvas.alpha_composite(patch, (x0, y0))
        np.copyto(self._shade[y0 : y0 + mask.height, x0 : x0 + mask.width], shade, where=np.asarray(mask) > 127)

    @staticmethod
    def _enlarged(coarse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR))

    def _print(self, mask: Image.Image, x0: int, y0: int, color: Rgb, opacity: float) -> None:
        shade = self._shade[y0 : y0 + mask.height, x0 : x0 + mask.width, None]
        lit = np.array(color, dtype=np.float32) * np.minimum(shade, 1.08)
        patch = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
        patch.putalpha(mask.point(_scaled(opacity)))
        # Print only where a part has been drawn.
        target = self.canvas.crop((x0, y0, x0 + mask.width, y0 + mask.height))
        printed = Image.alpha_composite(target, patch)
        printed.putalpha(target.getchannel("A"))
        self.canvas.paste(printed, (x0, y0))
