"""Furniture and things for a room."""

from __future__ import annotations

import numpy as np

from ..geometry import arc, box, circle, smooth
from ..painter import Painter, Surface
from ..spec import Drawer, Look
from .parts import clock_hands

GLOW = Surface((255, 240, 196), "wax")


def _lamp(p: Painter, k: Look) -> None:
    top, low = k.span("top", 0.12, 0.2), k.span("shade", 0.26, 0.36)
    drop = k.span("height", 0.42, 0.52)
    base = k.trim("ceramic")
    if k.detail == "gourd base":
        p.revolve([(drop, 0.03), (0.6, 0.1), (0.68, 0.07), (0.8, 0.16), (0.9, 0.13), (0.93, 0.1)], base)
    elif k.detail == "column base":
        p.revolve([(drop, 0.045), (0.87, 0.055)], base, curved=False)
        p.revolve([(0.86, 0.16), (0.93, 0.17)], base)
    else:
        for x in (-0.22, 0.22):
            p.stroke([(0.5 + x * 0.15, drop), (0.5 + x, 0.94)], 0.026, k.trim("wood"))
        p.stroke([(0.5, drop), (0.5, 0.9)], 0.026, k.trim("wood"))
    p.stroke([(0.5, drop - 0.03), (0.5, drop + 0.06)], 0.024, Surface((212, 190, 128), "steel"))
    p.flat(circle(0.5, drop, low * 0.97, low * p.rim * 0.85), GLOW)
    if k.shape == "dome":
        t = np.linspace(0.05, 1.0, 12)
        p.revolve([(0.06 + (drop - 0.06) * v, low * np.sqrt(1 - (1 - v) ** 2)) for v in t], k.body, curved=False)
    elif k.shape == "drum":
        p.revolve([(0.08, low * 0.86), (drop, low * 0.94)], k.body)
        p.flat(circle(0.5, 0.08, low * 0.86, low * 0.86 * p.rim), k.plain.toned(1.4))
    else:
        p.revolve([(0.08, top), (drop, low)], k.body)
        p.flat(circle(0.5, 0.08, top, top * p.rim), k.plain.toned(1.4))
    p.mark(k.mark, 0.5, 0.3, 0.09, k.mark_color, wrap=low * 0.8)


def _chair(p: Painter, k: Look) -> None:
    half, seat = k.span("width", 0.22, 0.28), k.span("seat", 0.54, 0.6)
    legs = k.trim("wood")
    for x, y, tilt in ((-0.72, 0.84, -0.02), (0.72, 0.84, 0.02)):
        p.stroke([(0.5 + x * half, seat), (0.5 + x * half + tilt, y)], 0.032, legs.toned(0.75))
    if k.shape == "spindle":
        for x in np.linspace(-0.8, 0.8, 5):
            p.stroke([(0.5 + x * half * 0.95, 0.13), (0.5 + x * half * 0.92, seat)], 0.022, k.plain)
        p.puffy(box(0.5 - half, 0.07, 0.5 + half, 0.17, 0.04), k.body, depth=0.03)
    elif k.shape == "round back":
        p.puffy(circle(0.5, 0.27, half * 0.95, 0.21, 48), k.body, depth=0.06)
        p.stroke([(0.5, 0.45), (0.5, seat)], 0.08, legs)
    else:
        p.puffy(box(0.5 - half * 0.95, 0.06, 0.5 + half * 0.95, seat, 0.07), k.body, depth=0.06)
    if k.detail == "armrests":
        for sign in (-1, 1):
            p.stroke(
                [
                    (0.5 + sign * half * 0.95, 0.4),
                    (0.5 + sign * half * 1.25, 0.42),
                    (0.5 + sign * half * 1.25, seat + 0.06),
                ],
                0.034,
                legs,
            )
    for sign in (-1, 1):
        p.stroke([(0.5 + sign * half * 0.95, seat + 0.08), (0.5 + sign * half * 1.06, 0.94)], 0.036, legs)
    cushion = smooth(
        [
            (0.5 - half * 0.95, seat - 0.03),
            (0.5 + half * 0.95, seat - 0.03),
            (0.5 + half * 1.12, seat + 0.08),
            (0.5 - half * 1.12, seat + 0.08),
        ],
        steps=6,
    )
    p.puffy(np.concatenate([cushion]), k.body, depth=0.045)
    p.puffy(box(0.5 - half * 1.13, seat + 0.075, 0.5 + half * 1.13, seat + 0.11, 0.015), legs, depth=0.015)
    p.mark(k.mark, 0.5, 0.28, 0.09, k.mark_color)


def _stool(p: Painter, k: Look) -> None:
    half, seat = k.span("width", 0.22, 0.3), k.span("seat", 0.24, 0.4)
    legs = k.trim("wood")
    spread = 1.15 if k.detail == "splayed legs" else 0.88
    p.stroke([(0.5, seat), (0.5, 0.86)], 0.034, legs.toned(0.75))
    for sign in (-1, 1):
        p.stroke([(0.5 + sign * half * 0.72, seat + 0.04), (0.5 + sign * half * spread, 0.94)], 0.04, legs)
    p.stroke([(0.5 - half * (0.72 + spread) / 2, 0.68), (0.5 + half * (0.72 + spread) / 2, 0.68)], 0.022, legs)
    thick = 0.12 if k.shape == "padded" else 0.05
    p.revolve([(seat - thick * 0.5, half * 0.97), (seat, half), (seat + thick * 0.5, half * 0.96)], k.body)
    p.puffy(circle(0.5, seat - thick * 0.5, half * 0.97, half * p.rim * 1.1, 48), k.body, depth=0.03)
    if k.shape == "padded":
        p.seam(arc(0.5, seat + 0.01, half, half * p.rim, 0, 180), k.accent, width=0.012, opacity=0.9)


def _cushion(p: Painter, k: Look) -> None:
    w = k.span("width", 0.36, 0.42)
    h = w * {"square": k.span("height", 0.92, 1.0), "lumbar": k.span("height", 0.55, 0.68), "round": 0.96}[k.shape]
    if k.shape == "round":
        body = circle(0.5, 0.5, w, h, 60)
    else:
        corners = [
            (-1, -1),
            (-0.5, -0.9),
            (0.5, -0.9),
            (1, -1),
            (0.93, 0),
            (1, 1),
            (0.5, 0.9),
            (-0.5, 0.9),
            (-1, 1),
            (-0.93, 0),
        ]
        body = smooth([(0.5 + x * w, 0.5 + y * h) for x, y in corners], steps=6)
    if k.detail == "tassels" and k.shape != "round":
        for x in (-1, 1):
            for y in (-1, 1):
                for spread in (-0.25, 0.0, 0.25):
                    p.stroke(
                        [
                            (0.5 + x * w * 0.98, 0.5 + y * h * 0.98),
                            (0.5 + x * w * (1.12 + spread * 0.2), 0.5 + y * h * (1.14 - spread * 0.25)),
                        ],
                        0.018,
                        k.trim("wool"),
                    )
    p.puffy(body, k.body, depth=0.13, folds=0.12)
    p.seam(np.concatenate([body, body[:1]]), k.accent, width=0.018, opacity=1.0)
    if k.detail == "button":
        p.ball(0.5, 0.5, 0.035, k.trim("cotton"))
    p.mark(k.mark, 0.5, 0.5, min(w, h) * 0.5, k.mark_color)


def _clock(p: Painter, k: Look) -> None:
    radius, rim = k.span("size", 0.36, 0.43), k.span("rim", 0.03, 0.07)
    outline = {
        "round": circle(0.5, 0.5, radius, count=72),
        "square": box(0.5 - radius, 0.5 - radius, 0.5 + radius, 0.5 + radius, 0.07),
        "octagonal": np.array(
            [
                (0.5 + radius * 1.04 * np.cos(a), 0.5 + radius * 1.04 * np.sin(a))
                for a in np.pi / 8 + np.arange(8) * np.pi / 4
            ]
        ),
    }[k.shape]
    p.puffy(outline, k.body, depth=0.03)
    inner = (outline - 0.5) * (1.0 - rim / radius * 1.6) + 0.5
    p.flat(inner, k.plain.toned(0.7))
    face = (outline - 0.5) * (1.0 - rim / radius * 1.85) + 0.5
    p.flat(face, k.trim("paper"))
    ink = (40, 40, 44) if sum(k.accent) > 380 else (244, 244, 240)
    reach = radius * 0.72
    for i in range(12):
        a = i * np.pi / 6
        direction = np.array([np.sin(a), -np.cos(a)])
        if k.detail == "dots":
            dot = circle(0.0, 0.0, 0.022 if i % 3 == 0 else 0.012, count=14)
            p.decal(0.5 + direction * reach + dot, ink)
        else:
            long = 0.09 if i % 3 == 0 else 0.045
            p.seam(
                [0.5 + direction * (reach + 0.03 - long), 0.5 + direction * (reach + 0.03)],
                ink,
                width=0.016,
                opacity=1.0,
            )
    p.mark(k.mark, 0.5, 0.5 + radius * 0.38, radius * 0.2, k.mark_color)
    clock_hands(p, k, radius, ink, hour=(0.45, 0.028), minute=(0.66, 0.018))
    p.ball(0.5, 0.5, 0.026, k.plain)


DRAWERS: dict[str, Drawer] = {
    "table lamp": _lamp,
    "chair": _chair,
    "stool": _stool,
    "cushion": _cushion,
    "wall clock": _clock,
}
