"""The cache of the tokens of a frozen text encoder."""

import pytest
import torch
from student_cases import rows_through
from tiny import VOCAB, tiny_model

from tiger_fg_hf.objectives.frozen_text import FrozenTextTokens


def encoder(text: str = "bert"):
    return tiny_model(text=text).text_model


def texts(lengths: list[int], width: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, padded on the right with valid ids, which must not be read."""
    ids = torch.randint(3, VOCAB, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    return ids, (torch.arange(width) < torch.tensor(lengths)[:, None]).long()


@pytest.mark.parametrize("text", ["bert", "xlm_roberta", "modernbert"])
def test_equals_the_encoder(text):
    """Which runs on a padded batch. The cache returns zeros at padding."""
    model, (ids, mask) = encoder(text), texts([8, 3, 1, 5])
    found = FrozenTextTokens(model)(ids, mask)
    expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
    assert found.shape == expected.shape
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-5)
    assert torch.equal(found[~mask.bool()], torch.zeros_like(found[~mask.bool()]))
    assert not found.requires_grad


def test_does_not_depend_on_the_batch():
    """Bit by bit: alone, among others, in another order, with more padding, from the cache or not."""
    model, (ids, mask) = encoder(), texts([8, 3, 1, 5])
    together = FrozenTextTokens(model)(ids, mask)
    used = FrozenTextTokens(model)
    for row in (2, 0, 3, 1, 2):
        assert torch.equal(used(ids[row : row + 1], mask[row : row + 1])[0], together[row])
    order = [3, 1, 0, 2]
    assert torch.equal(used(ids[order], mask[order]), together[order])
    wider = [torch.nn.functional.pad(tensor, (0, 4)) for tensor in (ids, mask)]
    assert torch.equal(FrozenTextTokens(model)(*wider)[:, :8], together)


def test_texts_with_a_common_beginning_differ():
    model, (ids, mask) = encoder(), texts([3, 5])
    ids[1] = ids[0]
    found = FrozenTextTokens(model)(ids, mask)
    assert not torch.allclose(found[0, :3], found[1, :3], atol=1e-3)


@pytest.mark.parametrize("lengths", [[0], [4, 0, 2], [0, 0]])
def test_empty_texts_are_zeros(lengths):
    model, (ids, mask) = encoder(), texts(lengths)
    tokens = FrozenTextTokens(model)
    for _ in range(2):
        found = tokens(ids, mask)
        assert found.shape == (len(lengths), 8, 32)
        assert torch.equal(found.any(-1), mask.bool())


def test_each_text_is_encoded_once():
    model, (ids, mask) = encoder(), texts([4, 3, 4, 0])
    ids[2] = ids[0]
    tokens = FrozenTextTokens(model)
    with rows_through(model) as calls:
        tokens(ids, mask)
        assert calls == [1, 1, 1]
        tokens(ids.flip(0), mask.flip(0))
        assert len(calls) == 3
        tokens(*texts([4], seed=5))
        assert len(calls) == 4


def test_stays_within_its_bound(tmp_path):
    """Texts beyond it are encoded every time, with the same result; tokens from a file count too."""
    model, (ids, mask) = encoder(), texts([4, 3, 5, 6])
    size = 4 * 32  # bytes per token
    bounded = FrozenTextTokens(model, max_bytes=9 * size)
    whole = FrozenTextTokens(model)
    expected = whole(ids, mask)
    with rows_through(model) as calls:
        for _ in range(3):
            assert torch.equal(bounded(ids, mask), expected)
    assert len(calls) == 4 + 2 + 2
    whole.save(tmp_path / "tokens.safetensors")
    loaded = FrozenTextTokens(model, max_bytes=9 * size)
    loaded.load(tmp_path / "tokens.safetensors")
    with rows_through(model) as calls:
        assert torch.equal(loaded(ids, mask), expected)
    assert len(calls) >= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tokens_on_disk_are_the_same(tmp_path, dtype):
    """Bit by bit, those of the empty text too; loading adds to the tokens in memory."""
    model, (ids, mask) = encoder().to(dtype), texts([4, 0, 5, 6])
    path = tmp_path / "tokens.safetensors"
    first = FrozenTextTokens(model)
    expected = first(ids[:3], mask[:3])
    first.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["tokens.safetensors"]
    second = FrozenTextTokens(model)
    last = second(ids[3:], mask[3:])
    second.load(path)
    with rows_through(model) as calls:
        found = second(ids, mask)
    assert not calls
    assert found.dtype == dtype
    assert torch.equal(found, torch.cat([expected, last]))
    second.save(path)
    third = FrozenTextTokens(model)
    third.load(path)
    with rows_through(model) as calls:
        assert torch.equal(third(ids, mask), found)
    assert not calls


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = encoder()
    path = tmp_path / "tokens.safetensors"
    tokens = FrozenTextTokens(model)
    tokens(*texts([4]))
    tokens.save(path)
    before = path.read_bytes()

    def fail(tensors, partial):
        partial.write_bytes(b"half")
        raise OSError("disk full")

    tokens(*texts([6], seed=3))
    monkeypatch.setattr("tiger_fg_hf.objectives.frozen_text.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        tokens.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_encoder_in_train_mode_is_an_error():
    model = encoder()
    tokens, (ids, mask) = FrozenTextTokens(model), texts([4])
    tokens(ids, mask)
    model.train()
    with pytest.raises(RuntimeError, match="BertModel is in train mode"):
        tokens(ids, mask)


def test_results_are_copies():
    """Changing one leaves the cache as it is."""
    tokens, (ids, mask) = FrozenTextTokens(encoder()), texts([4, 3])
    expected = tokens(ids, mask).clone()
    tokens(ids, mask).zero_()
    assert torch.equal(tokens(ids, mask), expected)
