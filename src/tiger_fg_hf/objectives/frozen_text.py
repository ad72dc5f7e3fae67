"""A cache of the tokens of a frozen text encoder, which then runs once per text."""

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel


class FrozenTextTokens:
    """Encodes texts with a frozen text encoder, and keeps the tokens of each text in main memory.

    Each text is encoded alone and without padding, so its tokens do not depend on the other texts of its batch. A
    resumed run starts with an empty cache and sees the same numbers.

    Args:
        text_model: encoder with a `last_hidden_state`, in eval mode whenever it is called.
        max_bytes: bound of the tokens' size in bytes. Texts beyond it are encoded every time.
    """

    def __init__(self, text_model: PreTrainedModel, max_bytes: int = 4 * 2**30):
        self.text_model = text_model
        self.max_bytes = max_bytes
        self._tokens: dict[bytes, torch.Tensor] = {}
        self._bytes = 0

    def load(self, path: str | Path) -> None:
        """Add the tokens that a run with the same encoder and precision has saved, as far as there is room."""
        for key, tokens in load_file(path).items():
            self._keep(bytes.fromhex(key), tokens)

    def save(self, path: str | Path) -> None:
        """Write all tokens to a safetensors file. An interrupted call leaves the old file in place."""
        partial = Path(path).with_name(f".partial-{os.getpid()}-{Path(path).name}")
        try:
            save_file({key.hex(): tokens.contiguous() for key, tokens in self._tokens.items()}, partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @torch.no_grad()
    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the tokens of texts, encoding those that are not in the cache.

        Args:
            input_ids (`[B, L]`): texts, padded on the right.
            attention_mask (`[B, L]`): 0 at padding.

        Returns:
            Tokens `[B, L, width]`; zeros at padding.

        Raises:
            RuntimeError: the encoder is in train mode.
        """
        if self.text_model.training:
            raise RuntimeError(
                f"The frozen text encoder {type(self.text_model).__name__} is in train mode, so the cache would keep "
                "tokens with dropout: call its eval() after the student's train()."
            )
        lengths = attention_mask.sum(-1).tolist()
        texts = [self._encode(ids[:length]) for ids, length in zip(input_ids.cpu(), lengths, strict=True)]
        padded = texts[0].new_zeros(*input_ids.shape, texts[0].shape[-1])
        for row, length, tokens in zip(padded, lengths, texts, strict=True):
            row[:length] = tokens
        return padded.to(input_ids.device)

    def _encode(self, ids: torch.Tensor) -> torch.Tensor:
        key = ids.numpy().tobytes()
        tokens = self._tokens.get(key)
        if tokens is None:
            device = self.text_model.device
            # An empty text still needs a token, for the width.
            ids = ids if len(ids) else ids.new_zeros(1)
            output = self.text_model(
                input_ids=ids[None].to(device), attention_mask=torch.ones_like(ids)[None].to(device)
            )
            tokens = output.last_hidden_state[0].cpu()
            self._keep(key, tokens)
        return tokens

    def _keep(self, key: bytes, tokens: torch.Tensor) -> None:
        if key not in self._tokens and self._bytes + tokens.nbytes <= self.max_bytes:
            self._tokens[key] = tokens
            self._bytes += tokens.nbytes
