"""Collation of TIGER-FG's pairs into one batch of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .boxes import map_box
from .stable_id import stable_id


class TigerFGCollator:
    """Turn pairs of a `TigerFGPairDataset` into one batch.

    Args:
        processor: A `TigerFGProcessor`.
        close_size: Height and width of close views in pixels; None leaves them out.
        full_size: Whether item pictures are as large as in use (`processor.item_size`) rather than as large as the
            first glance; they differ for models with two glances.
    """

    def __init__(self, processor: Any, *, close_size: int | None = None, full_size: bool = False):
        self.processor = processor
        self.close_size = close_size
        self.full_size = full_size

    def __call__(self, pairs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate B pairs that show U different item pictures.

        Args:
            pairs: Items of the dataset.

        Returns:
            - `query_pixel_values` `[B, 3, H_q, W_q]`, float: The queries.
            - `pixel_values` `[U, 3, H, W]`, float: The item pictures, each once, in the order of their first pairs.
            - `image_index` `[B]`, long: `pixel_values[image_index]` are the pictures of the pairs.
            - `input_ids` and `attention_mask` `[B, L]`, long: The texts of the items.
            - `hard_input_ids` and `hard_attention_mask` `[B, K, L']`, long: K texts of other items for each pair;
              absent if K is 0.
            - `item_ids` `[B]`, long: Equal for equal `item_id`, in every process.
            - `category_ids` `[B]`, long: The same for categories; -1 without one.
            - `rows` `[B]`, long: Rows of the catalog.
            - `boxes` `[B, 4]`, float: `x0, y0, x1, y1` of the object as shares in [0, 1] of the processed item
              picture; 0 without a box.
            - `has_box` `[B]`, bool: Whether there is a box.
            - `flipped` `[B]`, bool: Whether the object is mirrored in the item picture.
            - `close_pixel_values` `[C, 3, s, s]`, float: The close views of the pairs that have one; absent without
              `close_size`.
            - `close_index` `[B]`, long: `close_pixel_values[close_index]` are the close views of the pairs; -1 without
              one. Absent without `close_size`.
            - `close_is_crop` `[B]`, bool: Whether the close view is cut out of the item picture. Absent without
              `close_size`.

        Raises:
            ValueError: If there are no pairs, or the processor cannot use one.
        """
        if not pairs:
            raise ValueError("pairs: expected at least one, found none")
        pictures = {pair["image_key"]: pair["image"] for pair in pairs}
        places = {key: place for place, key in enumerate(pictures)}
        texts = self.processor(text=[pair["text"] for pair in pairs], return_tensors="pt")
        images = self.processor.image_processor
        size = {"size": self.processor.item_size} if self.full_size else {}
        boxes = [
            None if pair["box"] is None else map_box(pair["box"], pair["image"].size, images.size, images.resize_mode)
            for pair in pairs
        ]
        categories = [pair["text"]["category"] for pair in pairs]
        return {
            # `return_tensors="pt"` would copy the pixels.
            "query_pixel_values": torch.as_tensor(
                self.processor(images=[pair["query"] for pair in pairs])["pixel_values"]
            ),
            "pixel_values": torch.as_tensor(images(list(pictures.values()), **size)["pixel_values"]),
            "image_index": torch.tensor([places[pair["image_key"]] for pair in pairs]),
            "input_ids": texts["input_ids"],
            "attention_mask": texts["attention_mask"],
            **self._hard_texts(pairs),
            "item_ids": torch.tensor([stable_id(pair["item_id"]) for pair in pairs]),
            "category_ids": torch.tensor([-1 if name is None else stable_id(name) for name in categories]),
            "rows": torch.tensor([pair["row"] for pair in pairs]),
            "boxes": torch.tensor([box or (0.0, 0.0, 0.0, 0.0) for box in boxes]),
            "has_box": torch.tensor([box is not None for box in boxes]),
            "flipped": torch.tensor([pair["flipped"] for pair in pairs]),
            **self._close_views(pairs),
        }

    def _hard_texts(self, pairs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        texts = [text for pair in pairs for text in pair["hard_texts"]]
        if not texts:
            return {}
        inputs = self.processor(text=texts, return_tensors="pt")
        return {
            f"hard_{name}": inputs[name].unflatten(0, (len(pairs), -1)) for name in ("input_ids", "attention_mask")
        }

    def _close_views(self, pairs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        if self.close_size is None:
            return {}
        side = self.close_size
        shown = [index for index, pair in enumerate(pairs) if pair["close"] is not None]
        # Every batch has both columns, even without any close view: processes must agree on the losses of a step.
        pixels, places = torch.empty(0, 3, side, side), torch.full((len(pairs),), -1)
        if shown:
            images = self.processor.image_processor
            close = images([pairs[index]["close"] for index in shown], size={"height": side, "width": side})
            pixels = torch.as_tensor(close["pixel_values"])
            places[shown] = torch.arange(len(shown))
        crops = torch.tensor([pair["close_is_crop"] for pair in pairs])
        return {"close_pixel_values": pixels, "close_index": places, "close_is_crop": crops}
