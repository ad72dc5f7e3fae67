"""Image processor of TIGER-FG (PIL backend), and the options, checks and geometry that both backends share."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
from PIL import Image
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature, get_size_dict
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    ChannelDimension,
    PILImageResampling,
    SizeDict,
)
from transformers.utils import TensorType

from .image_loading_tiger_fg import image_name, list_images, load_reduced_rgb_image

Box = Sequence[float]
"""`[x0, y0, x1, y1]` in pixels of the upright image, `x1` and `y1` exclusive."""


class TigerFGImageProcessorKwargs(TypedDict, total=False):
    r"""Options of the TIGER-FG image processors; each can be saved with the processor or given per call.

    size (`dict[str, int]`, *optional*, defaults to `{"height": 224, "width": 224}`):
        Height and width of `pixel_values` in pixels. An integer means a square.
    resize_mode (`str`, *optional*, defaults to `"pad"`):
        `"pad"` keeps the whole image and its aspect ratio, centered on `pad_color`; `"squash"` stretches the image to
        `size`; `"crop"` keeps the largest centered region that has the aspect ratio of `size`.
    pad_color (`int` or `list[int]`, *optional*, defaults to `[255, 255, 255]`):
        Red, green and blue of the padding, 0 to 255. White, the usual background of product photos.
    do_resize (`bool`, *optional*, defaults to `True`):
        With `False`, images keep their own size, which must be the same for all images in a call.
    resample (`PILImageResampling`, *optional*, defaults to `BICUBIC`):
        Resampling filter, always antialiased.
    do_rescale, rescale_factor (`bool`, `float`, *optional*, default to `True`, `1 / 255`):
        Whether to multiply pixels by `rescale_factor`.
    do_normalize, image_mean, image_std (`bool`, `list[float]`, `list[float]`, *optional*):
        Whether to subtract the mean and divide by the standard deviation, by default those of ImageNet.
    do_convert_rgb (`bool`, *optional*, defaults to `True`):
        Whether to convert images of other modes to RGB. With `False` they are refused.
    data_format (`str` or `ChannelDimension`, *optional*, defaults to `"channels_first"`):
        Layout of `pixel_values`: `"channels_first"` is `[B, 3, H, W]`, `"channels_last"` is `[B, H, W, 3]`.
    """

    size: int | list[int] | tuple[int, ...] | dict[str, int] | SizeDict
    resize_mode: str
    pad_color: int | list[int] | tuple[int, ...]
    do_resize: bool
    resample: int
    do_rescale: bool
    rescale_factor: float
    do_normalize: bool
    image_mean: float | list[float] | tuple[float, ...]
    image_std: float | list[float] | tuple[float, ...]
    do_convert_rgb: bool
    data_format: str | ChannelDimension
    return_tensors: str | TensorType | None


class PixelOptions(NamedTuple):
    """Checked options that turn an RGB image into normalized pixels; see [`TigerFGImageProcessorKwargs`]."""

    size: SizeDict
    resize_mode: str
    pad_color: tuple[int, int, int]
    resample: int
    do_rescale: bool
    rescale_factor: float
    do_normalize: bool
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]


class ResizePlan(NamedTuple):
    """Steps from an image to the output: crop `source`, resize it to `height` x `width`, paste it at `top`, `left`."""

    source: tuple[int, int, int, int] | None
    height: int
    width: int
    top: int
    left: int


def plan_resize(height: int, width: int, size: SizeDict, resize_mode: str) -> ResizePlan:
    """Plan how an image fills the output; both backends follow the plan, so that they agree.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        size: Height and width of the output in pixels.
        resize_mode: `"pad"`, `"squash"` or `"crop"`; see [`TigerFGImageProcessorKwargs`].

    Example:
        >>> plan_resize(50, 100, SizeDict(height=64, width=64), "pad")
        ResizePlan(source=None, height=32, width=64, top=16, left=0)
        >>> plan_resize(50, 100, SizeDict(height=64, width=64), "crop").source
        (25, 0, 75, 50)
    """
    if resize_mode == "squash":
        return ResizePlan(None, size.height, size.width, 0, 0)
    scale_y, scale_x = size.height / height, size.width / width
    if resize_mode == "crop":
        # Cropping the source first resizes only the pixels that stay.
        scale = max(scale_y, scale_x)
        kept_height = min(height, max(1, round(size.height / scale)))
        kept_width = min(width, max(1, round(size.width / scale)))
        y0, x0 = (height - kept_height) // 2, (width - kept_width) // 2
        return ResizePlan((x0, y0, x0 + kept_width, y0 + kept_height), size.height, size.width, 0, 0)
    scale = min(scale_y, scale_x)
    new_height = min(size.height, max(1, round(height * scale)))
    new_width = min(size.width, max(1, round(width * scale)))
    return ResizePlan(None, new_height, new_width, (size.height - new_height) // 2, (size.width - new_width) // 2)


def crop_box(
    image: Image.Image, box: Box, *, name: str = "image", full_size: tuple[int, int] | None = None
) -> Image.Image:
    """Crop a box out of an image.

    Args:
        image: The image.
        box: `[x0, y0, x1, y1]` in pixels, rounded to whole pixels.
        name: The image's name in error messages.
        full_size: (width, height) in pixels that the box refers to, if the image was reduced when it was decoded.

    Raises:
        ValueError: If the box is not four finite numbers, is empty, or reaches outside the image.
    """
    width, height = full_size or image.size
    coordinates = [float(value) for value in box]
    if len(coordinates) != 4 or not all(map(math.isfinite, coordinates)):
        raise ValueError(f"{name}: a box is [x0, y0, x1, y1] in pixels, got {coordinates}")
    x0, y0, x1, y1 = (round(value) for value in coordinates)
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"{name}: the box {coordinates} is empty; the image has {width}x{height} pixels")
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise ValueError(f"{name}: the box {coordinates} reaches outside the image of {width}x{height} pixels")
    if image.size != (width, height):  # round outwards, so that at least one pixel is left
        scale_x, scale_y = image.width / width, image.height / height
        x0, y0 = math.floor(x0 * scale_x), math.floor(y0 * scale_y)
        x1, y1 = min(math.ceil(x1 * scale_x), image.width), min(math.ceil(y1 * scale_y), image.height)
    return image.crop((x0, y0, x1, y1))


class _DecodedImages(Sequence[Image.Image]):
    """Images of a batch, decoded and cropped as they are asked for, so that one at a time is in memory."""

    def __init__(self, images: Sequence[Any], boxes: Sequence[Box | None], convert: bool):
        self._images, self._boxes, self._convert = images, boxes, convert

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> Any:
        image, box, name = self._images[index], self._boxes[index], f"images[{index}]"
        decoded, full_size = load_reduced_rgb_image(image, name=name, convert=self._convert)
        if box is None:
            return decoded
        return crop_box(decoded, box, name=image_name(image, name), full_size=full_size)


class TigerFGImageProcessorOptions:
    """What both backends share: defaults, checks, decoding, cropping and the saved form."""

    valid_kwargs = TigerFGImageProcessorKwargs

    size = SizeDict(height=224, width=224)
    resize_mode = "pad"
    pad_color = (255, 255, 255)
    do_resize = True
    resample = PILImageResampling.BICUBIC
    do_rescale = True
    rescale_factor = 1 / 255
    do_normalize = True
    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD
    do_convert_rgb = True
    data_format = ChannelDimension.FIRST

    def preprocess(self, images: Any, boxes: Sequence[Box | None] | None = None, **kwargs) -> BatchFeature:
        """Decode, crop, resize and normalize images.

        Args:
            images: One image or a list of them, each as [`load_rgb_image`] accepts it, or an array `[B, H, W, C]` or
                `[B, C, H, W]`. A JPEG file beyond the limit on pixels is read at reduced scale.
            boxes: For each image, the box `[x0, y0, x1, y1]` to cut out before resizing, in pixels of the upright
                image at full scale, or `None` for the whole image.
            **kwargs: Any of [`TigerFGImageProcessorKwargs`]; overrides the saved option.

        Returns:
            `pixel_values` `[B, 3, H, W]` (or `[B, H, W, 3]`, see `data_format`), float32.

        Raises:
            ValueError: If there are no images, if an image cannot be read, if a box is empty or reaches outside its
                image, if the numbers of images and boxes differ, or if an option has an unusable value.
        """
        return super().preprocess(images, boxes, **kwargs)

    def _preprocess_image_like_inputs(
        self,
        images: Any,
        boxes: Any = None,
        *,
        do_resize: bool,
        do_convert_rgb: bool,
        data_format: ChannelDimension,
        return_tensors: str | TensorType | None,
        **kwargs,
    ) -> BatchFeature:
        images = list_images(images)
        if not images:
            raise ValueError("images is empty: pass at least one image")
        if boxes is None:
            boxes = [None] * len(images)
        elif len(boxes) != len(images):
            raise ValueError(f"got {len(boxes)} boxes for {len(images)} images; use None for a whole image")
        options = PixelOptions(**{name: kwargs.pop(name) for name in PixelOptions._fields})
        loaded: Sequence[Image.Image] = _DecodedImages(images, boxes, do_convert_rgb)
        if not do_resize:
            loaded = list(loaded)
            sizes = {image.size for image in loaded}
            if len(sizes) > 1:
                raise ValueError(f"do_resize=False needs images of one size, got (width, height) {sorted(sizes)}")
            width, height = loaded[0].size
            options = options._replace(size=SizeDict(height=height, width=width), resize_mode="squash")
        pixel_values = self._resize_and_normalize(loaded, options, **kwargs)
        if data_format == ChannelDimension.LAST:
            pixel_values = pixel_values.swapaxes(1, 2).swapaxes(2, 3)
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)

    def _resize_and_normalize(self, images: Sequence[Image.Image], options: PixelOptions, **kwargs) -> Any:
        """Return float32 pixels `[B, 3, H, W]` of RGB images, which are decoded when they are asked for."""
        raise NotImplementedError

    def _standardize_kwargs(
        self, *, size: Any, resize_mode: str, pad_color: Any, data_format: Any, **kwargs
    ) -> dict[str, Any]:
        if not isinstance(size, SizeDict):
            size = SizeDict(**get_size_dict(size, default_to_square=True))
        if not (size.height or 0) > 0 or not (size.width or 0) > 0:
            raise ValueError(f"size needs a positive height and width in pixels, got {dict(size)}")
        if resize_mode not in ("pad", "squash", "crop"):
            raise ValueError(f"resize_mode must be 'pad', 'squash' or 'crop', got {resize_mode!r}")
        pad_color = (pad_color,) * 3 if isinstance(pad_color, int) else tuple(pad_color)
        if len(pad_color) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in pad_color):
            raise ValueError(f"pad_color must be an integer or three integers from 0 to 255, got {pad_color}")
        for key in ("image_mean", "image_std"):
            value = kwargs[key]
            kwargs[key] = (float(value),) * 3 if isinstance(value, int | float) else tuple(value)
            if len(kwargs[key]) != 3:
                raise ValueError(f"{key} must be a number or three numbers, got {value}")
        if data_format not in (ChannelDimension.FIRST, ChannelDimension.LAST):
            raise ValueError(f"data_format must be 'channels_first' or 'channels_last', got {data_format!r}")
        kwargs |= {"size": size, "resize_mode": resize_mode, "pad_color": pad_color}
        return {"data_format": ChannelDimension(data_format), **kwargs}

    def to_dict(self) -> dict[str, Any]:
        """Return the saved form: the class and the options of [`TigerFGImageProcessorKwargs`], nothing else."""
        saved = super().to_dict()
        keys = {"image_processor_type", *TigerFGImageProcessorKwargs.__annotations__}
        if self._auto_class is not None:  # otherwise, an inherited `auto_map` would name code that is not saved
            keys.add("auto_map")
        return {key: saved[key] for key in sorted(keys & saved.keys())}


class TigerFGImageProcessorPil(TigerFGImageProcessorOptions, PilBackend):
    """Image processor of TIGER-FG, PIL backend: needs no torchvision.

    Args:
        **kwargs: Any of [`TigerFGImageProcessorKwargs`].
    """

    def _resize_and_normalize(self, images: Sequence[Image.Image], options: PixelOptions, **kwargs) -> np.ndarray:
        # Rescaling and normalization are one multiplication and one subtraction per channel.
        scale = np.full((3, 1, 1), options.rescale_factor if options.do_rescale else 1.0)
        shift = np.zeros((3, 1, 1))
        if options.do_normalize:
            scale /= np.reshape(options.image_std, (3, 1, 1))
            shift += np.reshape(options.image_mean, (3, 1, 1)) / np.reshape(options.image_std, (3, 1, 1))
        scale, shift = scale.astype(np.float32), shift.astype(np.float32)

        height, width = options.size.height, options.size.width
        pixel_values = np.empty((len(images), 3, height, width), dtype=np.float32)
        for index, output in enumerate(pixel_values):
            image = images[index]
            plan = plan_resize(image.height, image.width, options.size, options.resize_mode)
            if plan.source is not None:
                image = image.crop(plan.source)
            image = image.resize((plan.width, plan.height), options.resample)
            if (plan.height, plan.width) != (height, width):
                canvas = Image.new("RGB", (width, height), options.pad_color)
                canvas.paste(image, (plan.left, plan.top))
                image = canvas
            np.multiply(np.asarray(image).transpose(2, 0, 1), scale, out=output)
            output -= shift
        return pixel_values


__all__ = ["TigerFGImageProcessorPil"]
