import io
import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from transformers import AutoImageProcessor
from transformers.utils import is_torchvision_available

from tiger_fg_hf import TigerFGImageProcessor, TigerFGImageProcessorPil
from tiger_fg_hf.models import image_processing_pil_tiger_fg as image_processing

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
HEIGHT, WIDTH = 24, 32
SIZE = {"height": HEIGHT, "width": WIDTH}

BACKENDS = [
    TigerFGImageProcessorPil,
    pytest.param(
        TigerFGImageProcessor,
        marks=pytest.mark.skipif(not is_torchvision_available(), reason="the torchvision backend needs torchvision"),
    ),
]
every_backend = pytest.mark.parametrize("backend", BACKENDS)


def photo(height, width, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def batch():
    return [photo(40, 64), photo(64, 40, 1), photo(5, 9, 2), photo(48, 64, 3), photo(100, 3, 4), photo(40, 64, 5)]


def reference(image, mode):
    """Resize with PIL and normalize with numpy, as plainly as can be."""
    if mode == "pad":
        scale = min(HEIGHT / image.height, WIDTH / image.width)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        canvas = Image.new("RGB", (WIDTH, HEIGHT), "white")
        canvas.paste(image.resize(size, Image.Resampling.BICUBIC), ((WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2))
    elif mode == "crop":
        height, width = image.height, image.width
        if width * HEIGHT > height * WIDTH:
            width = max(1, round(height * WIDTH / HEIGHT))
        else:
            height = max(1, round(width * HEIGHT / WIDTH))
        x0, y0 = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((x0, y0, x0 + width, y0 + height))
        canvas = image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    else:
        canvas = image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return ((np.asarray(canvas) / 255 - MEAN) / STD).transpose(2, 0, 1)


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@every_backend
@pytest.mark.parametrize("mode", ["pad", "squash", "crop"])
def test_equals_plain_reference(backend, mode):
    images = batch()
    pixel_values = backend(size=SIZE, resize_mode=mode)(images, return_tensors="pt").pixel_values
    assert pixel_values.shape == (len(images), 3, HEIGHT, WIDTH)
    assert pixel_values.dtype == torch.float32
    assert pixel_values.is_contiguous()
    expected = np.stack([reference(image, mode) for image in images])
    tolerance = 1e-5 if backend is TigerFGImageProcessorPil else 3 / 255 / STD.min() + 1e-5
    assert np.abs(pixel_values.numpy() - expected).max() < tolerance


@every_backend
def test_crop_is_shortest_edge_then_center_crop(backend):
    image = photo(200, 320)
    resized = image.resize((round(320 * HEIGHT / 200), HEIGHT), Image.Resampling.BICUBIC)
    x0 = (resized.width - WIDTH) // 2
    expected = np.asarray(resized.crop((x0, 0, x0 + WIDTH, HEIGHT))) / 255
    result = backend(size=SIZE, resize_mode="crop", do_normalize=False)(image).pixel_values[0]
    assert np.abs(np.moveaxis(np.asarray(result), 0, -1) - expected).mean() < 0.02


@every_backend
def test_single_equals_batched(backend):
    processor, images = backend(size=SIZE), batch()
    together = processor(images, return_tensors="np").pixel_values
    for image, row in zip(images, together, strict=True):
        assert np.array_equal(processor(image, return_tensors="np").pixel_values[0], row)


@every_backend
def test_padding_keeps_the_aspect_ratio(backend):
    processor = backend(size=64, pad_color=[10, 20, 30], do_normalize=False, do_rescale=False)
    black = Image.new("RGB", (100, 50))
    content = (np.asarray(processor(black).pixel_values)[0] == 0).all(axis=0)
    assert content[16:48].all()
    assert content.sum() == 32 * 64
    assert np.asarray(processor(black).pixel_values)[0, :, 0, 0].tolist() == [10, 20, 30]
    assert (np.asarray(processor(black, pad_color=7).pixel_values)[0, :, 0, 0] == 7).all()


@every_backend
def test_every_kind_of_input(backend, tmp_path):
    processor, image = backend(size=SIZE), photo(40, 64)
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(image))
    expected = processor(image, return_tensors="np").pixel_values
    array = np.asarray(image)
    for images in (path, str(path), encoded(image), {"bytes": encoded(image)}, [array], (array,), array, array[None]):
        assert np.array_equal(processor(images, return_tensors="np").pixel_values, expected), type(images)


@every_backend
def test_options_can_be_overridden_per_call(backend):
    image = photo(40, 64)
    options = {
        "size": {"height": 16, "width": 8},
        "resize_mode": "squash",
        "resample": Image.Resampling.NEAREST,
        "rescale_factor": 1 / 127.5,
        "image_mean": [1.0, 1.0, 1.0],
        "image_std": 1.0,
    }
    overridden = backend(size=SIZE)(image, return_tensors="pt", **options).pixel_values
    assert overridden.shape == (1, 3, 16, 8)
    assert torch.equal(overridden, backend(**options)(image, return_tensors="pt").pixel_values)
    assert -1 <= overridden.min() < 0 < overridden.max() <= 1
    raw = backend(do_rescale=False, do_normalize=False, do_resize=False)(image, return_tensors="np").pixel_values
    assert np.array_equal(raw[0], np.asarray(image).transpose(2, 0, 1))


@every_backend
def test_boxes_crop_before_resizing(backend):
    processor, images = backend(size=SIZE), batch()[:3]
    boxes = [[3, 4, 30.4, 25.6], None, (0, 0, 9, 5)]
    crops = [images[0].crop((3, 4, 30, 26)), images[1], images[2]]
    expected = processor(crops, return_tensors="pt").pixel_values
    assert torch.equal(processor(images=images, boxes=boxes, return_tensors="pt").pixel_values, expected)


@every_backend
@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([0, 0, 65, 10], r"\[0.0, 0.0, 65.0, 10.0\] reaches outside the image of 64x40"),
        ([-1, 0, 5, 10], "outside"),
        ([5, 5, 5, 10], "empty; the image has 64x40"),
        ([10, 5, 5, 10], "empty"),
        ([0, 0, 5], "a box is"),
        ([0, 0, float("nan"), 5], "a box is"),
    ],
)
def test_bad_boxes_are_named(backend, box, message):
    with pytest.raises(ValueError, match=rf"^images\[1\]: .*{message}"):
        backend(size=SIZE)([photo(40, 64)] * 2, boxes=[None, box])


@every_backend
def test_bad_inputs_are_named(backend):
    processor, image = backend(size=SIZE), photo(40, 64)
    with pytest.raises(ValueError, match=r"images\[1\] cannot be read"):
        processor([image, b"broken"])
    with pytest.raises(ValueError, match="images is empty"):
        processor([])
    with pytest.raises(ValueError, match="1 boxes for 2 images"):
        processor([image, image], boxes=[None])
    with pytest.raises(ValueError, match="images of one size"):
        processor(batch(), do_resize=False)


@every_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize_mode": "stretch"}, "resize_mode"),
        ({"size": {"shortest_edge": 32}}, "positive height and width"),
        ({"size": {"height": 0, "width": 32}}, "positive height and width"),
        ({"pad_color": [0, 0]}, "pad_color"),
        ({"pad_color": 256}, "pad_color"),
        ({"image_mean": [0.5]}, "image_mean"),
        ({"data_format": "none"}, "data_format"),
    ],
)
def test_bad_options_are_named(backend, options, message):
    with pytest.raises(ValueError, match=message):
        backend(**options)
    with pytest.raises(ValueError, match=message):
        backend()(photo(40, 64), **options)


@every_backend
def test_files_are_named(backend, tmp_path):
    path = tmp_path / "photo.png"
    photo(40, 64).save(path)
    with pytest.raises(ValueError, match=rf"^images\[1\] \('{path}'\): the box .* reaches outside"):
        backend()([path, path], boxes=[None, [0, 0, 65, 10]])
    path.write_bytes(b"broken")
    with pytest.raises(ValueError, match=rf"^images\[1\] \('{path}'\) cannot be read"):
        backend()([photo(40, 64), path])


@every_backend
@pytest.mark.parametrize("orientation", [1, 8])
def test_boxes_refer_to_the_full_scale_of_a_reduced_image(backend, orientation, monkeypatch, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    photo(802, 601).save(tmp_path / "photo.jpg", quality=95, exif=exif)
    size = (601, 802) if orientation == 1 else (802, 601)
    boxes = [[100, 200, 401, 500.4], None, [0, 0, *size], [size[0] - 1, size[1] - 1, *size]]
    images = [tmp_path / "photo.jpg"] * len(boxes)
    processor = backend(size=SIZE, do_normalize=False)
    expected = processor(images, boxes=boxes, return_tensors="np").pixel_values
    reduced = partial(image_processing.load_reduced_rgb_image, max_pixels=200_000)
    monkeypatch.setattr(image_processing, "load_reduced_rgb_image", reduced)
    found = processor(images, boxes=boxes, return_tensors="np").pixel_values
    assert not np.array_equal(found, expected)
    assert np.abs(found - expected).mean() < 0.01
    with pytest.raises(ValueError, match=f"reaches outside the image of {size[0]}x{size[1]} pixels"):
        processor(images[:1], boxes=[[0, 0, size[0] + 1, 5]])


@every_backend
def test_layout_of_the_output(backend):
    images = batch()
    first = backend(size=SIZE)(images, return_tensors="np").pixel_values
    last = backend(size=SIZE)(images, data_format="channels_last", return_tensors="np").pixel_values
    assert np.array_equal(last, first.transpose(0, 2, 3, 1))


@every_backend
def test_other_modes_are_converted_unless_they_are_refused(backend):
    gray = Image.new("L", (8, 8), 90)
    assert np.array_equal(backend(size=8)(gray).pixel_values, backend(size=8)(gray.convert("RGB")).pixel_values)
    with pytest.raises(ValueError, match=r"images\[0\] cannot be read: its mode is L, not RGB"):
        backend(do_convert_rgb=False)(gray)


@every_backend
def test_unknown_option_of_a_call_is_refused(backend):
    with pytest.raises(TypeError, match="do_center_crop"):
        backend()(photo(40, 64), do_center_crop=True)


@every_backend
def test_save_and_load(backend, tmp_path):
    processor = backend(size=SIZE, resize_mode="crop", pad_color=0)
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved == {
        "data_format": "channels_first",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": MEAN.tolist(),
        "image_processor_type": "TigerFGImageProcessor",
        "image_std": STD.tolist(),
        "pad_color": [0, 0, 0],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "resize_mode": "crop",
        "size": SIZE,
    }
    name = "pil" if backend is TigerFGImageProcessorPil else "torchvision"
    for loaded in (backend.from_pretrained(tmp_path), AutoImageProcessor.from_pretrained(tmp_path, backend=name)):
        assert type(loaded) is backend
        assert loaded.to_dict() == processor.to_dict()
        images = batch()
        assert np.array_equal(loaded(images).pixel_values, processor(images).pixel_values)
    assert backend.from_pretrained(tmp_path, size=8).size == {"height": 8, "width": 8}


def test_instances_share_no_state():
    first, second = TigerFGImageProcessorPil(), TigerFGImageProcessorPil()
    first.size["height"] = 8
    assert second.size == TigerFGImageProcessorPil().size == {"height": 224, "width": 224}


def test_works_without_torchvision(tmp_path):
    """A process that cannot import torchvision imports the package, and loads the saved processor as PIL."""
    TigerFGImageProcessorPil(size=SIZE).save_pretrained(tmp_path)
    script = """
import sys

sys.modules["torchvision"] = None
import tiger_fg_hf
from transformers import AutoImageProcessor

print(type(AutoImageProcessor.from_pretrained(sys.argv[1])).__name__)
try:
    tiger_fg_hf.TigerFGImageProcessor()
except ImportError as error:
    print("Torchvision" in str(error))
"""
    output = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == ["TigerFGImageProcessorPil", "True"]
