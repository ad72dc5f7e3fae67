"""Clothes."""

from __future__ import annotations

import numpy as np

from ..geometry import arc, both_sides, box, circle, mirrored, smooth
from ..painter import Painter, Surface
from ..palette import seam_color
from ..spec import Drawer, Look


def _tshirt(p: Painter, k: Look) -> None:
    half, hem = k.span("width", 0.23, 0.28), k.span("length", 0.84, 0.95)
    sleeve = {"short sleeve": 0.16, "long sleeve": 0.5, "cap sleeve": 0.08}[k.detail]
    neck = 0.1
    inner = k.plain.toned(0.66)
    p.flat(circle(0.5, 0.125, neck, 0.035), inner)
    drop = 0.9 if k.detail == "long sleeve" else 0.75
    reach = np.array([0.62 if k.detail == "long sleeve" else 0.85, drop]) * sleeve
    shoulder, cuff = np.array([0.5 + half * 0.93, 0.16]), np.array([0.5 + half, 0.36])
    arm = [
        shoulder - np.array([0.06, 0.02]),
        shoulder + np.array([0.02, 0.02]),
        shoulder + reach + (0.06, 0.03),
        cuff + reach * (0.72, 0.78) - (0, 0.02),
        cuff - (0.02, 0.0),
    ]
    for _, sleeve_outline in both_sides(arm):
        p.puffy(sleeve_outline, k.body, depth=0.035, folds=0.1)
        end = sleeve_outline[2:4]
        p.seam(end * 0.88 + sleeve_outline[[1, 4]] * 0.12, seam_color(k.color), width=0.008, opacity=0.5)
    depth = {"crew neck": 0.06, "v-neck": 0.15, "scoop neck": 0.12}[k.shape]
    line = [(0.5, 0.1 + depth), (0.5 + neck, 0.1)] if k.shape == "v-neck" else arc(0.5, 0.1, neck, depth, 90, 0, 10)
    right = [
        *line,
        (0.5 + half * 0.75, 0.125),
        (0.5 + half, 0.17),
        (0.5 + half, 0.36),
        (0.5 + half * 0.98, 0.6),
        (0.5 + half * 1.02, hem),
    ]
    p.puffy(mirrored(right), k.body, depth=0.045, folds=0.16)
    collar = np.asarray(line, dtype=np.float64)
    both = np.concatenate([collar[::-1], np.stack([1.0 - collar[:, 0], collar[:, 1]], 1)])
    p.seam(both, k.accent, width=0.024, opacity=1.0)
    p.seam([(0.5 - half, hem - 0.025), (0.5 + half, hem - 0.025)], seam_color(k.color), opacity=0.5)
    p.mark(k.mark, 0.5, 0.45, k.span("print", 0.1, 0.16), k.mark_color)


def _hoodie(p: Painter, k: Look) -> None:
    half, hem = k.span("width", 0.24, 0.29), k.span("length", 0.84, 0.93)
    sleeve = [
        (0.5 + half * 0.7, 0.22),
        (0.5 + half * 1.02, 0.27),
        (0.53 + half * 1.5, 0.8),
        (0.53 + half * 1.2, 0.84),
        (0.5 + half * 0.9, 0.5),
    ]
    for sign, arm in both_sides(sleeve):
        p.puffy(smooth(arm, steps=4), k.body, depth=0.045, folds=0.2)
        x = 0.53 + half * 1.35
        p.stroke(
            [(0.5 + sign * (x - 0.5 - 0.05), 0.84), (0.5 + sign * (x - 0.5 + 0.05), 0.815)], 0.035, k.plain.toned(0.85)
        )
    right = [
        (0.5, 0.2),
        (0.6, 0.19),
        (0.5 + half * 0.96, 0.25),
        (0.5 + half, 0.4),
        (0.5 + half, hem - 0.05),
        (0.5 + half * 0.92, hem),
    ]
    p.puffy(mirrored(right), k.body, depth=0.05, folds=0.2)
    p.stroke([(0.5 - half * 0.92, hem), (0.5 + half * 0.92, hem)], 0.045, k.plain.toned(0.85))
    hood = smooth(mirrored([(0.5, 0.05), (0.6, 0.08), (0.645, 0.17), (0.6, 0.25), (0.5, 0.3)]), steps=5)
    p.puffy(hood, k.plain, depth=0.045)
    p.puffy(
        smooth(mirrored([(0.5, 0.09), (0.565, 0.115), (0.585, 0.18), (0.5, 0.265)]), steps=5),
        k.trim("cotton").toned(0.8),
        depth=0.04,
    )
    for x in (0.47, 0.53):
        p.seam([(x, 0.26), (x, 0.4)], k.accent, width=0.012, opacity=1.0)
    if k.detail == "zip":
        p.seam([(0.5, 0.27), (0.5, hem)], (210, 212, 216), width=0.014, opacity=1.0)
    pocket = np.array(
        [(0.5 - half * 0.35, 0.62), (0.5 + half * 0.35, 0.62), (0.5 + half * 0.62, 0.77), (0.5 - half * 0.62, 0.77)]
    )
    p.seam(np.concatenate([pocket, pocket[:1]]), seam_color(k.color), width=0.008, opacity=0.8)
    p.mark(k.mark, 0.5, 0.49, 0.1, k.mark_color)


def _dress(p: Painter, k: Look) -> None:
    waist, hem = k.span("waist", 0.11, 0.15), k.span("flare", 0.24, 0.36)
    length = {"mini": 0.78, "midi": 0.95}[k.shape]
    bust, top = waist * 1.25, 0.06
    sleeve = [
        (0.5 + bust * 0.45, 0.08),
        (0.5 + bust * 1.05, 0.11),
        (0.5 + bust * 1.7, 0.26),
        (0.5 + bust * 1.2, 0.31),
        (0.5 + bust * 0.9, 0.25),
    ]
    for sign, arm in both_sides(sleeve):
        if k.detail == "strappy":
            p.stroke([(0.5 + sign * bust * 0.62, 0.18), (0.5 + sign * bust * 0.5, top)], 0.018, k.plain)
        else:
            p.puffy(smooth(arm, steps=4), k.body, depth=0.03, folds=0.1)
    neck = (
        [(0.5, 0.2), (0.5 + bust * 0.75, 0.17)]
        if k.detail == "strappy"
        else [(0.5, 0.15), (0.5 + bust * 0.45, 0.07), (0.5 + bust * 0.9, 0.1)]
    )
    side = smooth(
        [(0.5 + bust, 0.24), (0.5 + waist, 0.4), (0.5 + waist * 1.2, 0.48), (0.5 + hem, length)], closed=False
    )
    scallop = arc(0.5, length, hem, 0.03, 0, 90, 10)
    p.puffy(mirrored(np.concatenate([np.array(neck), side, scallop])), k.body, depth=0.05, folds=0.26)
    for spread in (-0.62, -0.22, 0.22, 0.62):
        p.seam(
            [(0.5 + spread * waist, 0.46), (0.5 + spread * hem, length)],
            seam_color(k.color, 0.75),
            width=0.01,
            opacity=0.35,
        )
    p.puffy(box(0.5 - waist * 1.02, 0.385, 0.5 + waist * 1.02, 0.425, 0.01), k.trim("satin"), depth=0.015)
    p.mark(k.mark, 0.5, 0.66, 0.085, k.mark_color)


def _trousers(p: Painter, k: Look) -> None:
    waist, ankle = k.span("waist", 0.14, 0.18), k.span("leg", 0.055, 0.1)
    bottom = {"long": 0.96, "cropped": 0.78, "short": 0.52}[k.shape]
    knee = waist + 0.03
    open_leg = {"long": 1.0, "cropped": 1.05, "short": 1.6}[k.shape]
    foot = ankle * open_leg
    right = smooth(
        [
            (0.5 + waist, 0.08),
            (0.5 + waist * 1.2, 0.26),
            (0.5 + knee * 1.02, 0.5),
            (0.5 + knee * 0.85 + foot * 0.4, bottom),
        ],
        closed=False,
    )
    right = right[right[:, 1] <= bottom]
    for sign in (-1, 1):
        inner = [(0.5 + knee * 0.85 - foot * 1.2 + 0.02, bottom), (0.505, 0.38), (0.5, 0.3), (0.5, 0.08)]
        leg = np.concatenate([right, np.array(inner)])
        leg[:, 0] = 0.5 + sign * (leg[:, 0] - 0.5)
        p.puffy(leg, k.body, depth=0.04, folds=0.16)
    p.flat(box(0.5 - waist, 0.06, 0.5 + waist, 0.115, 0.01), k.trim("leather"))
    if k.detail == "buckle belt":
        p.puffy(box(0.465, 0.058, 0.535, 0.118, 0.01), Surface((208, 196, 150), "steel"), depth=0.01)
    seam = seam_color(k.color)
    p.seam([(0.5, 0.12), (0.5, 0.36)], seam, opacity=0.8)
    for sign in (-1, 1):
        p.seam(
            [(0.5 + sign * waist * 0.55, 0.115), (0.5 + sign * waist * 0.75, 0.19), (0.5 + sign * waist * 1.12, 0.21)],
            seam,
            width=0.008,
            opacity=0.8,
        )
    p.mark(k.mark, 0.5 + waist * 0.62, 0.32, 0.05, k.mark_color)


_COTTON = ("cotton", "linen")
DRAWERS: dict[str, Drawer] = {
    "t-shirt": _tshirt,
    "hoodie": _hoodie,
    "dress": _dress,
    "trousers": _trousers,
}
