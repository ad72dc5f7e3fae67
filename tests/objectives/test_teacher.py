"""The frozen teacher's features, and the folder that caches them."""

import numpy as np
import pytest
import torch
from PIL import Image
from student_cases import CATALOG_ROWS, TEACHER_WIDTH, rows_through, tiny_teacher
from tiny import IMAGE, tiny_model
from torch.nn import functional as F

from tiger_fg_hf.models.encoders_tiger_fg import encode_image
from tiger_fg_hf.objectives.teacher import TeacherFeatures

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def encoder(vision: str = "vit", seed: int = 0):
    return tiny_model(vision=vision, seed=seed).vision_model


def photos(number: int = 5, seed: int = 0) -> list[Image.Image]:
    """Photos of different sizes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(IMAGE // 2, 3 * IMAGE, size=(number, 2))
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def cached(folder, teacher, crops=None, **kwargs) -> TeacherFeatures:
    settings = {"fingerprint": "catalog", "image_size": IMAGE, "image_mean": MEAN, "image_std": STD, "region_grid": 4}
    return TeacherFeatures.cached(folder, teacher, photos() if crops is None else crops, **{**settings, **kwargs})


@torch.no_grad()
def direct(teacher, crops):
    """The teacher's tokens, in float32 and without a cache."""
    pixels = [
        np.asarray(crop.resize((IMAGE, IMAGE), Image.Resampling.BICUBIC, reducing_gap=2.0)) / 255 for crop in crops
    ]
    pixels = torch.from_numpy((np.stack(pixels) - MEAN) / STD).permute(0, 3, 1, 2).float()
    return encode_image(teacher, pixels)


def assert_features_close(found, expected: torch.Tensor) -> None:
    """Compare features at the precision of bfloat16."""
    found = torch.as_tensor(np.array(found)).float()
    assert found.shape == expected.shape
    assert (found - expected).norm(dim=-1).max() < 0.05 * expected.norm(dim=-1).mean()
    assert F.cosine_similarity(found, expected, dim=-1).min() > 0.99


@pytest.mark.parametrize("vision", ["vit", "dinov2_with_registers"])
def test_equals_the_encoder(tmp_path, vision):
    """In batches that do not divide the catalog, with a teacher that was in train mode."""
    teacher = encoder(vision)
    for module in teacher.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    expected = direct(teacher, photos())
    features = cached(tmp_path, teacher.train(), batch_size=2)
    assert_features_close(features.item_cls, expected.cls)
    assert_features_close(features.item_regions, expected.patches.unflatten(1, expected.grid))
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("region_grid", [2, 6])
def test_regions_on_another_grid(tmp_path, region_grid):
    """Averaged to a coarser grid, interpolated to a finer one."""
    teacher = encoder()
    patches = direct(teacher, photos()).patches.view(5, 4, 4, 32)
    regions = cached(tmp_path, teacher, region_grid=region_grid).item_regions
    if region_grid == 2:
        assert_features_close(regions, patches.unflatten(1, (2, 2)).unflatten(3, (2, 2)).mean((2, 4)))
    else:
        assert_features_close(regions[:, [0, 0, -1, -1], [0, -1, 0, -1]], patches[:, [0, 0, -1, -1], [0, -1, 0, -1]])
        assert regions.shape == (5, 6, 6, 32)


def test_photos_of_any_mode(tmp_path):
    colour = photos(1)[0]
    crops = [colour, colour.convert("RGBA"), colour.convert("L"), colour.convert("L").convert("RGB")]
    found = cached(tmp_path, encoder(), crops).item_cls
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[2], found[3])


def test_is_computed_once(tmp_path):
    """The second time, neither the teacher nor the photos are used."""
    teacher = encoder()
    with rows_through(teacher) as calls:
        first = cached(tmp_path, teacher, batch_size=3)
        assert calls == [3, 2]

        class Unseen(list):
            def __getitem__(self, index):
                raise AssertionError("a photo was read")

        again = cached(tmp_path, teacher, Unseen(photos()))
        assert calls == [3, 2]
    assert np.array_equal(first.item_cls, again.item_cls)
    assert np.array_equal(first.item_regions, again.item_regions)
    assert len(list(tmp_path.iterdir())) == 1


def test_another_teacher_catalog_or_setting_has_another_folder(tmp_path):
    teacher, other = encoder(), encoder(seed=1)
    first = cached(tmp_path, teacher)
    folders = {path.name for path in tmp_path.iterdir()}
    for change in (
        {"teacher": other},
        {"fingerprint": "other"},
        {"image_size": 2 * IMAGE},
        {"image_mean": (0.1, 0.1, 0.1)},
        {"image_std": (1.0, 1.0, 1.0)},
        {"region_grid": 2},
        {"query_photos": photos(5, seed=1)},
    ):
        cached(tmp_path, **{"teacher": teacher, **change})
        now = {path.name for path in tmp_path.iterdir()}
        assert len(now - folders) == 1, change
        folders = now
    assert not np.array_equal(cached(tmp_path, other).item_cls, first.item_cls)


def test_one_weight_makes_another_teacher(tmp_path):
    teacher = encoder()
    cached(tmp_path, teacher)
    with torch.no_grad():
        next(teacher.parameters()).view(-1)[0] += 0.1
    cached(tmp_path, teacher)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_teacher_is_identified_by_what_changes_its_features(tmp_path):
    """Not by the version of transformers, its path or the names of its labels."""
    teacher = encoder()
    cached(tmp_path, teacher)
    config = teacher.config
    config.transformers_version, config._name_or_path, config.architectures = "0.0.1", "/elsewhere", ["ViTModel"]
    config.id2label, config.dtype = {0: "bag"}, "float32"
    cached(tmp_path, teacher)
    assert len(list(tmp_path.iterdir())) == 1
    config.layer_norm_eps *= 2
    cached(tmp_path, teacher)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("broken", [0, 4])
@pytest.mark.parametrize("kind", ["crops", "query_photos"])
def test_a_failed_computation_leaves_nothing(tmp_path, broken, kind):
    class Broken(list):
        def __getitem__(self, index):
            if index == broken:
                raise OSError("unreadable")
            return super().__getitem__(index)

    teacher = encoder()
    with pytest.raises(OSError, match="unreadable"):
        cached(tmp_path, teacher, batch_size=2, **{kind: Broken(photos())})
    assert not list(tmp_path.iterdir())
    assert len(cached(tmp_path, teacher, batch_size=2, query_photos=photos()).query_cls) == 5


def test_memory_holds_one_batch(tmp_path, monkeypatch):
    """Files are memory-mapped, in half precision, and have the catalog's length from the first batch on."""
    opened = []
    open_memmap = np.lib.format.open_memmap

    def opening(path, mode="r+", **settings):
        if mode == "w+":
            opened.append((path.name, settings["dtype"], settings["shape"]))
        return open_memmap(path, mode=mode, **settings)

    monkeypatch.setattr("numpy.lib.format.open_memmap", opening)
    features = cached(tmp_path, encoder(), batch_size=2)
    assert opened == [("item_cls.npy", np.float16, (5, 32)), ("item_regions.npy", np.float16, (5, 4, 4, 32))]
    assert isinstance(features.item_cls, np.memmap)
    assert isinstance(features.item_regions, np.memmap)


@pytest.mark.parametrize("left", [[], ["item_cls.npy"]])
def test_incomplete_folders_are_computed_again(tmp_path, left):
    """Folders of an interrupted copy or deletion, and of a process that died."""
    teacher = encoder()
    expected = np.array(cached(tmp_path, teacher).item_cls)
    (folder,) = tmp_path.iterdir()
    for file in folder.iterdir():
        if file.name not in left:
            file.unlink()
    (tmp_path / f".partial-{folder.name}-1").mkdir()
    with rows_through(teacher) as calls:
        features = cached(tmp_path, teacher)
    assert calls == [5]
    assert np.array_equal(features.item_cls, expected)
    assert len(features.item_regions) == 5


def test_two_processes_at_once(tmp_path, monkeypatch):
    """The one that ends later uses the other's folder, and leaves none of its own."""
    teacher = encoder()
    monkeypatch.setattr("os.getpid", lambda: 1)
    second_started = []

    class Photos(list):
        """While the first process reads its first photo, the second process does all of its work."""

        def __getitem__(self, index):
            if not second_started:
                second_started.append(True)
                monkeypatch.setattr("os.getpid", lambda: 2)
                cached(tmp_path, teacher)
                monkeypatch.setattr("os.getpid", lambda: 1)
            return super().__getitem__(index)

    features = cached(tmp_path, teacher, Photos(photos()))
    assert len(features.item_cls) == 5
    assert [path.name[:8] for path in tmp_path.iterdir()] == ["teacher-"]


def test_regions_are_mirrored_where_flipped():
    teacher = tiny_teacher()
    rows, flipped = torch.tensor([7, 0, 7, 11]), torch.tensor([True, False, False, True])
    found = teacher.regions(rows, flipped)
    stored = torch.from_numpy(teacher.item_regions).float()
    assert found.shape == (4, 3, 3, TEACHER_WIDTH)
    assert torch.equal(found[1], stored[0])
    assert torch.equal(found[2], stored[7])
    for place, row in ((0, 7), (3, 11)):
        for column in range(3):
            assert torch.equal(found[place, :, column], stored[row, :, 2 - column])
    assert found.dtype == torch.float32


def test_a_mirrored_photo_has_mirrored_regions(tmp_path):
    """The teacher sees each patch by itself, so it gives a mirrored photo the same features in mirrored places."""
    teacher = encoder()
    with torch.no_grad():  # no attention, no positions: each token is a function of its patch
        teacher.embeddings.position_embeddings.zero_()
        for name, parameter in teacher.named_parameters():
            if "attention" in name and ("output" in name or "o_proj" in name):
                parameter.zero_()
        projection = teacher.embeddings.patch_embeddings.projection
        projection.weight.copy_((projection.weight + projection.weight.flip(-1)) / 2)
    crops = photos(3)
    plain = cached(tmp_path, teacher, crops)
    mirrored = cached(
        tmp_path, teacher, [crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for crop in crops], fingerprint="mirrored"
    )
    rows = torch.arange(3)
    found = plain.regions(rows, torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(found, mirrored.regions(rows, torch.zeros(3, dtype=torch.bool)), atol=0.05, rtol=0.05)
    assert not torch.allclose(found, plain.regions(rows, torch.zeros(3, dtype=torch.bool)), atol=0.5)


def test_similarities_of_a_batch(tmp_path):
    """Query features are those of the catalog's own query photos, or else of the item crops."""
    rows = torch.tensor([4, 0, 4])
    crops, queries = photos(), photos(5, seed=1)
    teacher = encoder()
    query, item, valid = cached(tmp_path, teacher, crops).similarities({"rows": rows})
    assert torch.equal(query, item)
    assert valid.tolist() == [True] * 3
    query, same_item, _ = cached(tmp_path, teacher, crops, query_photos=queries).similarities({"rows": rows})
    assert torch.equal(same_item, item)
    assert_features_close(query, direct(teacher, queries).cls[rows])
    assert_features_close(item, direct(teacher, crops).cls[rows])


def test_every_crop_needs_its_query(tmp_path):
    with pytest.raises(ValueError, match="4 query photos were given for 5 crops"):
        cached(tmp_path, encoder(), query_photos=photos(4))
    assert not list(tmp_path.iterdir())


def test_rows_beyond_the_catalog_are_an_error():
    with pytest.raises(IndexError):
        tiny_teacher().similarities({"rows": torch.tensor([CATALOG_ROWS])})
