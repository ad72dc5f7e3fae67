"""Vessels: bodies of revolution for the kitchen and the home."""

from __future__ import annotations

import numpy as np

from ..geometry import arc, box, circle, smooth
from ..painter import Painter, Surface
from ..spec import Drawer, Look

SOIL = Surface((74, 52, 38), "felt")
GREENERY = ((62, 132, 70), (88, 156, 84), (46, 108, 66), (120, 168, 96))


def _mug(p: Painter, k: Look) -> None:
    radius, height = k.span("width", 0.21, 0.3), k.span("height", 0.44, 0.66)
    top, bottom = 0.5 - height / 2, 0.5 + height / 2
    foot = {"straight": 1.0, "tapered": 0.74, "rounded": 0.72}[k.shape] * radius
    grip = k.span("handle", 0.13, 0.18)
    middle = 0.5 - 0.02 * height
    if k.detail == "square handle":
        inner, outer, upper, lower = (
            0.4 + radius * 0.95,
            0.4 + radius + grip,
            middle - height * 0.28,
            middle + height * 0.26,
        )
        path = np.array([(inner, upper), (outer, upper), (outer, lower), (inner, lower)])
    else:
        path = arc(0.4 + radius * 0.93, middle, grip, height * 0.3, -82, 82)
    p.stroke(path, 0.05, k.plain)
    if k.shape == "rounded":
        profile = [(top, radius * 0.9), (0.5, radius), (bottom - 0.1 * height, radius * 0.92), (bottom, foot)]
    else:
        profile = [(top, radius), (bottom, foot)]
    p.revolve(profile, k.body, cx=0.4)
    lip = radius * (0.9 if k.shape == "rounded" else 1.0)
    p.flat(circle(0.4, top, lip, lip * p.rim, 48), k.plain.toned(1.15))
    p.puffy(circle(0.4, top, lip - 0.014, (lip - 0.014) * p.rim * 0.94, 48), k.trim("ceramic").toned(0.86), depth=0.05)
    p.mark(k.mark, 0.4, 0.53, min(radius * 0.55, height * 0.26), k.mark_color, wrap=radius * 0.93)


def _bottle(p: Painter, k: Look) -> None:
    radius, neck = k.span("width", 0.12, 0.18), k.span("neck", 0.05, 0.075)
    shoulder = k.span("shoulder", 0.3, 0.42)
    if k.shape == "slim":
        profile = [(0.16, neck), (0.22, neck), (shoulder, radius * 0.85), (0.6, radius * 0.85), (0.93, radius * 0.85)]
    elif k.shape == "curved":
        profile = [
            (0.16, neck),
            (0.22, neck),
            (0.36, radius),
            (0.58, radius * 0.78),
            (0.8, radius),
            (0.93, radius * 0.9),
        ]
    else:
        profile = [(0.16, neck * 1.5), (0.22, neck * 1.6), (shoulder - 0.04, radius), (0.6, radius), (0.93, radius)]
    p.revolve(profile, k.body)
    cap = neck * (1.7 if k.shape == "wide" else 1.25)
    if k.detail == "loop cap":
        p.stroke(arc(0.5, 0.085, cap * 0.9, 0.05, 180, 360), 0.022, k.trim("plastic"))
    p.revolve([(0.085, cap), (0.17, cap)], k.trim("plastic"))
    p.flat(circle(0.5, 0.085, cap, cap * p.rim, 32), k.trim("plastic").toned(1.15))
    p.mark(k.mark, 0.5, 0.62, radius * 0.62, k.mark_color, wrap=radius * 0.9)


def _vase(p: Painter, k: Look) -> None:
    wide, neck = k.span("belly", 0.2, 0.3), k.span("neck", 0.07, 0.13)
    top = k.span("height", 0.06, 0.2)
    profile = {
        "amphora": [
            (top, neck * 1.35),
            (top + 0.1, neck),
            (0.42, wide * 0.95),
            (0.6, wide * 0.9),
            (0.93, wide * 0.42),
        ],
        "tulip": [(top, wide * 0.85), (0.4, wide * 0.6), (0.62, wide * 0.95), (0.82, wide * 0.8), (0.93, wide * 0.6)],
        "bulb": [(top, neck), (0.36, neck), (0.55, wide * 0.8), (0.74, wide), (0.88, wide * 0.85), (0.93, wide * 0.6)],
        "cylinder": [(top, wide * 0.6), (0.5, wide * 0.6), (0.93, wide * 0.6)],
    }[k.shape]
    p.revolve(profile, k.body)
    p.opening(0.5, top, profile[0][1], k.plain)
    p.mark(k.mark, 0.5, 0.64, wide * 0.4, k.mark_color, wrap=wide * 0.8)


def _jar(p: Painter, k: Look) -> None:
    radius, top = k.span("width", 0.22, 0.32), k.span("height", 0.14, 0.34)
    waist = 0.82 if k.shape == "tapered" else 1.0
    profile = [(top, radius * 0.84), (top + 0.07, radius), (0.6, radius * (1 + waist) / 2), (0.86, radius * waist)]
    p.revolve([*profile, (0.92, radius * waist * 0.92)], k.body)
    lid = k.trim("wood" if k.detail == "flat lid" else "ceramic")
    p.revolve([(top - 0.08, radius * 0.87), (top + 0.015, radius * 0.87)], lid)
    p.flat(circle(0.5, top - 0.08, radius * 0.87, radius * 0.87 * p.rim, 48), lid.toned(1.16))
    if k.detail == "knob lid":
        p.ball(0.5, top - 0.12, 0.05, lid)
    if k.mark:
        p.decal(box(0.5 - radius * 0.6, 0.46, 0.5 + radius * 0.6, 0.8, 0.03), (246, 242, 230))
        p.mark(k.mark, 0.5, 0.63, min(radius * 0.42, 0.14), k.mark_color)


def _teapot(p: Painter, k: Look) -> None:
    radius, middle = k.span("belly", 0.24, 0.29), 0.57
    height = radius * {"round": 0.95, "squat": 0.74, "tall": 1.12}[k.shape]
    spout = smooth(
        [
            (0.5 - radius * 0.7, middle + height * 0.3),
            (0.5 - radius * 1.3, middle - height * 0.05),
            (0.5 - radius * 1.62, middle - height * 0.62),
            (0.5 - radius * 1.86, middle - height * 0.78),
            (0.5 - radius * 1.72, middle - height * 0.5),
            (0.5 - radius * 1.5, middle + height * 0.25),
            (0.5 - radius * 0.7, middle + height * 0.75),
        ]
    )
    p.puffy(spout, k.plain, depth=0.04)
    if k.detail == "top handle":
        p.stroke(arc(0.5, middle - height * 0.5, radius * 0.95, height * 1.25, 188, 352), 0.035, k.trim("wood"))
    else:
        p.stroke(arc(0.5 + radius * 0.85, middle, radius * 0.68, height * 0.62, -95, 95), 0.045, k.plain)
    t = np.linspace(-0.93, 0.9, 14)
    p.revolve([(middle + height * v, radius * np.sqrt(1 - v * v)) for v in t], k.body, curved=False)
    lid = [
        (middle - height * 1.04, radius * 0.2),
        (middle - height * 0.97, radius * 0.4),
        (middle - height * 0.84, radius * 0.58),
    ]
    p.revolve(lid, k.plain.toned(1.04))
    p.ball(0.5, middle - height * 1.14, 0.035, k.trim("wood"))
    p.mark(k.mark, 0.5, middle + 0.03, height * 0.42, k.mark_color, wrap=radius * 0.95)


def _kettle(p: Painter, k: Look) -> None:
    base, shoulder = k.span("base", 0.25, 0.3), k.span("shoulder", 0.13, 0.18)
    top = k.span("height", 0.3, 0.38)
    tip = 0.5 - base * 1.45
    p.puffy(
        smooth([(0.4, 0.55), (tip, top + 0.05), (tip - 0.03, top + 0.1), (0.28, 0.72), (0.4, 0.74)]),
        k.plain,
        depth=0.03,
    )
    handle = k.trim("plastic")
    if k.detail == "side handle":
        p.stroke(smooth([(0.5, top), (0.8, top + 0.02), (0.86, 0.5), (0.74, 0.74)], closed=False), 0.05, handle)
    else:
        p.stroke(arc(0.5, top + 0.14, base * 0.8, top + 0.04, 176, 364, 36), 0.04, handle)
    bulge = 1.06 if k.shape == "rounded" else 0.9
    p.revolve([(top, shoulder), (top + 0.2, base * bulge * 0.86), (0.7, base * bulge), (0.86, base)], k.body)
    p.revolve([(0.86, base), (0.9, base * 0.96)], handle)
    p.revolve([(top - 0.035, shoulder * 0.6), (top + 0.005, shoulder * 0.98)], k.plain.toned(0.9))
    p.ball(0.5, top - 0.06, 0.032, handle)
    p.mark(k.mark, 0.5, 0.67, 0.1, k.mark_color, wrap=base)


def _plant_pot(p: Painter, k: Look) -> None:
    radius, top = k.span("width", 0.2, 0.27), k.span("height", 0.54, 0.64)
    leaf_rng = np.random.Generator(np.random.PCG64(k.noise_seed))
    count = {"fern": 13, "succulent": 11, "sansevieria": 8}[k.detail]
    for i in range(count):
        spread = (i / (count - 1) - 0.5) * 2.0
        reach = {"fern": 0.36, "succulent": 0.2, "sansevieria": 0.46}[k.detail] * leaf_rng.uniform(0.8, 1.0)
        fan = {"fern": 1.15, "succulent": 1.3, "sansevieria": 0.4}[k.detail]
        angle = spread * fan + leaf_rng.uniform(-0.08, 0.08)
        half = {"fern": 0.035, "succulent": 0.055, "sansevieria": 0.036}[k.detail]
        tip = np.array([0.5 + spread * radius * 0.35 + reach * np.sin(angle), top - reach * np.cos(angle)])
        root = np.array([0.5 + spread * radius * 0.45, top + 0.01])
        side = np.array([np.cos(angle), np.sin(angle)]) * half
        droop = np.array([0.0, -0.06 if k.detail == "fern" else 0.0])
        middle = (root + tip) / 2 + droop
        outline = smooth([root - side * 0.4, middle - side, tip, middle + side, root + side * 0.4])
        leaf = Surface(GREENERY[int(leaf_rng.integers(len(GREENERY)))], "silicone")
        p.puffy(outline, leaf, depth=0.02)
        p.seam([root, middle, tip], (214, 230, 190), width=0.005, opacity=0.5)
    foot = {"tapered": 0.7, "straight": 0.97, "rounded": 0.62}[k.shape] * radius
    profile = [(top, radius), (0.94, foot)]
    if k.shape == "rounded":
        profile = [(top, radius * 0.88), (top + 0.13, radius), (0.94, foot)]
    p.revolve(profile, k.body)
    if k.shape == "tapered":
        p.revolve([(top - 0.02, radius * 1.08), (top + 0.05, radius * 1.06)], k.plain)
    p.mark(k.mark, 0.5, (top + 0.94) / 2 + 0.03, 0.1, k.mark_color, wrap=radius * 0.85)


def _candle(p: Painter, k: Look) -> None:
    radius, top = k.span("width", 0.16, 0.27), k.span("height", 0.2, 0.45)
    p.puffy(
        smooth([(0.5, top - 0.15), (0.535, top - 0.07), (0.5, top - 0.03), (0.465, top - 0.07)]),
        Surface((255, 186, 60), "wax"),
        depth=0.02,
    )
    p.puffy(
        smooth([(0.5, top - 0.11), (0.515, top - 0.065), (0.5, top - 0.04), (0.485, top - 0.065)]),
        Surface((255, 244, 190), "wax"),
        depth=0.01,
    )
    p.revolve([(top, radius), (0.9, radius * (0.9 if k.shape == "tapered" else 1.0))], k.body)
    p.flat(circle(0.5, top, radius, radius * p.rim, 48), k.plain.toned(1.25))
    p.puffy(circle(0.5, top + 0.004, radius * 0.86, radius * 0.82 * p.rim, 48), k.plain.toned(1.1), depth=0.03)
    p.seam([(0.5, top), (0.5, top - 0.05)], (60, 50, 44), width=0.012, opacity=1.0)
    p.stroke([(0.5, top), (0.5, top - 0.045)], 0.012, Surface((60, 50, 44), "wax"))
    if k.detail == "label":
        p.decal(box(0.5 - radius * 0.97, 0.55, 0.5 + radius * 0.97, 0.8), k.accent)
    p.mark(k.mark, 0.5, 0.675, 0.1, k.mark_color, wrap=radius * 0.95)


def _bowl(p: Painter, k: Look) -> None:
    radius, depth = k.span("width", 0.34, 0.42), k.span("depth", 0.24, 0.36)
    top = 0.42
    bottom = top + depth
    if k.shape == "footed":
        p.revolve([(bottom - 0.05, radius * 0.3), (bottom + 0.05, radius * 0.42)], k.plain)
    belly = 0.96 if k.shape == "deep" else 0.86
    p.revolve(
        [(top, radius), (top + depth * 0.5, radius * belly), (bottom - 0.03, radius * 0.56), (bottom, radius * 0.4)],
        k.body,
    )
    wide = 1.35
    p.flat(circle(0.5, top, radius, radius * p.rim * wide, 56), k.plain.toned(1.15))
    p.puffy(
        circle(0.5, top, radius - 0.016, (radius - 0.016) * p.rim * wide * 0.93, 56),
        k.trim("ceramic").toned(0.9),
        depth=0.07,
    )
    p.mark(k.mark, 0.5, top + depth * 0.52, depth * 0.28, k.mark_color, wrap=radius * 0.9)


def _pan(p: Painter, k: Look) -> None:
    radius, squash = k.span("width", 0.28, 0.33), k.span("tilt", 0.5, 0.66)
    cx, cy = 0.36, 0.52
    handle = k.trim("wood" if k.detail == "riveted handle" else "silicone")
    long = k.span("handle", 0.9, 0.97)
    p.puffy(
        smooth(
            [
                (cx + radius * 0.9, cy - 0.03),
                (0.8, cy - 0.075),
                (long, cy - 0.09),
                (long, cy - 0.03),
                (0.8, cy - 0.01),
                (cx + radius * 0.9, cy + 0.035),
            ]
        ),
        handle,
        depth=0.025,
    )
    depth = 0.14 if k.shape == "deep" else 0.075
    side = np.concatenate(
        [
            arc(cx, cy, radius, radius * squash, 180, 0, 40),
            arc(cx, cy + depth, radius * 0.86, radius * squash * 0.9, 0, 180, 40),
        ]
    )
    p.puffy(side, k.body, depth=0.06)
    p.flat(circle(cx, cy, radius, radius * squash, 60), k.plain.toned(1.2))
    inside = Surface((66, 66, 70), "enamel") if k.shape != "deep" else Surface((206, 208, 212), "steel")
    p.puffy(circle(cx, cy, radius * 0.93, radius * squash * 0.92, 60), inside, depth=0.05)
    p.puffy(circle(cx, cy + 0.015, radius * 0.78, radius * squash * 0.75, 60), inside.toned(1.1), depth=0.02)
    if k.detail == "riveted handle":
        for x in (0.012, 0.05):
            p.ball(cx + radius + x, cy - 0.012 - x * 0.2, 0.012, Surface((205, 208, 212), "steel"))


DRAWERS: dict[str, Drawer] = {
    "mug": _mug,
    "bottle": _bottle,
    "vase": _vase,
    "jar": _jar,
    "teapot": _teapot,
    "kettle": _kettle,
    "plant pot": _plant_pot,
    "candle": _candle,
    "bowl": _bowl,
    "pan": _pan,
}
