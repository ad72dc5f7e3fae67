"""Toys, books and music."""

from __future__ import annotations

import numpy as np

from ..geometry import box, circle, mirrored, smooth
from ..painter import Painter, Surface
from ..spec import Drawer, Look

STEEL = Surface((206, 210, 214), "steel")
TYRE = Surface((52, 52, 56), "rubber")


def _guitar(p: Painter, k: Look) -> None:
    lower, waist = k.span("lower", 0.17, 0.21), k.span("waist", 0.1, 0.13)
    upper = lower * k.span("upper", 0.72, 0.84)
    neck = k.trim("wood")
    p.flat(np.array([(0.474, 0.12), (0.526, 0.12), (0.532, 0.62), (0.468, 0.62)]), neck)
    p.puffy(np.array([(0.472, 0.14), (0.455, 0.03), (0.545, 0.03), (0.528, 0.14)]), neck.toned(0.8), depth=0.02)
    for sign in (-1, 1):
        for y in (0.05, 0.08, 0.11):
            p.ball(0.5 + sign * 0.058, y, 0.011, STEEL)
    if k.shape == "acoustic":
        side = [
            (0.5, 0.47),
            (0.5 + upper * 0.8, 0.48),
            (0.5 + upper, 0.57),
            (0.5 + waist, 0.67),
            (0.5 + lower, 0.8),
            (0.5 + lower * 0.75, 0.94),
            (0.5, 0.965),
        ]
    else:
        side = [
            (0.5, 0.56),
            (0.53, 0.56),
            (0.5 + upper * 1.05, 0.47),
            (0.5 + upper * 0.95, 0.6),
            (0.5 + waist, 0.7),
            (0.5 + lower, 0.82),
            (0.5 + lower * 0.7, 0.94),
            (0.5, 0.95),
        ]
    body = mirrored(smooth(side, closed=False))
    p.puffy(body, k.plain.toned(0.6), depth=0.015)
    p.puffy((body - (0.5, 0.72)) * 0.955 + (0.5, 0.72), k.body, depth=0.025)
    if k.shape == "acoustic":
        p.puffy(circle(0.5, 0.66, 0.068), Surface((40, 30, 26), "wood"), depth=0.02)
        p.seam(circle(0.5, 0.66, 0.08), k.accent, width=0.012, opacity=0.9)
    else:
        if k.detail == "pickguard":
            p.decal(smooth([(0.5, 0.6), (0.58, 0.62), (0.6, 0.76), (0.56, 0.86), (0.5, 0.84)]), (246, 242, 232))
        for y in (0.65, 0.73):
            p.puffy(box(0.455, y, 0.545, y + 0.03, 0.008), Surface((40, 40, 44), "plastic"), depth=0.01)
    p.flat(np.array([(0.474, 0.4), (0.526, 0.4), (0.528, 0.6), (0.472, 0.6)]), neck)
    for y in np.linspace(0.17, 0.56, 9):
        p.seam([(0.473, y), (0.527, y)], (214, 206, 180), width=0.005, opacity=0.8)
    p.puffy(box(0.44, 0.83, 0.56, 0.855, 0.008), neck.toned(0.7), depth=0.01)
    for x in (-0.014, 0.0, 0.014):
        p.seam([(0.5 + x, 0.05), (0.5 + x, 0.84)], (236, 232, 216), width=0.003, opacity=0.8)
    p.mark(k.mark, 0.5 + lower * 0.55, 0.86, 0.045, k.mark_color)


def _book(p: Painter, k: Look) -> None:
    half, tall = k.span("width", 0.27, 0.34), k.span("height", 0.38, 0.45)
    thick = k.span("thickness", 0.03, 0.07)
    cover = k.plain.toned(0.75)
    p.puffy(
        box(0.5 - half + thick, 0.5 - tall + thick, 0.5 + half + thick, 0.5 + tall + thick * 0.8, 0.015),
        cover,
        depth=0.015,
    )
    p.flat(
        np.array(
            [
                (0.5 + half, 0.51 - tall),
                (0.5 + half + thick * 0.8, 0.51 - tall + thick),
                (0.5 + half + thick * 0.8, 0.49 + tall + thick * 0.7),
                (0.5 - half + thick, 0.49 + tall + thick * 0.7),
                (0.5 - half, 0.49 + tall),
                (0.5 + half, 0.49 + tall),
            ]
        ),
        Surface((244, 238, 222), "paper"),
    )
    p.puffy(box(0.5 - half, 0.5 - tall, 0.5 + half, 0.5 + tall, 0.02), k.body, depth=0.015)
    p.flat(box(0.5 - half, 0.5 - tall, 0.56 - half, 0.5 + tall, 0.01), k.trim("leather"))
    if k.detail == "elastic band":
        p.flat(box(0.42 + half, 0.5 - tall, 0.445 + half, 0.5 + tall), k.trim("cotton"))
    elif k.detail == "title label":
        p.decal(box(0.54 - half * 0.6, 0.26, 0.54 + half * 0.6, 0.42, 0.015), (248, 244, 232))
        for y, w in ((0.31, 0.45), (0.36, 0.3)):
            p.seam([(0.54 - half * w, y), (0.54 + half * w, y)], (80, 76, 72), width=0.014, opacity=0.9)
    p.mark(k.mark, 0.53, 0.6, half * 0.42, k.mark_color)


def _toy_car(p: Painter, k: Look) -> None:
    roof, nose = k.span("roof", 0.28, 0.34), k.span("nose", 0.9, 0.96)
    body_top, floor = k.span("bonnet", 0.48, 0.53), 0.68
    if k.shape == "van":
        cabin = smooth(
            [
                (0.08, 0.52),
                (0.09, roof),
                (0.16, roof - 0.03),
                (0.68, roof - 0.03),
                (0.78, roof + 0.04),
                (0.86, body_top),
            ],
            steps=5,
        )
        windows = [(0.14, 0.32), (0.36, 0.54), (0.58, 0.76)]
    elif k.shape == "pickup":
        cabin = np.array([(0.4, body_top + 0.04), (0.44, roof), (0.64, roof), (0.74, body_top + 0.04)])
        windows = [(0.47, 0.66)]
    else:
        cabin = smooth(
            [
                (0.2, body_top + 0.05),
                (0.3, roof + 0.01),
                (0.4, roof - 0.02),
                (0.56, roof - 0.01),
                (0.74, body_top + 0.04),
            ],
            steps=5,
        )
        windows = [(0.31, 0.45), (0.48, 0.63)]
    p.puffy(cabin, k.body, depth=0.04)
    for x0, x1 in windows:
        slant = 0.05 if (x0, x1) == windows[-1] else 0.0
        pane = np.array([(x0 + 0.01, body_top), (x0 + 0.02, roof + 0.05), (x1 - slant, roof + 0.05), (x1, body_top)])
        p.puffy(pane, Surface((150, 196, 220), "lacquer"), depth=0.015)
    hull = smooth(
        [
            (0.05, body_top + 0.05),
            (0.12, body_top),
            (0.72, body_top),
            (nose - 0.05, body_top + 0.05),
            (nose, body_top + 0.12),
            (nose, floor),
            (0.5, floor + 0.01),
            (0.05, floor),
        ],
        steps=6,
    )
    p.puffy(hull, k.body, depth=0.04)
    if k.detail == "side stripe":
        p.decal(box(0.04, 0.575, 0.97, 0.615), k.accent)
    p.puffy(box(nose - 0.06, floor - 0.03, nose + 0.02, floor + 0.02, 0.02), k.trim("plastic"), depth=0.015)
    p.puffy(box(0.03, floor - 0.03, 0.1, floor + 0.02, 0.02), k.trim("plastic"), depth=0.015)
    p.ball(nose - 0.025, body_top + 0.1, 0.028, Surface((255, 240, 180), "enamel"))
    for x in (0.25, 0.74):
        p.puffy(circle(x, floor + 0.01, 0.115, count=48), k.plain.toned(0.5), depth=0.02)
        p.puffy(circle(x, floor + 0.025, 0.1, count=48), TYRE, depth=0.03)
        p.puffy(circle(x, floor + 0.025, 0.056, count=36), k.trim("plastic"), depth=0.02)
        p.ball(x, floor + 0.025, 0.018, STEEL)
    p.mark(k.mark, 0.49, 0.6, 0.07, k.mark_color)


def _kite(p: Painter, k: Look) -> None:
    half, cross = k.span("width", 0.26, 0.34), k.span("cross", 0.28, 0.36)
    diamond = k.shape == "diamond"
    if diamond:
        tip = 0.72
        body = np.array([(0.5, 0.05), (0.5 + half, cross), (0.5, tip), (0.5 - half, cross)])
    else:
        tip = 0.56
        body = np.array([(0.5, 0.12), (0.5 + half * 1.25, 0.62), (0.5, tip), (0.5 - half * 1.25, 0.62)])
    along = np.linspace(0.0, 1.0, 24)
    path = np.stack([0.5 + 0.07 * np.sin(along * 2.2 * np.pi), tip + 0.25 * along], 1)
    p.stroke(path, 0.012, Surface((110, 104, 98), "cotton"))
    for x, y in path[[8, 14, 20]]:
        for sign in (-1, 1):
            p.puffy(
                np.array([(x, y), (x + sign * 0.05, y - 0.025), (x + sign * 0.05, y + 0.025)]),
                k.trim("nylon"),
                depth=0.01,
            )
    p.puffy(body, k.body, depth=0.03)
    if k.detail == "two-tone":
        p.decal(np.array([body[0], body[1], (0.5, cross if diamond else tip)]), k.accent)
        if diamond:
            p.decal(np.array([body[2], body[3], (0.5, cross)]), k.accent)
    p.seam([body[0], body[2]], (90, 80, 70), width=0.009, opacity=0.8)
    if diamond:
        p.seam([body[3], body[1]], (90, 80, 70), width=0.009, opacity=0.8)
    p.mark(k.mark, 0.5, 0.38, 0.1, k.mark_color)


DRAWERS: dict[str, Drawer] = {
    "guitar": _guitar,
    "notebook": _book,
    "toy car": _toy_car,
    "kite": _kite,
}
