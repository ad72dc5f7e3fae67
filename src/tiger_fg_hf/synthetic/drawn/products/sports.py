"""Sports equipment."""

from __future__ import annotations

import numpy as np

from ..geometry import arc, box, circle, mirrored, smooth
from ..painter import Painter, Surface
from ..spec import Drawer, Look

STEEL = Surface((206, 210, 214), "steel")
TYRE = Surface((52, 52, 56), "rubber")


def _ball(p: Painter, k: Look) -> None:
    radius = 0.42
    p.ball(0.5, 0.5, radius, k.body)
    turn = np.sin(np.radians(p.view.yaw)) * 0.6
    line = k.accent
    if k.shape == "basketball":
        bend = turn * radius
        p.seam(smooth([(0.5, 0.08), (0.5 + bend, 0.5), (0.5, 0.92)], closed=False), line, width=0.014, opacity=0.95)
        p.seam(
            smooth([(0.08, 0.5), (0.5, 0.5 + p.rim * 0.3), (0.92, 0.5)], closed=False), line, width=0.014, opacity=0.95
        )
        for sign in (-1, 1):
            p.seam(
                arc(0.5 + sign * 0.52 + bend * 0.4, 0.5, 0.33, 0.38, 90 - sign * -90 - 68, 90 - sign * -90 + 68),
                line,
                width=0.014,
                opacity=0.95,
            )
    elif k.shape == "football":
        offset = np.array([0.5 + turn * radius * 0.7, 0.5])
        penta = [np.array([np.cos(a), np.sin(a)]) for a in -np.pi / 2 + np.arange(5) * 2 * np.pi / 5]
        p.decal(np.array([offset + 0.14 * v for v in penta]), line)
        for v in penta:
            a, b = offset + 0.14 * v, offset + 0.26 * v
            p.seam([a, b], line, width=0.01, opacity=0.9)
            side = np.array([-v[1], v[0]])
            rim = 0.5 + v * radius
            patch = np.array(
                [b, b + side * 0.1 + v * 0.05, rim + side * 0.12, rim - side * 0.12, b - side * 0.1 + v * 0.05]
            )
            p.decal(patch, line)
    elif k.shape == "beach":
        for a in np.arange(3) * 2 * np.pi / 3 + turn:
            wedge = np.concatenate(
                [
                    [(0.5, 0.36)],
                    0.5
                    + radius
                    * np.stack([np.cos(np.linspace(a, a + 1.05, 12)), np.sin(np.linspace(a, a + 1.05, 12))], 1),
                ]
            )
            p.decal(wedge, line)
        p.decal(circle(0.5, 0.36, 0.05), (250, 250, 246))
    else:
        for bow in (0.9, -0.9):
            p.seam(
                smooth(
                    [(0.5 + bow * 0.32, 0.13), (0.5 + bow * 0.12 + turn * 0.2, 0.5), (0.5 + bow * 0.32, 0.87)],
                    closed=False,
                ),
                line,
                width=0.022,
                opacity=0.95,
            )
    if k.mark:
        # A roundel in the ball's own color keeps the print clear of the seams.
        p.decal(circle(0.5 + turn * radius, 0.54, 0.19), k.color)
        p.mark(k.mark, 0.5, 0.54, 0.12, k.mark_color, wrap=radius)


def _skateboard(p: Painter, k: Look) -> None:
    half, length = k.span("width", 0.11, 0.14), k.span("length", 0.42, 0.46)
    for sign in (-1, 1):
        y = 0.5 + sign * length * 0.58
        for x in (-1, 1):
            p.puffy(
                box(0.5 + x * (half + 0.012) - 0.025, y - 0.035, 0.5 + x * (half + 0.012) + 0.025, y + 0.035, 0.015),
                k.trim("rubber"),
                depth=0.02,
            )
    if k.shape == "cruiser":
        deck = smooth(
            mirrored(
                [
                    (0.5, 0.5 - length),
                    (0.5 + half * 0.6, 0.53 - length),
                    (0.5 + half, 0.55),
                    (0.5 + half * 0.85, 0.46 + length),
                    (0.5, 0.5 + length),
                ]
            )
        )
    else:
        deck = box(0.5 - half, 0.5 - length, 0.5 + half, 0.5 + length, half)
    p.puffy(deck, k.plain.toned(0.6), depth=0.012)
    p.puffy((deck - 0.5) * (0.93, 0.975) + 0.5, k.body, depth=0.03)
    for sign in (-1, 1):
        y = 0.5 + sign * length * 0.58
        for dx in (-0.03, 0.03):
            for dy in (-0.03, 0.03):
                p.ball(0.5 + dx, y + dy, 0.009, STEEL)
    if k.detail == "centre stripe":
        p.decal(box(0.5 - half * 0.2, 0.51 - length, 0.5 + half * 0.2, 0.49 + length), k.accent)
    p.mark(k.mark, 0.5, 0.5, half * 0.78, k.mark_color)


def _racket(p: Painter, k: Look) -> None:
    wide, tall = k.span("width", 0.18, 0.23), k.span("height", 0.24, 0.29)
    cy = 0.06 + tall
    head = circle(0.5, cy, wide, tall, 60)
    strings = (240, 238, 224)
    p.flat(head, Surface((226, 226, 214), "nylon", opacity=0.35))
    for t in np.linspace(-0.85, 0.85, 9):
        reach = np.sqrt(1 - t * t)
        p.stroke(
            [(0.5 + t * wide, cy - tall * reach), (0.5 + t * wide, cy + tall * reach)],
            0.005,
            Surface(strings, "nylon"),
        )
        p.stroke(
            [(0.5 - wide * reach, cy + t * tall), (0.5 + wide * reach, cy + t * tall)],
            0.005,
            Surface(strings, "nylon"),
        )
    if k.shape == "open throat":
        for sign in (-1, 1):
            p.stroke(
                [(0.5 + sign * wide * 0.62, cy + tall * 0.8), (0.5 + sign * 0.02, cy + tall + 0.13)], 0.032, k.body
            )
    else:
        p.puffy(
            np.array(
                [
                    (0.5 - wide * 0.4, cy + tall * 0.93),
                    (0.5 + wide * 0.4, cy + tall * 0.93),
                    (0.525, cy + tall + 0.13),
                    (0.475, cy + tall + 0.13),
                ]
            ),
            k.body,
            depth=0.02,
        )
    p.stroke(np.concatenate([head, head[:2]]), 0.042, k.body)
    p.stroke([(0.5, cy + tall + 0.1), (0.5, 0.78)], 0.044, k.plain)
    p.puffy(box(0.468, 0.74, 0.532, 0.96, 0.02), k.trim("leather"), depth=0.025)
    if k.detail == "wrapped grip":
        for y in np.linspace(0.77, 0.94, 6):
            p.seam(
                [(0.466, y + 0.012), (0.534, y - 0.012)], k.trim("leather").toned(0.6).color, width=0.007, opacity=0.8
            )


DRAWERS: dict[str, Drawer] = {
    "ball": _ball,
    "skateboard": _skateboard,
    "racket": _racket,
}
