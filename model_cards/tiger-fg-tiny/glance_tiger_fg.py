"""The second glance of the item tower: a close view of the extent, joined with the first (not in the paper)."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from transformers import initialization as init
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from transformers.utils import ModelOutput

from .configuration_tiger_fg import TigerFGItemConfig
from .encoders_tiger_fg import TigerFGVisionTokens, encode_image
from .extent_head_tiger_fg import TigerFGExtentHead
from .extent_tiger_fg import TigerFGQuantileExtent, TigerFGVotedExtent
from .layers import l2_normalize
from .outputs_tiger_fg import TigerFGExtentOutput, TigerFGItemOutput

_EXTENTS: dict[str, Callable[[TigerFGItemConfig], nn.Module]] = {
    "head": TigerFGExtentHead,
    "votes": TigerFGVotedExtent,
    "quantile": TigerFGQuantileExtent,
}
_SMALLEST_WINDOW = 0.1  # of the picture's longer side
_WHITE = tuple((1 - mean) / std for mean, std in zip(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, strict=True))


def reduce_picture(pixel_values: torch.Tensor, size: int | None) -> torch.Tensor:
    """Reduce pictures to the size of the first glance: average squares of `k` x `k` pixels.

    `k` is how many times `size` fits into the shorter side. Pictures less than twice as large stay as they are.

    Args:
        pixel_values: `[B, 3, H, W]`.
        size: Side of the first glance in pixels; `None` leaves all pictures as they are.

    Example:
        >>> import torch
        >>> reduce_picture(torch.rand(1, 3, 64, 64), 32).shape
        torch.Size([1, 3, 32, 32])
    """
    height, width = pixel_values.shape[-2:]
    factor = 1 if size is None else min(height, width) // size
    if factor <= 1:
        return pixel_values
    return nn.functional.interpolate(pixel_values, size=(height // factor, width // factor), mode="area")


def glance_windows(boxes: torch.Tensor, size: tuple[int, int], margin: float = 0.0) -> torch.Tensor:
    """Return the window of the second glance for each box: the box, widened and clipped to the picture.

    A window's sides are at least a tenth of the picture's longer side.

    Args:
        boxes: `[B, 4]`, x0, y0, x1, y1 as shares of width and height, in [0, 1].
        size: Height and width of the picture in pixels.
        margin: Share by which a window is wider and higher than its box.

    Returns:
        `[B, 4]`, x0, y0, x1, y1 in pixels, float32.

    Example:
        >>> import torch
        >>> glance_windows(torch.tensor([[0.0, 0.5, 0.5, 0.75]]), (100, 200), margin=0.2)
        tensor([[  0.0000,  47.5000, 110.0000,  77.5000]])
    """
    height, width = size
    smallest = _SMALLEST_WINDOW * max(height, width)
    x0, y0, x1, y1 = boxes.float().unbind(dim=-1)
    sides = []
    for low, high, length in ((x0, x1, width), (y0, y1, height)):
        least = min(smallest, length) / 2
        centre = ((low + high) / 2 * length).clamp(least, length - least)
        half = ((1 + margin) / 2 * (high - low) * length).clamp(min=least)
        sides.append(((centre - half).clamp(min=0.0), (centre + half).clamp(max=length)))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=-1)


def crop_windows(
    pixel_values: torch.Tensor, windows: torch.Tensor, size: int, padding: Sequence[float] = (0.0, 0.0, 0.0)
) -> torch.Tensor:
    """Crop a window out of each picture and resize it to `size` x `size` pixels, padded to keep the aspect ratio.

    Equals what the image processor makes of the window: antialiased bicubic resizing that sees nothing beyond the
    window, centered on the padding. Differentiable in pixels and windows, which may have fractions of pixels.

    Args:
        pixel_values: `[B, 3, H, W]`.
        windows: `[B, 4]`, x0, y0, x1, y1 in pixels, inside the picture.
        size: Height and width of the result in pixels.
        padding: Normalized red, green and blue around windows that are not square.

    Returns:
        `[B, 3, size, size]`, in the dtype of `pixel_values`.
    """
    height, width = pixel_values.shape[-2:]
    x0, y0, x1, y1 = windows.float().unbind(dim=-1)
    step = torch.maximum(x1 - x0, y1 - y0) / size
    with torch.autocast(pixel_values.device.type, enabled=False):
        columns, in_columns = _resampling_weights(x0, x1, step, width, size)
        rows, in_rows = _resampling_weights(y0, y1, step, height, size)
        shown = (in_rows[:, :, None] * in_columns[:, None])[:, None]
    # In the dtype of autocast: the encoder rounds its input to it anyway.
    narrowed = torch.matmul(pixel_values, columns.transpose(1, 2)[:, None].to(pixel_values.dtype))
    crops = torch.matmul(rows[:, None].to(narrowed.dtype), narrowed).float()
    background = crops.new_tensor(padding)[:, None, None]
    return torch.lerp(background.expand_as(crops), crops, shown.expand_as(crops)).to(pixel_values.dtype)


def _resampling_weights(
    start: torch.Tensor, end: torch.Tensor, step: torch.Tensor, length: int, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Resample [start, end) along one axis, centered on `size` places that are `step` pixels apart.

    Returns:
        The weights of the picture's pixels `[B, size, length]`, which sum to 1, and the share of each place that lies
        inside, `[B, size]`.
    """
    start, end, step = start[:, None], end[:, None], step[:, None]
    first = (start + end) / 2 - step * size / 2
    edges = first + step * torch.arange(size, device=start.device)
    inside = ((torch.minimum(edges + step, end) - torch.maximum(edges, start)) / step).clamp(0.0, 1.0)
    centres = torch.minimum(torch.maximum(edges + step / 2, start), end)
    pixels = torch.arange(length, device=start.device)
    covered = (torch.minimum(end, pixels + 1.0) - torch.maximum(start, pixels + 0.0)).clamp(0.0, 1.0)
    distance = (pixels + 0.5 - centres[..., None]).abs() / step.clamp(min=1.0)[..., None]
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
    weights = weights * covered[:, None]
    return weights / weights.sum(dim=-1, keepdim=True), inside


class TigerFGGlanceGate(nn.Linear):
    """Join the embeddings of both glances: `normalize(g first + (1 - g) second)`; `g` starts at 1/2, the mean.

    `g` is the sigmoid of a linear function of both embeddings, their cosine, and the share of the picture that the
    extent takes.
    """

    def __init__(self, config: TigerFGItemConfig):
        super().__init__(2 * config.projection_dim + 2, 1)

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Set weights and bias to zero."""
        init.zeros_(self.weight)
        init.zeros_(self.bias)

    def forward(self, first: torch.Tensor, second: torch.Tensor, extent: torch.Tensor) -> torch.Tensor:
        """Join embeddings.

        Args:
            first: Embeddings of the first glance, `[B, D]`, L2-normalized.
            second: Those of the second.
            extent: `[B, 4]`, shares of width and height.

        Returns:
            `[B, D]`, L2-normalized, float32.
        """
        cosine = (first * second).sum(dim=-1, keepdim=True)
        area = (extent[:, 2:] - extent[:, :2]).prod(dim=-1, keepdim=True)
        features = torch.cat([first, second, cosine, area], dim=-1)
        gate = super().forward(features.to(self.weight.dtype)).float().sigmoid()
        return l2_normalize(gate * first + (1 - gate) * second)


class SecondGlance:
    """Mix-in of the item tower: how it looks a second time."""

    def _build_second_glance(self, config: TigerFGItemConfig) -> None:
        if config.num_glances == 2:
            self.extent = _EXTENTS[config.extent](config)
            self.glance_gate = TigerFGGlanceGate(config)

    def find_extent(
        self, vision_tokens: TigerFGVisionTokens, first: TigerFGItemOutput, image_mask: torch.Tensor | None = None
    ) -> TigerFGExtentOutput:
        """Find where the object lies from the first glance.

        Args:
            vision_tokens: Output of [`encode_item_image`].
            first: Output of [`fuse_item`] for these tokens.
            image_mask: See [`TigerFGItemModel.forward`].

        Returns:
            Boxes, and what they were found from; boxes of zeros for items without an image.
        """
        found = self.extent(vision_tokens, first)
        if image_mask is not None:
            found.extent = torch.where(image_mask.bool()[:, None], found.extent, 0.0)
        return found

    def second_glance(
        self,
        pixel_values: torch.Tensor,
        boxes: torch.Tensor,
        text_output: ModelOutput | None = None,
        attention_mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
        **kwargs,
    ) -> TigerFGItemOutput:
        """Embed items by a close view of the given boxes, read with the same texts.

        The boxes may come from [`find_extent`] or from elsewhere, such as the true boxes in training.

        Args:
            pixel_values: Pictures `[B, 3, H, W]` at full resolution.
            boxes: `[B, 4]`, x0, y0, x1, y1 as shares of width and height, in [0, 1].
            text_output: Output of [`encode_item_text`] for the first glance; `None` if no item has a text.
            attention_mask: See [`TigerFGItemModel.forward`].
            image_mask: See [`TigerFGItemModel.forward`].
            kwargs: See `TransformersKwargs`.

        Returns:
            The output of the second glance alone; its grounding map covers the close view, see [`crop_windows`].
        """
        config = self.config
        windows = glance_windows(boxes, pixel_values.shape[-2:], config.glance_margin)
        close_view = crop_windows(pixel_values, windows, config.glance_size, config.glance_padding or _WHITE)
        tokens = encode_image(self.vision_model, close_view, **kwargs)
        return self.fuse_item(tokens, text_output, attention_mask, image_mask, **kwargs)

    def join_glances(
        self,
        first: TigerFGItemOutput,
        second: TigerFGItemOutput,
        extent: torch.Tensor,
        image_mask: torch.Tensor | None = None,
    ) -> TigerFGItemOutput:
        """Join the outputs of both glances.

        Args:
            first: Output of the first glance.
            second: Output of [`second_glance`].
            extent: The boxes of the second glance, `[B, 4]`.
            image_mask: See [`TigerFGItemModel.forward`]; items without an image keep their embeddings.

        Returns:
            The output of the first glance with joined `embeds`, and with `extent`, `first_embeds` and
            `glance_embeds`.
        """
        embeds = self.glance_gate(first.embeds, second.embeds, extent)
        glance_embeds = second.embeds
        if image_mask is not None:
            present = image_mask.bool()[:, None]
            embeds = torch.where(present, embeds, first.embeds)
            glance_embeds = torch.where(present, glance_embeds, 0.0)
        joined = {"embeds": embeds, "extent": extent, "first_embeds": first.embeds, "glance_embeds": glance_embeds}
        return TigerFGItemOutput(**{**first, **joined})

    def look_again(
        self,
        pixel_values: torch.Tensor,
        vision_tokens: TigerFGVisionTokens,
        first: TigerFGItemOutput,
        text_output: ModelOutput | None,
        attention_mask: torch.Tensor | None,
        image_mask: torch.Tensor | None,
        **kwargs,
    ) -> TigerFGItemOutput:
        """Add the second glance to the output of the first."""
        kwargs = {name: value for name, value in kwargs.items() if not name.startswith("output_")}
        found = self.find_extent(vision_tokens, first, image_mask)
        second = self.second_glance(pixel_values, found.extent, text_output, attention_mask, image_mask, **kwargs)
        output = self.join_glances(first, second, found.extent, image_mask)
        if found.grounding is not None:
            output.grounding = found.grounding
        return output
