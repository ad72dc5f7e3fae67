"""Tokens of a frozen text encoder, computed once per text."""

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel


class FrozenTextTokens:
    """
    Keeps what a frozen text encoder says of each text it has seen, in main memory.

    Each text is encoded by itself and without padding, so its tokens do not depend on the batch it came in: a resumed
    run, whose memory starts empty, sees the same numbers.

    Args:
        text_model: encoder with a `last_hidden_state`, in eval mode whenever it is asked.
        max_bytes: size of the tokens that are kept; further texts are encoded anew each time.
    """

    def __init__(self, text_model: PreTrainedModel, max_bytes: int = 4 * 2**30):
        self.text_model = text_model
        self.max_bytes = max_bytes
        self._tokens: dict[bytes, torch.Tensor] = {}
        self._bytes = 0

    def load(self, path: str | Path) -> None:
        """Takes over what another run with the same encoder and precision has saved, as far as there is room."""
        for key, tokens in load_file(path).items():
            self._keep(bytes.fromhex(key), tokens)

    def save(self, path: str | Path) -> None:
        """Writes all tokens to a safetensors file, whole or not at all."""
        partial = Path(path).with_name(f".partial-{os.getpid()}-{Path(path).name}")
        try:
            save_file({key.hex(): tokens.contiguous() for key, tokens in self._tokens.items()}, partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @torch.no_grad()
    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """
        Args:
            input_ids, attention_mask (`[B, L]`): padded on the right.

        Returns:
            `[B, L, width]`; zeros at padding.

        Raises:
            RuntimeError: the encoder is in train mode.
        """
        if self.text_model.training:
            raise RuntimeError(
                f"The frozen text encoder {type(self.text_model).__name__} is in train mode, where its dropout would "
                "be kept with its tokens: call its eval() after the student's train()."
            )
        lengths = attention_mask.sum(-1).tolist()
        rows = [self._one(ids[:length]) for ids, length in zip(input_ids.cpu(), lengths, strict=True)]
        tokens = rows[0].new_zeros(*input_ids.shape, rows[0].shape[-1])
        for row, length, kept in zip(tokens, lengths, rows, strict=True):
            row[:length] = kept
        return tokens.to(input_ids.device)

    def _one(self, ids: torch.Tensor) -> torch.Tensor:
        key = ids.numpy().tobytes()
        found = self._tokens.get(key)
        if found is None:
            device = self.text_model.device
            # An item without text still needs a width.
            ids = ids if len(ids) else ids.new_zeros(1)
            output = self.text_model(
                input_ids=ids[None].to(device), attention_mask=torch.ones_like(ids)[None].to(device)
            )
            found = output.last_hidden_state[0].cpu()
            self._keep(key, found)
        return found

    def _keep(self, key: bytes, tokens: torch.Tensor) -> None:
        if key not in self._tokens and self._bytes + tokens.nbytes <= self.max_bytes:
            self._tokens[key] = tokens
            self._bytes += tokens.nbytes
