"""Soft shadows that a sprite casts on its surroundings."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageDraw, ImageFilter


def cast_shadow(picture: Image.Image, sprite: Image.Image, at: tuple[int, int], *, lies_flat: bool, side: int) -> None:
    """Darken a picture, in place, where a sprite casts its shadow.

    Args:
        picture: What the sprite will be pasted on, RGB.
        sprite: The product, RGBA.
        at: Top left corner of the sprite in pixels.
        lies_flat: Whether the product lies on the picture plane; otherwise it stands on a surface at its lower edge.
        side: Horizontal direction of the shadow, -1 or 1.
    """
    width, height = sprite.size
    alpha = sprite.getchannel("A")
    pad = max(8, max(width, height) // 3)
    shade = Image.new("L", (width + 2 * pad, height + 2 * pad))
    if lies_flat:
        offset = max(1, max(width, height) // 34)
        shade.paste(alpha.point(lambda v: v * 120 // 255), (pad + side * offset, pad + offset))
        shade = shade.filter(ImageFilter.GaussianBlur(max(1.0, pad / 12)))
    else:
        foot = alpha.crop((0, int(height * 0.9), width, height)).getbbox() or (0, 0, width, 1)
        left, right = pad + foot[0], pad + foot[2]
        base, deep = pad + height, max(3, min(height // 9, (right - left) // 5))
        soft = Image.new("L", shade.size)
        reach = pad // 3
        ImageDraw.Draw(soft).ellipse(
            (
                left - deep + min(0, side * reach),
                base - 1.3 * deep,
                right + deep + max(0, side * reach),
                base + 0.5 * deep,
            ),
            fill=96,
        )
        soft = soft.filter(ImageFilter.GaussianBlur(deep * 0.7))
        ImageDraw.Draw(shade).ellipse((left, base - 0.55 * deep, right, base + 0.22 * deep), fill=170)
        shade = ImageChops.lighter(shade.filter(ImageFilter.GaussianBlur(max(0.8, deep * 0.16))), soft)
    picture.paste((28, 24, 30), (at[0] - pad, at[1] - pad), shade)
