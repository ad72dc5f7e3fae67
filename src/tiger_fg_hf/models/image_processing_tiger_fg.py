"""Image processor of TIGER-FG (torchvision backend): resizes images of one shape together, on CPU or accelerator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_backends import TorchvisionBackend
from transformers.image_transforms import group_images_by_shape, reorder_images
from transformers.image_utils import SizeDict
from transformers.utils import requires_backends

from .image_processing_pil_tiger_fg import (
    PixelOptions,
    TigerFGImageProcessorKwargs,
    TigerFGImageProcessorOptions,
    plan_resize,
)


class TigerFGImageProcessorTorchvisionKwargs(TigerFGImageProcessorKwargs, total=False):
    r"""Options that only the torchvision backend has; given per call, never saved.

    device (`str` or `torch.device`, *optional*):
        Device on which to resize and normalize; `pixel_values` stay there.
    disable_grouping (`bool`, *optional*):
        Whether to process images one by one instead of grouping those of the same shape. By default, only on CPU.
    """

    device: str | torch.device | None
    disable_grouping: bool | None


class TigerFGImageProcessor(TigerFGImageProcessorOptions, TorchvisionBackend):
    """Image processor of TIGER-FG, torchvision backend.

    Decodes exactly as [`TigerFGImageProcessorPil`] does. Resized pixels differ by at most 3 of 255 levels.

    Args:
        **kwargs: Any of [`TigerFGImageProcessorKwargs`].

    Raises:
        ImportError: If torchvision is not installed; [`TigerFGImageProcessorPil`] does not need it.
    """

    valid_kwargs = TigerFGImageProcessorTorchvisionKwargs

    def __init__(self, **kwargs):
        requires_backends(self, ["torchvision"])
        super().__init__(**kwargs)

    def _resize_and_normalize(
        self,
        images: Sequence[Image.Image],
        options: PixelOptions,
        device: str | torch.device | None = None,
        disable_grouping: bool | None = None,
        **kwargs,
    ) -> torch.Tensor:
        if disable_grouping or (disable_grouping is None and torch.device(device or "cpu").type == "cpu"):
            # One by one, so that one decoded image at a time is in memory.
            ones = [self._resize_group([images[index]], options, device) for index in range(len(images))]
            return torch.cat(ones)
        return self._resize_group(images, options, device)

    def _resize_group(
        self, images: Sequence[Image.Image], options: PixelOptions, device: str | torch.device | None
    ) -> torch.Tensor:
        size = options.size
        tensors = [torch.from_numpy(np.array(image)).permute(2, 0, 1).to(device) for image in images]
        groups, order = group_images_by_shape(tensors, disable_grouping=len(images) == 1)
        for shape, group in groups.items():
            plan = plan_resize(*group.shape[-2:], size, options.resize_mode)
            if plan.source is not None:
                x0, y0, x1, y1 = plan.source
                group = group[..., y0:y1, x0:x1]
            group = self.resize(group, SizeDict(height=plan.height, width=plan.width), options.resample)
            if (plan.height, plan.width) != (size.height, size.width):
                canvas = torch.tensor(options.pad_color, dtype=group.dtype, device=group.device).view(1, 3, 1, 1)
                canvas = canvas.repeat(len(group), 1, size.height, size.width)
                canvas[..., plan.top : plan.top + plan.height, plan.left : plan.left + plan.width] = group
                group = canvas
            groups[shape] = self.rescale_and_normalize(
                group,
                options.do_rescale,
                options.rescale_factor,
                options.do_normalize,
                options.image_mean,
                options.image_std,
            ).float()
        return torch.stack(reorder_images(groups, order))

    def to_dict(self) -> dict[str, Any]:
        """Return the saved form; remote code names both backends, so that it also loads without torchvision."""
        saved = super().to_dict()
        if "auto_map" in saved:
            saved["auto_map"]["AutoImageProcessor"] = [
                "image_processing_pil_tiger_fg.TigerFGImageProcessorPil",
                "image_processing_tiger_fg.TigerFGImageProcessor",
            ]
        return saved


__all__ = ["TigerFGImageProcessor"]
