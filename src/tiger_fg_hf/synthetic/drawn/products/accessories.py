"""Shoes, socks, hats and ties."""

from __future__ import annotations

import numpy as np

from ..geometry import box, circle, mirrored, smooth
from ..painter import Painter, Surface
from ..palette import seam_color
from ..spec import Drawer, Look


def _sock(p: Painter, k: Look) -> None:
    top = {"knee": 0.04, "crew": 0.2, "ankle": 0.42}[k.shape]
    width = k.span("width", 0.1, 0.13)
    toe = k.span("foot", 0.84, 0.93)
    leg = [
        (0.3 - width, top),
        (0.3 + width, top),
        (0.3 + width, 0.6),
        (0.42 + width, 0.7),
        (toe - 0.05, 0.74),
        (toe, 0.82),
        (toe - 0.06, 0.91),
        (0.5, 0.93),
        (0.28, 0.93),
        (0.17, 0.83),
        (0.3 - width, 0.68),
    ]
    outline = np.concatenate([np.array(leg[:2]), smooth(leg[2:], closed=False, steps=6)])
    p.puffy(outline, k.body, depth=0.05, folds=0.08)
    p.decal([circle(toe - 0.02, 0.83, 0.12, 0.12)], k.accent)
    p.decal([circle(0.2, 0.88, 0.105, 0.115)], k.accent)
    p.puffy(box(0.29 - width, top - 0.01, 0.31 + width, top + 0.075, 0.02), k.trim("wool"), depth=0.02)
    p.mark(k.mark, 0.3, max(top + 0.2, 0.36) if k.shape != "ankle" else 0.62, width * 0.62, k.mark_color)


def _beanie(p: Painter, k: Look) -> None:
    half, top = k.span("width", 0.3, 0.37), k.span("height", 0.16, 0.26)
    if k.detail == "pompom":
        tuft = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        radius = 0.11 + 0.014 * np.cos(tuft * 11)
        p.puffy(
            np.stack([0.5 + radius * np.cos(tuft), top - 0.02 + radius * np.sin(tuft)], 1), k.trim("felt"), depth=0.06
        )
    crown = smooth(
        [(0.5 + half, 0.66), (0.5 + half * 0.93, 0.42), (0.5 + half * 0.5, top + 0.03), (0.5, top)], closed=False
    )
    p.puffy(mirrored(crown[::-1]), k.body, depth=0.1)
    seam = seam_color(k.color, 0.75)
    for spread in (-0.7, -0.36, 0.0, 0.36, 0.7):
        p.seam(
            smooth(
                [(0.5 + spread * 0.15, top + 0.02), (0.5 + spread * half * 0.85, 0.4), (0.5 + spread * half, 0.64)],
                closed=False,
            ),
            seam,
            width=0.008,
            opacity=0.5,
        )
    cuff = k.plain.toned(0.9) if k.shape == "plain cuff" else k.trim("wool")
    p.puffy(box(0.48 - half, 0.6, 0.52 + half, 0.8, 0.05), cuff, depth=0.05)
    for x in np.linspace(0.52 - half, 0.48 + half, 20):
        p.seam([(x, 0.61), (x, 0.79)], seam_color(cuff.color, 0.8), width=0.007, opacity=0.45)
    p.mark(k.mark, 0.5, 0.47, 0.09, k.mark_color, wrap=half)


def _cap(p: Painter, k: Look) -> None:
    half, top = k.span("width", 0.28, 0.33), k.span("height", 0.2, 0.28)
    cx = 0.42
    crown = mirrored(
        smooth([(cx, top), (cx + half * 0.55, top + 0.05), (cx + half * 0.95, 0.42), (cx + half, 0.62)], closed=False),
        cx,
    )
    p.puffy(crown, k.body, depth=0.1)
    seam = seam_color(k.color, 0.7)
    for spread in (-0.55, 0.0, 0.55):
        p.seam(
            smooth(
                [(cx, top + 0.01), (cx + spread * half * 0.9, 0.4), (cx + spread * half * 1.2, 0.62)], closed=False
            ),
            seam,
            opacity=0.6,
        )
    length = {"curved brim": 0.3, "flat brim": 0.33}[k.shape]
    sag = 0.06 if k.shape == "curved brim" else 0.0
    brim = smooth(
        [
            (cx - half * 0.45, 0.6),
            (cx + half * 0.5, 0.585),
            (cx + half + 0.02, 0.58),
            (cx + half + length, 0.66 + sag),
            (cx + half + length * 0.8, 0.72 + sag),
            (cx + half * 0.3, 0.68),
        ]
    )
    p.puffy(brim, k.trim("cotton"), depth=0.03)
    p.ball(cx, top + 0.005, 0.026, k.trim("cotton"))
    p.mark(k.mark, cx + 0.08, 0.43, 0.095, k.mark_color)


def _tie(p: Painter, k: Look) -> None:
    half = k.span("width", 0.07, 0.12)
    end = k.span("length", 0.84, 0.9)
    p.puffy(
        np.array([(0.49, 0.15), (0.53, 0.15), (0.5 + half * 0.9, 0.85), (0.52 + half * 0.3, 0.92)]),
        k.plain.toned(0.75),
        depth=0.02,
    )
    blade = [(0.5, 0.16), (0.53, 0.16), (0.5 + half, end), (0.5, end + (0.08 if k.shape == "pointed" else 0.0))]
    p.puffy(mirrored(blade), k.body, depth=0.03)
    p.puffy(mirrored([(0.5, 0.04), (0.565, 0.05), (0.535, 0.175), (0.5, 0.18)]), k.body, depth=0.025)
    p.mark(k.mark, 0.5, end - 0.12, half * 0.62, k.mark_color)


def _sneaker(p: Painter, k: Look) -> None:
    ankle = {"low-top": 0.36, "high-top": 0.14}[k.shape]
    toe, sole = k.span("toe", 0.9, 0.96), k.span("sole", 0.055, 0.095)
    floor = 0.82
    collar = 0.36
    upper = smooth(
        [
            (0.08, ankle + 0.05),
            (0.13, ankle - 0.02),
            (collar - 0.03, ankle + 0.03),
            (collar + 0.04, ankle + 0.09),
            (0.56, 0.52),
            (0.74, 0.6),
            (toe - 0.05, 0.66),
            (toe, 0.74),
            (toe - 0.01, floor),
            (0.4, floor),
            (0.07, floor),
            (0.06, 0.66),
        ],
        steps=6,
    )
    tongue = smooth(
        [
            (collar - 0.03, ankle + 0.06),
            (collar, ankle - 0.06),
            (collar + 0.1, ankle - 0.02),
            (0.54, 0.5),
            (0.46, 0.56),
        ]
    )
    p.puffy(tongue, k.plain.toned(0.82), depth=0.03)
    p.puffy(upper, k.body, depth=0.06)
    p.puffy(
        smooth([(0.12, ankle + 0.03), (0.22, ankle + 0.05), (collar - 0.02, ankle + 0.05), (0.24, ankle + 0.085)]),
        k.plain.toned(0.5),
        depth=0.02,
    )
    seam = seam_color(k.color, 0.72)
    p.seam(smooth([(0.7, 0.585), (0.68, 0.7), (0.76, floor - 0.04)], closed=False), seam, width=0.009, opacity=0.8)
    p.seam(
        smooth([(collar + 0.02, ankle + 0.1), (0.42, 0.62), (0.52, 0.72), (0.66, 0.74)], closed=False),
        seam,
        width=0.008,
        opacity=0.7,
    )
    p.decal(smooth([(0.06, 0.58), (0.16, 0.6), (0.18, 0.72), (0.14, floor), (0.06, floor)]), k.accent)
    if k.detail == "side stripes":
        for x in (0.3, 0.38, 0.46):
            p.decal(
                np.array([(x, floor - 0.03), (x + 0.045, floor - 0.03), (x + 0.1, 0.56), (x + 0.06, 0.55)]), k.accent
            )
    elif k.detail == "swoosh":
        p.decal(
            smooth([(0.22, 0.66), (0.3, 0.74), (0.5, 0.66), (0.64, 0.58), (0.5, 0.72), (0.3, 0.8), (0.23, 0.76)]),
            k.accent,
        )
    rows = 4 if k.shape == "low-top" else 6
    for t in np.linspace(0.1, 0.95, rows):
        x, y = collar + 0.03 + t * 0.2, ankle + 0.08 + t * (0.46 - ankle)
        p.stroke([(x - 0.045, y + 0.035), (x + 0.045, y - 0.015)], 0.018, Surface((246, 246, 242), "cotton"))
    base = smooth(
        [
            (0.05, floor - 0.03),
            (0.4, floor - 0.035),
            (toe - 0.06, floor - 0.04),
            (toe + 0.02, floor - 0.035),
            (toe + 0.015, floor + sole * 0.7),
            (toe - 0.06, floor + sole),
            (0.4, floor + sole),
            (0.08, floor + sole),
            (0.045, floor + sole * 0.6),
        ],
        steps=6,
    )
    white = Surface((240, 240, 236), "rubber")
    p.puffy(base, white, depth=0.02)
    p.seam([(0.06, floor + sole * 0.45), (toe, floor + sole * 0.4)], k.accent, width=0.012, opacity=0.9)
    p.mark(
        k.mark,
        0.27,
        0.55 if k.shape == "high-top" else 0.66,
        0.065,
        k.mark_color,
    )


def _boot(p: Painter, k: Look) -> None:
    top = {"tall": 0.06, "ankle": 0.3}[k.shape]
    shaft, toe = k.span("shaft", 0.14, 0.18), k.span("toe", 0.8, 0.88)
    floor, heel = 0.86, k.span("heel", 0.05, 0.1)
    cx = 0.33
    outline = np.concatenate(
        [
            [(cx - shaft, top + 0.02), (cx + shaft, top - 0.01)],
            smooth(
                [
                    (cx + shaft * 0.93, 0.5),
                    (cx + shaft * 1.1, 0.62),
                    (0.66, 0.68),
                    (toe - 0.04, 0.74),
                    (toe, 0.82),
                    (toe - 0.01, floor),
                    (0.5, floor),
                    (cx - shaft, floor),
                    (cx - shaft * 1.04, 0.7),
                ],
                closed=False,
                steps=6,
            ),
        ]
    )
    p.puffy(outline, k.body, depth=0.06)
    p.flat(circle(cx, top + 0.005, shaft, shaft * 0.2), k.plain.toned(0.5))
    seam = seam_color(k.color, 0.7)
    if k.detail == "lace-up":
        for t in np.linspace(0.06, 0.94, 6 if k.shape == "tall" else 4):
            y = top + 0.06 + t * (0.6 - top)
            p.stroke([(cx + shaft * 0.35, y + 0.015), (cx + shaft * 0.93, y - 0.01)], 0.016, k.trim("cotton"))
    elif k.detail == "buckle":
        for y in (0.66, top + 0.1):
            p.puffy(
                box(cx - shaft * 0.98, y - 0.024, cx + shaft * 0.98, y + 0.024, 0.01), k.trim("leather"), depth=0.015
            )
            p.puffy(
                box(cx + 0.02, y - 0.036, cx + 0.08, y + 0.036, 0.01), Surface((212, 198, 150), "steel"), depth=0.01
            )
    else:
        p.decal(
            smooth(
                [(cx - 0.05, top + 0.04), (cx + 0.05, top + 0.04), (cx + 0.07, 0.56), (cx, 0.62), (cx - 0.07, 0.56)]
            ),
            k.accent,
            opacity=0.9,
        )
    p.seam(
        smooth([(cx - shaft, 0.68), (cx + 0.02, 0.64), (cx + shaft * 1.05, 0.66)], closed=False),
        seam,
        width=0.007,
        opacity=0.7,
    )
    dark = Surface((54, 44, 40), "rubber")
    p.puffy(box(cx - shaft * 1.05, floor - 0.015, cx - shaft * 0.1, floor + heel, 0.015), dark, depth=0.02)
    p.puffy(
        smooth(
            [
                (cx - shaft, floor - 0.015),
                (toe, floor - 0.02),
                (toe - 0.01, floor + 0.015),
                (toe - 0.04, floor + 0.04),
                (0.52, floor + 0.035),
                (cx - shaft * 0.2, floor + 0.02),
            ]
        ),
        dark,
        depth=0.015,
    )


DRAWERS: dict[str, Drawer] = {
    "sock": _sock,
    "beanie": _beanie,
    "cap": _cap,
    "tie": _tie,
    "sneaker": _sneaker,
    "boot": _boot,
}
