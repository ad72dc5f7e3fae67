"""The second glance: windows, crops, the gate, and what users of transformers expect of a model that looks twice."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TEXT, VISION, assert_same, run, tensors, tiny_config, tiny_inputs, tiny_model
from transformers import BertModel, ViTModel
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from tiger_fg_hf import TigerFGConfig, TigerFGImageProcessorPil, TigerFGItemModel, TigerFGModel, TigerFGQueryModel
from tiger_fg_hf.models.extent_tiger_fg import weigh_by_mask
from tiger_fg_hf.models.glance_tiger_fg import TigerFGGlanceGate, crop_windows, glance_windows, reduce_picture

FAMILIES = pytest.mark.parametrize("vision", list(VISION))
SIZES = {"num_glances": 2, "first_glance_size": 32, "glance_size": 16}
NEW = ("extent", "first_embeds", "glance_embeds")


def two_glances(kind: str = "item", vision: str = "vit", **kwargs):
    return tiny_model(kind, vision, **{**SIZES, **kwargs})


def large_inputs(kind: str = "item", **kwargs) -> dict:
    """Pictures of items at twice the size of the first glance, smooth, so that crops follow their window slowly."""
    inputs = tiny_inputs(kind, height=64, width=64, **kwargs)
    coarse = inputs["pixel_values"][..., ::8, ::8]
    inputs["pixel_values"] = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic")
    if "query_pixel_values" in inputs:
        inputs["query_pixel_values"] = inputs["query_pixel_values"][..., :32, :32]
    return inputs


def whole(picture: torch.Tensor) -> torch.Tensor:
    height, width = picture.shape[-2:]
    return torch.tensor([[0.0, 0.0, width, height]]).expand(len(picture), -1)


class TestWindows:
    def test_are_the_boxes_in_pixels(self):
        boxes = torch.tensor([[0.2, 0.4, 0.6, 0.7], [0.0, 0.0, 1.0, 1.0]])
        expected = torch.tensor([[40.0, 40.0, 120.0, 70.0], [0.0, 0.0, 200.0, 100.0]])
        torch.testing.assert_close(glance_windows(boxes, (100, 200)), expected)

    def test_are_widened_and_stay_inside_the_picture(self):
        boxes = torch.tensor([[0.2, 0.4, 0.6, 0.6], [0.0, 0.9, 0.4, 1.0]])
        expected = torch.tensor([[10.0, 35.0, 70.0, 65.0], [0.0, 87.5, 50.0, 100.0]])
        torch.testing.assert_close(glance_windows(boxes, (100, 100), margin=0.5), expected)

    def test_of_empty_boxes_have_a_smallest_size(self):
        boxes = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
        expected = torch.tensor([[0.0, 0.0, 10.0, 10.0], [90.0, 40.0, 100.0, 50.0], [45.0, 20.0, 55.0, 30.0]])
        torch.testing.assert_close(glance_windows(boxes, (50, 100)), expected)


class TestCrops:
    @pytest.mark.parametrize("box", [(3, 5, 43, 45), (10, 0, 30, 40), (5, 20, 65, 35), (40, 10, 50, 20)])
    def test_equal_those_of_the_image_processor(self, box):
        """Up to the rounding of pixels to 8 bits; the contrast is too low for the clipping of overshoots."""
        pixels = torch.randint(96, 160, (50, 70, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        image, processor = Image.fromarray(pixels.numpy()), TigerFGImageProcessorPil(do_normalize=False)
        picture = processor(image, do_resize=False, return_tensors="pt")["pixel_values"]
        expected = processor(image, boxes=[box], size=40, return_tensors="pt")["pixel_values"]
        crops = crop_windows(picture, torch.tensor([box]).float(), 40, (1.0, 1.0, 1.0))
        torch.testing.assert_close(crops, expected, atol=1.5 / 255, rtol=0)

    @pytest.mark.parametrize("size", [7, 16, 64])
    def test_equal_those_of_pillow_on_float_pixels(self, size):
        picture = torch.rand(2, 2, 50, 50, generator=torch.Generator().manual_seed(0))
        windows = torch.tensor([(3.0, 7.0, 43.0, 47.0), (5.0, 5.0, 15.0, 15.0)])
        crops = crop_windows(picture, windows, size, (0.0, 0.0))
        for row, box in enumerate(windows.int().tolist()):
            for channel in range(2):
                image = Image.fromarray(picture[row, channel].numpy()).crop(box)
                expected = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
                np.testing.assert_allclose(crops[row, channel], expected, atol=1e-5)

    def test_of_the_whole_picture_at_its_size_are_the_picture(self):
        picture = torch.randn(2, 3, 20, 20)
        torch.testing.assert_close(crop_windows(picture, whole(picture), 20), picture)

    def test_are_padded_to_keep_the_aspect_ratio(self):
        picture = torch.full((1, 3, 20, 40), 0.5)
        crops = crop_windows(picture, whole(picture), 16, (1.0, 2.0, 3.0))
        torch.testing.assert_close(crops[0, :, 4:12], torch.full((3, 8, 16), 0.5))
        for rows in (slice(0, 4), slice(12, 16)):
            assert (crops[0, :, rows] == torch.tensor([1.0, 2.0, 3.0])[:, None, None]).all()

    def test_see_nothing_beyond_the_window(self):
        picture = torch.zeros(1, 3, 30, 30)
        picture[..., 5:25, 10:20] = 1
        crops = crop_windows(picture, torch.tensor([[10.0, 5.0, 20.0, 25.0]]), 14, (1.0, 1.0, 1.0))
        torch.testing.assert_close(crops, torch.ones(1, 3, 14, 14))

    def test_are_antialiased(self):
        """Stripes of one pixel become grey instead of other stripes."""
        stripes = (torch.arange(96) % 2).float().expand(1, 3, 96, 96)
        crops = crop_windows(stripes, torch.tensor([[3.0, 3.0, 87.0, 87.0]]), 24)
        assert (crops[..., 1:-1] - 0.5).abs().max() < 0.05

    def test_follow_the_window_smoothly(self):
        picture = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
        weights = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
        window = torch.tensor([[4.3, 6.3, 20.4, 26.4]], requires_grad=True)

        def total(window):
            return (crop_windows(picture, window, 12, (1.0, 1.0, 1.0)) * weights).sum()

        (gradient,) = torch.autograd.grad(total(window), window)
        for side in range(4):
            step = torch.zeros(1, 4)
            step[0, side] = 0.02
            with torch.no_grad():
                slope = (total(window + step) - total(window - step)).item() / 0.04
            assert gradient[0, side].item() == pytest.approx(slope, rel=0.05, abs=0.05)

    def test_keep_the_dtype(self):
        picture = torch.rand(1, 3, 16, 16).bfloat16()
        assert crop_windows(picture, whole(picture), 8).dtype == torch.bfloat16


class TestFirstGlance:
    def test_averages_whole_factors(self):
        picture = torch.randn(2, 3, 64, 96)
        expected = picture.unflatten(2, (32, 2)).unflatten(4, (48, 2)).mean((3, 5))
        torch.testing.assert_close(reduce_picture(picture, 32), expected)
        for size in (None, 33, 64):
            assert reduce_picture(picture, size) is picture
        assert reduce_picture(torch.randn(1, 3, 65, 67), 32).shape == (1, 3, 32, 33)

    def test_is_todays_at_its_own_size_and_sees_larger_pictures_reduced(self):
        inputs, large = tiny_inputs("item"), large_inputs()
        two, one = two_glances(), tiny_model("item")
        one.load_state_dict(two.state_dict(), strict=False)
        expected = run(one, inputs)
        found = run(two, inputs)
        assert torch.equal(found.first_embeds, expected.embeds)
        for name in ("slot_weights", "focus", "appearance", "text_focus", "last_hidden_state"):
            assert torch.equal(found[name], expected[name]), name
        reduced = {**large, "pixel_values": reduce_picture(large["pixel_values"], 32)}
        assert torch.equal(run(two, large).first_embeds, run(one, reduced).embeds)
        assert not torch.allclose(run(two, large).glance_embeds, run(two, reduced).glance_embeds, atol=1e-4)


def test_the_mask_weighs_the_map():
    inputs = large_inputs()
    model = two_glances()
    tokens = model.encode_item_image(inputs["pixel_values"])
    text = model.encode_item_text(inputs["input_ids"], inputs["attention_mask"])
    first = model.fuse_item(tokens, text, inputs["attention_mask"])
    mask = torch.nn.functional.avg_pool2d(model.find_extent(tokens, first).mask_logits.sigmoid(), 2)
    found = run(model, inputs).grounding
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(len(found)))
    torch.testing.assert_close(found, weigh_by_mask(first.grounding, mask + 1e-3))
    assert not torch.allclose(found, first.grounding, atol=1e-4)


def test_one_glance_has_nothing_new():
    one = tiny_model("item")
    assert not any(name.startswith(("extent", "glance")) for name in one.state_dict())
    assert not set(NEW) & set(run(one, tiny_inputs("item")).keys())


def test_configurations_from_before_have_one_glance():
    config = tiny_config("joint").to_dict()
    for name in ("num_glances", "first_glance_size", "glance_size", "glance_margin", "extent", "extent_sharpness"):
        del config[name]
    assert TigerFGConfig.from_dict(config).num_glances == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_glances", 3, "num_glances must be 1 or 2"),
        ("glance_size", 4, "glance_size must be at least one patch of 8 pixels"),
        ("first_glance_size", 7, "first_glance_size must be at least one patch"),
        ("glance_margin", -0.1, "glance_margin must not be negative"),
        ("glance_padding", [1.0], "glance_padding must be three numbers"),
        ("extent_sharpness", 0.0, "extent_sharpness must be positive"),
    ],
)
def test_bad_configurations_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        tiny_config("item", **{field: value})


def test_the_gate_starts_as_the_mean_and_follows_its_inputs():
    config = tiny_config("item", **SIZES)
    fresh = TigerFGItemModel(config).glance_gate
    first, second = torch.nn.functional.normalize(torch.randn(2, 5, 16), dim=-1)
    extent = torch.tensor([[0.2, 0.2, 0.7, 0.9]]).expand(5, -1)
    mean = torch.nn.functional.normalize(first + second, dim=-1)
    torch.testing.assert_close(fresh(first, second, extent), mean)
    gate = TigerFGGlanceGate(config)
    for bias, expected in ((50.0, first), (-50.0, second)):
        torch.nn.init.zeros_(gate.weight)
        torch.nn.init.constant_(gate.bias, bias)
        torch.testing.assert_close(gate(first, second, extent), expected)


@FAMILIES
def test_the_second_glance_sees_the_extent_with_the_same_text(vision):
    model, inputs = two_glances(vision=vision), large_inputs()
    output = run(model, inputs)
    pixels = inputs.pop("pixel_values")
    white = [(1 - mean) / std for mean, std in zip(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, strict=True)]
    close = crop_windows(pixels, glance_windows(output.extent, (64, 64)), 16, white)
    one = tiny_model("item", vision)
    one.load_state_dict(model.state_dict(), strict=False)
    alone = run(one, {"pixel_values": close, **inputs})
    torch.testing.assert_close(output.glance_embeds, alone.embeds, atol=1e-5, rtol=0)
    joined = model.glance_gate(output.first_embeds, output.glance_embeds, output.extent)
    torch.testing.assert_close(output.embeds, joined)
    with torch.no_grad():
        text = model.encode_item_text(**inputs)
        again = model.second_glance(pixels, output.extent, text, inputs["attention_mask"])
    torch.testing.assert_close(again.embeds, output.glance_embeds, atol=1e-5, rtol=0)


def test_the_text_is_encoded_once():
    model, calls = two_glances(), []
    handle = model.text_model.register_forward_hook(lambda *_: calls.append(1))
    run(model, large_inputs())
    handle.remove()
    assert calls == [1]


@pytest.mark.parametrize("extent", ["head", "votes", "quantile"])
def test_items_without_text_or_without_an_image(extent):
    model, inputs = two_glances(extent=extent), large_inputs()
    image_only = run(model, {"pixel_values": inputs["pixel_values"]})
    texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    text_only = run(model, texts)
    assert not set(NEW) & set(text_only.keys())
    mixed = copy.deepcopy(inputs) | {"image_mask": torch.tensor([1, 0, 1])}
    mixed["attention_mask"][0] = 0
    output, full = run(model, mixed), run(model, inputs)
    for name in ("embeds", *NEW):
        torch.testing.assert_close(output[name][0], image_only[name][0], atol=1e-5, rtol=0)
        torch.testing.assert_close(output[name][2], full[name][2], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.embeds[1], text_only.embeds[1], atol=1e-5, rtol=0)
    assert not output.extent[1].any()
    assert not output.glance_embeds[1].any()
    mixed["pixel_values"] = torch.where(
        mixed["image_mask"][:, None, None, None].bool(), mixed["pixel_values"], 0.0
    ).requires_grad_()
    model(**mixed).embeds.sum().backward()
    assert torch.isfinite(mixed["pixel_values"].grad).all()
    assert not mixed["pixel_values"].grad[1].any()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@FAMILIES
def test_batch_equals_single(vision):
    model, inputs = two_glances(vision=vision), large_inputs()
    batch = run(model, inputs)
    for row in range(3):
        single = {name: value[row : row + 1] for name, value in inputs.items()}
        length = int(single["attention_mask"].sum())
        single |= {name: single[name][:, :length] for name in ("input_ids", "attention_mask")}
        alone = run(model, single)
        for name in ("embeds", "grounding", *NEW):
            torch.testing.assert_close(alone[name][0], batch[name][row], atol=1e-5, rtol=0)


@FAMILIES
def test_save_and_load_gives_equal_outputs(vision, tmp_path):
    model = two_glances("joint", vision)
    model.save_pretrained(tmp_path)
    loaded, info = TigerFGModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert_same(run(model, large_inputs("joint")), run(loaded, large_inputs("joint")), atol=1e-6)
    query, query_info = TigerFGQueryModel.from_pretrained(tmp_path, output_loading_info=True)
    item, item_info = TigerFGItemModel.from_pretrained(tmp_path, output_loading_info=True)
    for found in (query_info, item_info):
        assert not found["missing_keys"]
        assert not found["unexpected_keys"]
    expected = run(model, large_inputs("joint"))
    assert_same(run(item, large_inputs()), expected.item_model_output, atol=1e-6)
    query_pixels = large_inputs("joint")["query_pixel_values"]
    torch.testing.assert_close(run(query, {"pixel_values": query_pixels}).embeds, expected.query_embeds)


def test_a_checkpoint_of_one_glance_gets_a_second(tmp_path):
    """Missing weights start as configured: with votes, equal boxes of all patches; and the mean of both glances."""
    one = tiny_model("joint")
    one.save_pretrained(tmp_path)
    two, info = TigerFGModel.from_pretrained(tmp_path, output_loading_info=True, extent="votes", **SIZES)
    assert {name.partition(".")[0] for name in info["missing_keys"]} == {"extent", "glance_gate"}
    for name, parameter in two.named_parameters():
        assert torch.isfinite(parameter).all(), name
    assert not two.glance_gate.weight.any()
    assert not two.extent.reach.weight.any()
    assert (two.extent.reach.bias == -1).all()
    inputs = tiny_inputs("joint")
    output, expected = run(two, inputs).item_model_output, run(one, inputs)
    torch.testing.assert_close(output.first_embeds, expected.item_embeds)
    mean = torch.nn.functional.normalize(output.first_embeds + output.glance_embeds, dim=-1)
    torch.testing.assert_close(output.embeds, mean)


def test_towers_share_the_parameters_of_the_second_glance():
    joint, inputs = two_glances("joint"), large_inputs("joint")
    query, item = joint.towers()
    assert not any(name.startswith(("extent", "glance")) for name in query.state_dict())
    assert set(map(id, item.parameters())) < set(map(id, joint.parameters()))
    expected = run(joint, inputs)
    inputs.pop("query_pixel_values")
    assert_same(run(item, inputs), expected.item_model_output)
    assert torch.equal(joint.get_item_features(**inputs), expected.item_embeds)


@FAMILIES
def test_gradient_checkpointing_changes_no_gradient(vision):
    gradients = []
    for checkpointing in (False, True):
        model = two_glances(vision=vision).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        (model(**large_inputs()).embeds * torch.linspace(-1, 1, 16)).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=0, msg=name)


@FAMILIES
def test_every_parameter_of_the_second_glance_learns(vision):
    """The extent head learns from the embeddings, too, since the crop is differentiable in its window."""
    model = two_glances("joint", vision).train()
    model(**large_inputs("joint")).logits_per_query.logsumexp(0).sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith(("extent.", "glance_gate.")):
            assert parameter.grad.abs().max() > 0, name


@FAMILIES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision(vision, dtype, tmp_path):
    model, inputs = two_glances(vision=vision), large_inputs()
    model.save_pretrained(tmp_path)
    low = TigerFGItemModel.from_pretrained(tmp_path, dtype=dtype)
    assert {p.dtype for p in low.parameters()} == {dtype}
    cast = {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}
    found, expected = run(low, cast), run(model, inputs)
    for name in ("embeds", "glance_embeds"):
        assert found[name].dtype == torch.float32
        assert ((found[name] * expected[name]).sum(-1) > 0.985).all()
    assert found.extent.dtype == torch.float32
    assert (found.extent - expected.extent).abs().max() < 0.02
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = run(model, inputs)
    assert ((mixed.embeds * expected.embeds).sum(-1) > 0.985).all()


@pytest.mark.parametrize("vision", ["vit", "clip"])
def test_outputs_as_tuples_and_with_hidden_states(vision):
    model, inputs = two_glances(vision=vision), large_inputs()
    model.set_attn_implementation("eager")
    plain = run(model, inputs)
    as_tuple = run(model, inputs, return_dict=False)
    assert isinstance(as_tuple, tuple)
    for one, other in zip(tensors(plain).values(), tensors(as_tuple).values(), strict=True):
        assert torch.equal(one, other)
    verbose = run(model, inputs, output_hidden_states=True, output_attentions=True)
    assert [a.shape for a in verbose.attentions] == [(3, 4, 3, 7), (3, 4, 3, 16)]
    assert len(verbose.vision_model_output.hidden_states) == 3
    torch.testing.assert_close(verbose.embeds, plain.embeds)


def test_built_on_the_meta_device():
    with torch.device("meta"):
        model = TigerFGModel(tiny_config("joint", **SIZES))
    assert all(parameter.is_meta for parameter in model.parameters())
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in two_glances("joint").named_parameters()
    }


@pytest.mark.parametrize("vision", ["vit", "dinov3", "siglip"])
def test_compiles_without_graph_breaks(vision):
    torch._dynamo.reset()
    model, inputs = two_glances(vision=vision), large_inputs()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(run(compiled, inputs)["embeds"], run(model, inputs)["embeds"], atol=1e-6, rtol=0)


def test_built_from_pretrained_backbones(tmp_path):
    ViTModel(VISION["vit"]()).save_pretrained(tmp_path / "vision")
    BertModel(TEXT["bert"]()).save_pretrained(tmp_path / "text")
    model = TigerFGModel.from_backbones(str(tmp_path / "vision"), str(tmp_path / "text"), projection_dim=16, **SIZES)
    assert not model.glance_gate.weight.any()
    output = run(model, large_inputs("joint")).item_model_output
    torch.testing.assert_close(
        output.embeds, torch.nn.functional.normalize(output.first_embeds + output.glance_embeds, dim=-1)
    )
