"""Bags and cases."""

from __future__ import annotations

import numpy as np

from ..geometry import arc, box, mirrored, smooth
from ..painter import Painter, Surface
from ..spec import Drawer, Look

BRASS = Surface((216, 186, 110), "steel")
CHROME = Surface((206, 210, 214), "steel")


def _handbag(p: Painter, k: Look) -> None:
    half, top = k.span("width", 0.3, 0.4), k.span("height", 0.4, 0.5)
    flare = {"trapeze": 0.78, "boxy": 1.0, "hobo": 0.86}[k.shape]
    rise = k.span("handle", 0.2, 0.32)
    p.stroke(arc(0.5, top + 0.03, half * 0.5, rise, 180, 360), 0.028, k.trim("leather"))
    if k.shape == "hobo":
        body = smooth(
            mirrored(
                [(0.5, top + 0.07), (0.5 + half * 0.7, top), (0.5 + half, 0.68), (0.5 + half * 0.7, 0.9), (0.5, 0.92)]
            ),
            steps=6,
        )
    else:
        body = smooth([(0.5 - half * flare, top), (0.5 + half * flare, top)], closed=False)
        body = np.concatenate(
            [
                body,
                smooth(
                    [(0.5 + half, 0.86), (0.5 + half * 0.93, 0.91), (0.5 - half * 0.93, 0.91), (0.5 - half, 0.86)],
                    closed=False,
                ),
            ]
        )
    p.puffy(body, k.body, depth=0.06)
    if k.detail == "flap":
        flap = mirrored(
            [
                (0.5, top),
                (0.5 + half * flare * 0.99, top),
                (0.5 + half * flare, top + 0.12),
                (0.5 + half * 0.45, top + 0.24),
                (0.5, top + 0.26),
            ]
        )
        p.puffy(flap, k.plain.toned(0.86), depth=0.03)
        p.puffy(box(0.465, top + 0.21, 0.535, top + 0.29, 0.015), BRASS, depth=0.012)
    elif k.detail == "zip":
        p.seam(
            [(0.5 - half * flare * 0.85, top + 0.06), (0.5 + half * flare * 0.85, top + 0.06)],
            (214, 196, 140),
            width=0.012,
            opacity=1.0,
        )
    else:
        p.puffy(box(0.5 - half * 1.0, 0.8, 0.5 + half * 1.0, 0.91, 0.03), k.trim("leather"), depth=0.025)
    for sign in (-1, 1):
        p.ball(0.5 + sign * half * 0.5, top + 0.04, 0.022, BRASS)
    p.mark(
        k.mark,
        0.5 + (half * 0.45 if k.detail == "flap" else 0.0),
        0.73 if k.detail == "flap" else 0.66,
        0.085,
        k.mark_color,
    )


def _backpack(p: Painter, k: Look) -> None:
    half, top = k.span("width", 0.25, 0.32), k.span("height", 0.1, 0.18)
    for sign in (-1, 1):
        p.stroke(
            smooth(
                [
                    (0.5 + sign * half * 0.5, top + 0.06),
                    (0.5 + sign * half * 1.18, 0.4),
                    (0.5 + sign * half * 1.08, 0.82),
                ],
                closed=False,
            ),
            0.05,
            k.trim("nylon"),
        )
    p.stroke(arc(0.5, top + 0.02, 0.08, 0.07, 180, 360), 0.028, k.trim("nylon"))
    crown = 0.16 if k.shape == "rounded" else 0.06
    p.puffy(np.concatenate([box(0.5 - half, top, 0.5 + half, 0.93, crown)]), k.body, depth=0.07)
    p.seam(
        smooth(
            [
                (0.5 - half * 0.93, 0.46),
                (0.5 - half * 0.85, top + 0.13),
                (0.5, top + 0.08),
                (0.5 + half * 0.85, top + 0.13),
                (0.5 + half * 0.93, 0.46),
            ],
            closed=False,
        ),
        (52, 52, 56),
        width=0.01,
        opacity=0.8,
    )
    pocket = k.trim("nylon") if k.detail == "contrast pocket" else k.plain.toned(0.85)
    p.puffy(box(0.5 - half * 0.74, 0.58, 0.5 + half * 0.74, 0.88, 0.05), pocket, depth=0.035)
    p.seam([(0.5 - half * 0.62, 0.64), (0.5 + half * 0.62, 0.64)], (225, 225, 222), width=0.011, opacity=0.9)
    p.mark(k.mark, 0.5, 0.4, 0.1, k.mark_color)


def _tote(p: Painter, k: Look) -> None:
    half, top = k.span("width", 0.26, 0.34), k.span("height", 0.36, 0.46)
    rise = 0.3 if k.shape == "long handle" else 0.18
    for shift, tone in ((0.02, 0.75), (0.0, 1.0)):
        p.stroke(arc(0.5, top + 0.02 + shift, half * 0.52, rise, 180, 360), 0.032, k.trim("canvas").toned(tone))
    p.puffy(
        np.array([(0.5 - half, top), (0.5 + half, top), (0.5 + half * 0.93, 0.93), (0.5 - half * 0.93, 0.93)]),
        k.body,
        depth=0.03,
        folds=0.2,
    )
    p.seam([(0.5 - half, top + 0.04), (0.5 + half, top + 0.04)], k.accent, width=0.008, opacity=0.8)
    for sign in (-1, 1):
        x = 0.5 + sign * half * 0.52
        p.flat(box(x - 0.016, top, x + 0.016, top + 0.08), k.trim("canvas"))
    if k.detail == "contrast base":
        p.decal(
            np.array(
                [
                    (0.5 - half * 0.96, 0.76),
                    (0.5 + half * 0.96, 0.76),
                    (0.5 + half * 0.93, 0.94),
                    (0.5 - half * 0.93, 0.94),
                ]
            ),
            k.accent,
        )
    p.mark(k.mark, 0.5, top + 0.21, k.span("print", 0.1, 0.14), k.mark_color)


def _suitcase(p: Painter, k: Look) -> None:
    half, top = k.span("width", 0.24, 0.32), k.span("height", 0.24, 0.34)
    pole = k.span("pole", 0.05, 0.12)
    for sign in (-1, 1):
        p.stroke([(0.5 + sign * 0.09, top + 0.02), (0.5 + sign * 0.09, pole)], 0.018, CHROME)
        p.puffy(
            box(0.5 + sign * half * 0.72 - 0.03, 0.89, 0.5 + sign * half * 0.72 + 0.03, 0.965, 0.02),
            Surface((48, 48, 52), "rubber"),
            depth=0.02,
        )
    p.stroke([(0.5 - 0.1, pole), (0.5 + 0.1, pole)], 0.042, k.trim("rubber"))
    p.puffy(box(0.5 - half, top, 0.5 + half, 0.92, 0.07), k.body, depth=0.07)
    if k.shape == "ribbed":
        for x in np.linspace(-0.72, 0.72, 7):
            p.seam(
                [(0.5 + x * half, top + 0.06), (0.5 + x * half, 0.86)],
                k.plain.toned(0.6).color,
                width=0.009,
                opacity=0.75,
            )
            p.seam(
                [(0.5 + x * half + 0.011, top + 0.06), (0.5 + x * half + 0.011, 0.86)],
                (255, 255, 255),
                width=0.007,
                opacity=0.3,
            )
    elif k.shape == "banded":
        for y in (0.42, 0.78):
            p.puffy(box(0.5 - half, y, 0.5 + half, y + 0.05), k.trim("leather"), depth=0.02)
    for sign in (-1, 1):
        for y in (top + 0.03, 0.89):
            p.ball(0.5 + sign * (half - 0.035), y, 0.034, k.trim("leather" if k.shape == "banded" else "rubber"))
    p.stroke([(0.44, top + 0.03), (0.56, top + 0.03)], 0.026, k.trim("leather"))
    p.mark(k.mark, 0.5, 0.62, 0.1, k.mark_color)


DRAWERS: dict[str, Drawer] = {
    "handbag": _handbag,
    "backpack": _backpack,
    "tote bag": _tote,
    "suitcase": _suitcase,
}
