"""Accessories and electronics."""

from __future__ import annotations

import numpy as np

from ..geometry import arc, box, circle, mirrored, smooth
from ..painter import Painter, Surface
from ..spec import Drawer, Look
from .parts import clock_hands

STEEL = Surface((204, 208, 212), "steel")
DARK = Surface((50, 50, 54), "plastic")


def _sunglasses(p: Painter, k: Look) -> None:
    wide, tall = k.span("width", 0.19, 0.22), k.span("height", 0.14, 0.19)
    thick = k.span("frame", 0.025, 0.045)
    for sign in (-1, 1):
        p.stroke(
            smooth([(0.5 + sign * 0.43, 0.42), (0.5 + sign * 0.47, 0.36), (0.5 + sign * 0.4, 0.25)], closed=False),
            0.028,
            k.plain.toned(0.8),
        )
    arch = (
        arc(0.5, 0.46, 0.07, 0.045, 190, 350)
        if k.detail == "keyhole bridge"
        else np.array([(0.42, 0.42), (0.58, 0.42)])
    )
    p.stroke(arch, 0.026, k.plain)
    for sign in (-1, 1):
        cx = 0.5 + sign * 0.235
        if k.shape == "round":
            lens = circle(0, 0, wide * 0.88, wide * 0.88, 48)
        elif k.shape == "square":
            lens = box(-wide, -tall, wide, tall, 0.05)
        elif k.shape == "aviator":
            lens = smooth(
                [
                    (-wide * 0.9, -tall * 0.85),
                    (wide * 0.95, -tall * 0.85),
                    (wide, 0.0),
                    (wide * 0.5, tall * 1.15),
                    (-wide * 0.4, tall * 1.0),
                    (-wide * 0.85, 0.1 * tall),
                ]
            )
        else:
            lens = smooth(
                [
                    (-wide * 0.85, -tall * 0.5),
                    (0.2 * wide, -tall * 0.75),
                    (wide * 1.15, -tall * 1.1),
                    (wide, tall * 0.1),
                    (wide * 0.3, tall * 0.85),
                    (-wide * 0.75, tall * 0.5),
                ]
            )
        lens = lens * (sign, 1.0)
        p.puffy(lens + np.array([cx, 0.5]), k.body, depth=0.018)
        glass = lens * (1.0 - thick / wide, 1.0 - thick / tall) + (cx, 0.5)
        p.puffy(glass, k.trim("enamel").toned(0.92), depth=0.03)
        shine = np.array([(-0.1, -0.06), (-0.02, -0.06), (-0.1, 0.08), (-0.14, 0.05)]) * (wide / 0.2) + (cx, 0.5)
        p.decal(shine, (255, 255, 255), opacity=0.3)


def _watch(p: Painter, k: Look) -> None:
    radius, strap = k.span("case", 0.17, 0.22), k.span("strap", 0.09, 0.125)
    for sign in (-1, 1):
        taper = 0.8
        band = np.array([(-strap, 0.0), (strap, 0.0), (strap * taper, 1.0), (-strap * taper, 1.0)])
        band = band * (1.0, sign * 0.44) + (0.5, 0.5)
        p.puffy(band, k.body, depth=0.02)
        if k.detail == "link strap":
            for t in np.linspace(0.46, 0.98, 8):
                y = 0.5 + sign * 0.44 * t
                p.seam([(0.5 - strap, y), (0.5 + strap, y)], k.plain.toned(0.5).color, width=0.009, opacity=0.8)
        else:
            for x in (-1, 1):
                p.seam(
                    [(0.5 + x * strap * 0.82, 0.5 + sign * 0.2), (0.5 + x * strap * 0.68, 0.5 + sign * 0.43)],
                    k.plain.toned(1.5).color,
                    width=0.006,
                    opacity=0.7,
                )
    p.puffy(box(0.5 - strap * 0.9, 0.045, 0.5 + strap * 0.9, 0.085, 0.01), STEEL, depth=0.012)
    p.puffy(box(0.5 + radius * 0.95, 0.475, 0.535 + radius, 0.525, 0.01), STEEL, depth=0.01)
    square = k.shape == "square"
    case = (
        box(0.5 - radius, 0.5 - radius, 0.5 + radius, 0.5 + radius, 0.05)
        if square
        else circle(0.5, 0.5, radius, count=60)
    )
    p.puffy(case, STEEL, depth=0.025)
    p.flat((case - 0.5) * 0.84 + 0.5, k.trim("paper"))
    ink = (36, 36, 40) if sum(k.accent) > 380 else (244, 244, 240)
    for i in range(12):
        a = i * np.pi / 6
        d = np.array([np.sin(a), -np.cos(a)])
        p.seam(
            [0.5 + d * radius * 0.62, 0.5 + d * radius * (0.74 if i % 3 else 0.77)],
            ink,
            width=0.014 if i % 3 == 0 else 0.007,
            opacity=1.0,
        )
    clock_hands(p, k, radius, ink, hour=(0.4, 0.017), minute=(0.6, 0.012))


def _umbrella(p: Painter, k: Look) -> None:
    half, top = k.span("width", 0.38, 0.46), k.span("height", 0.1, 0.2)
    edge = 0.54
    p.stroke([(0.5, top - 0.05), (0.5, top + 0.02)], 0.02, STEEL)
    p.stroke([(0.5, edge - 0.05), (0.5, 0.86)], 0.018, STEEL)
    if k.detail == "hook handle":
        p.stroke(
            np.concatenate([[(0.5, 0.76), (0.5, 0.88)], arc(0.555, 0.885, 0.055, 0.06, 180, 20, 14)]),
            0.036,
            k.trim("wood"),
        )
    else:
        p.puffy(box(0.472, 0.76, 0.528, 0.95, 0.025), k.trim("wood"), depth=0.025)
    ribs = 6 if k.shape == "wide" else 5
    xs = np.linspace(-half, half, ribs + 1)
    dome = arc(0.5, edge, half, edge - top, 180, 360, 40)
    scallops = [
        arc(0.5 + (a + b) / 2, edge, (b - a) / 2, 0.055, 360, 180, 10)
        for a, b in zip(xs[-2::-1], xs[:0:-1], strict=True)
    ]
    p.puffy(np.concatenate([dome, *scallops]), k.body, depth=0.11)
    for x in xs[1:-1]:
        t = np.linspace(0, 1, 12)
        bend = np.sin(t * np.pi / 2)
        path = np.stack([0.5 + x * bend, top + (edge - top) * (1 - np.sqrt(np.maximum(1 - bend**2, 0)))], 1)
        p.seam(path, k.plain.toned(0.6).color, width=0.007, opacity=0.6)
    p.mark(k.mark, 0.5, 0.37, 0.09, k.mark_color)


def _headphones(p: Painter, k: Look) -> None:
    half, cup = k.span("width", 0.29, 0.35), k.span("cup", 0.11, 0.15)
    p.stroke(arc(0.5, 0.56, half, 0.46, 180, 360, 40), 0.062, k.body)
    p.stroke(arc(0.5, 0.56, half - 0.012, 0.43, 215, 325, 30), 0.034, k.trim("leather"))
    for sign in (-1, 1):
        x = 0.5 + sign * half
        p.stroke([(x, 0.46), (x, 0.6)], 0.034, STEEL)
        p.puffy(
            box(min(x, x - sign * 0.075), 0.68 - cup * 1.15, max(x, x - sign * 0.075), 0.68 + cup * 1.15, 0.04),
            k.trim("leather"),
            depth=0.03,
        )
        shell = (
            circle(x + sign * 0.03, 0.68, cup * 0.72, cup * 1.25, 40)
            if k.shape == "oval"
            else circle(x + sign * 0.03, 0.68, cup * 0.95, cup, 40)
        )
        p.puffy(shell, k.body, depth=0.05)
        if k.detail == "ring cups":
            p.puffy((shell - (x + sign * 0.03, 0.68)) * 0.62 + (x + sign * 0.03, 0.68), k.trim("plastic"), depth=0.02)
        p.mark(k.mark, x + sign * 0.03, 0.68, cup * 0.45, k.mark_color)


def _phone_case(p: Painter, k: Look) -> None:
    half, tall = k.span("width", 0.21, 0.24), k.span("height", 0.42, 0.46)
    p.puffy(box(0.49 - half, 0.5 - tall, 0.51 + half, 0.5 + tall, 0.075), k.trim("rubber"), depth=0.02)
    p.puffy(box(0.5 - half, 0.51 - tall, 0.5 + half, 0.49 + tall, 0.065), k.body, depth=0.025)
    island = {
        "square camera": (0.17, 0.17, 0.04),
        "pill camera": (0.095, 0.23, 0.047),
        "bar camera": (half * 1.8, 0.1, 0.04),
    }[k.shape]
    x, y = 0.53 - half, 0.54 - tall
    p.puffy(box(x, y, x + island[0], y + island[1], island[2]), DARK, depth=0.02)
    lenses = {
        "square camera": ((0.05, 0.05), (0.12, 0.05), (0.05, 0.12)),
        "pill camera": ((0.047, 0.06), (0.047, 0.165)),
        "bar camera": ((0.07, 0.05), (0.16, 0.05), (0.25, 0.05)),
    }[k.shape]
    for dx, dy in lenses:
        p.ball(x + dx, y + dy, 0.031, Surface((28, 30, 44), "lacquer"))
    p.mark(k.mark, 0.5, 0.6, half * 0.62, k.mark_color)


def _speaker(p: Painter, k: Look) -> None:
    half, tall = k.span("width", 0.22, 0.3), k.span("height", 0.36, 0.43)
    p.puffy(
        box(0.5 - half, 0.5 - tall, 0.5 + half, 0.5 + tall, 0.03 if k.shape == "boxy" else 0.12), k.body, depth=0.045
    )
    cone = k.trim("rubber")
    for cy, r in ((0.5 + tall * 0.36, half * 0.72), (0.5 - tall * 0.48, half * 0.42)):
        p.puffy(circle(0.5, cy, r, count=56), STEEL if k.detail == "metal rings" else DARK, depth=0.015)
        p.puffy(circle(0.5, cy, r * 0.88, count=56), cone, depth=0.05)
        p.puffy(circle(0.5, cy, r * 0.62, count=56), cone.toned(0.75), depth=0.04)
        p.ball(0.5, cy, r * 0.3, cone.toned(1.1))
    p.mark(k.mark, 0.5 + half * 0.7, 0.5 - tall * 0.84, 0.04, k.mark_color)


def _camera(p: Painter, k: Look) -> None:
    half, tall = k.span("width", 0.36, 0.42), k.span("height", 0.2, 0.25)
    p.puffy(box(0.62, 0.44 - tall, 0.74, 0.5 - tall * 0.8, 0.015), STEEL, depth=0.015)
    if k.detail == "viewfinder hump":
        p.puffy(
            np.array([(0.4, 0.52 - tall), (0.43, 0.43 - tall), (0.57, 0.43 - tall), (0.6, 0.52 - tall)]),
            STEEL,
            depth=0.025,
        )
    else:
        p.puffy(box(0.24, 0.45 - tall, 0.34, 0.52 - tall, 0.01), STEEL, depth=0.015)
    p.puffy(box(0.5 - half, 0.5 - tall, 0.5 + half, 0.52 + tall, 0.05), STEEL, depth=0.03)
    p.puffy(box(0.5 - half, 0.56 - tall, 0.5 + half, 0.47 + tall, 0.02), k.body, depth=0.02)
    lens = k.span("lens", 0.15, 0.19)
    rings: tuple[tuple[float, Surface], ...] = (
        (1.0, k.trim("plastic")),
        (0.82, DARK),
        (0.66, k.trim("plastic").toned(0.8)),
        (0.5, Surface((26, 28, 46), "lacquer")),
    )
    if k.shape == "zoom":
        rings = ((1.15, DARK), *rings)
    for r, surface in rings:
        p.puffy(circle(0.5, 0.53, lens * r, count=56), surface, depth=0.02)
    p.decal(circle(0.47, 0.49, lens * 0.13, count=16), (190, 206, 240), opacity=0.8)
    p.puffy(
        box(0.55 + lens, 0.6 - tall, 0.47 + half, 0.66 - tall, 0.012), Surface((248, 240, 210), "glass"), depth=0.01
    )


def _perfume(p: Painter, k: Look) -> None:
    half, top = k.span("width", 0.2, 0.3), k.span("height", 0.34, 0.46)
    cap = k.trim("lacquer")
    if k.detail == "ball cap":
        p.ball(0.5, top - 0.14, 0.09, cap)
    else:
        p.puffy(box(0.42, top - 0.22, 0.58, top - 0.05, 0.02), cap, depth=0.03)
    p.puffy(box(0.45, top - 0.07, 0.55, top + 0.02), Surface((220, 196, 130), "steel"), depth=0.02)
    if k.shape == "round":
        body = circle(0.5, (top + 0.93) / 2, half * 1.1, (0.93 - top) / 2, 60)
    elif k.shape == "square":
        body = box(0.5 - half, top, 0.5 + half, 0.92, 0.05)
    else:
        body = mirrored(
            [(0.5, top), (0.5 + half * 0.45, top), (0.5 + half, top + 0.16), (0.5 + half * 0.8, 0.92), (0.5, 0.92)]
        )
    p.puffy(body, k.body, depth=0.05)
    inner = (body - (0.5, (top + 0.92) / 2)) * 0.8 + (0.5, (top + 0.92) / 2 + 0.012)
    p.puffy(inner, k.body, depth=0.02)
    p.decal(box(0.5 - half * 0.52, 0.6, 0.5 + half * 0.52, 0.8, 0.01), (250, 248, 240))
    p.mark(k.mark, 0.5, 0.7, min(half * 0.36, 0.075), k.mark_color)


DRAWERS: dict[str, Drawer] = {
    "sunglasses": _sunglasses,
    "wristwatch": _watch,
    "umbrella": _umbrella,
    "headphones": _headphones,
    "phone case": _phone_case,
    "speaker": _speaker,
    "camera": _camera,
    "perfume": _perfume,
}
