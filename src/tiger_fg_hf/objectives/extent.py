"""`L_extent`: the extent that the item tower finds is the target's box (not in the paper)."""

import torch
from torch.nn import functional as F

from ..models.extent_head_tiger_fg import boxes_from_edges
from ..models.outputs_tiger_fg import TigerFGExtentOutput
from .context import LossContext


def extent_rows(predicted: TigerFGExtentOutput, boxes: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Compare predicted extents with true boxes.

    `L_extent` is the mean over rows with a box. It trains what finds the extent, where the item tower looks a second
    time; see [`vote_rows`] for `extent="votes"` and [`edge_rows`] for `extent="head"`.

    Args:
        predicted: the model's prediction for B items.
        boxes (`[B, 4]`): true boxes, x0, y0, x1, y1 as shares of width and height.
        inside (`[B, N]`, boolean): the patches of the target.

    Returns:
        Tensor `[B]`, float32.

    Raises:
        ValueError: the prediction has no outputs to train.
    """
    with torch.autocast(boxes.device.type, enabled=False):
        if predicted.patch_extents is not None:
            return vote_rows(predicted.patch_extents.float(), boxes.float(), inside)
        mask, columns, rows = predicted.mask_logits, predicted.column_logits, predicted.row_logits
        if mask is None or columns is None or rows is None:
            raise ValueError("An extent without patch_extents needs mask_logits, column_logits and row_logits.")
        return edge_rows(mask.float(), columns.float(), rows.float(), boxes.float())


def vote_rows(patch_extents: torch.Tensor, boxes: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Compute `L1 + 1 - GIoU` of the boxes that the patches of each target predict, averaged over these patches.

    Args:
        patch_extents (`[B, N, 4]`): predicted boxes, x0, y0, x1, y1 as shares of width and height.
        boxes (`[B, 4]`): true boxes in the same form.
        inside (`[B, N]`, boolean): the patches of the target.

    Returns:
        Tensor `[B]`; 0 for rows without patches of the target.

    Example:
        ```python
        >>> boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5]])
        >>> predicted = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 1.0]]])
        >>> vote_rows(predicted, boxes, torch.tensor([[True, True]]))  # (0 + 0.5 + 0.5) / 2
        tensor([0.5000])
        >>> vote_rows(predicted, boxes, torch.tensor([[True, False]]))
        tensor([0.])

        ```
    """
    error = (patch_extents - boxes[:, None]).abs().sum(dim=-1) + 1 - generalized_iou(patch_extents, boxes[:, None])
    weights = inside.to(error.dtype)
    return (error * weights).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1.0)


def edge_rows(
    mask_logits: torch.Tensor, column_logits: torch.Tensor, row_logits: torch.Tensor, boxes: torch.Tensor
) -> torch.Tensor:
    """Compute the error of predicted masks and edges.

    It is `2 L1 + 1 - GIoU` of the box, plus twice the mean cross-entropy and the Jaccard distance of the mask, plus a
    quarter of the cross-entropy of the four edges. The mask's target is the box; an edge between two places is a
    mixture of both.

    Args:
        mask_logits (`[B, m, n]`): logits of masks.
        column_logits (`[B, 2, n]`): logits of the left and right edge.
        row_logits (`[B, 2, m]`): logits of the upper and lower edge.
        boxes (`[B, 4]`): true boxes, x0, y0, x1, y1 as shares of width and height.

    Returns:
        Tensor `[B]`.
    """
    box = boxes_from_edges(column_logits, row_logits)
    error = 2 * (box - boxes).abs().sum(dim=-1) + 1 - generalized_iou(box, boxes)
    x0, y0, x1, y1 = boxes.unbind(dim=-1)
    rows, columns = (
        _coverage(low, high, size) for low, high, size in zip((y0, x0), (y1, x1), mask_logits.shape[1:], strict=True)
    )
    target, mask = rows[:, :, None] * columns[:, None], mask_logits.sigmoid()
    common = (mask * target).sum(dim=(1, 2))
    distance = 1 - (common + 1) / (mask.sum(dim=(1, 2)) + target.sum(dim=(1, 2)) - common + 1)
    pixels = F.binary_cross_entropy_with_logits(mask_logits, target, reduction="none").mean(dim=(1, 2))
    edges = sum(
        _edge_entropy(logits[:, side], edge)
        for logits, pair in ((column_logits, (x0, x1)), (row_logits, (y0, y1)))
        for side, edge in enumerate(pair)
    )
    return error + 2 * pixels + distance + 0.25 * edges


def _coverage(low: torch.Tensor, high: torch.Tensor, size: int) -> torch.Tensor:
    """Return the share of each of `size` places that lies in [low, high), `[B, size]`."""
    starts = torch.arange(size, device=low.device) / size
    overlap = torch.minimum(high[:, None], starts + 1 / size) - torch.maximum(low[:, None], starts)
    return (overlap * size).clamp(0.0, 1.0)


def _edge_entropy(logits: torch.Tensor, edge: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy `[B]` of places with logits `[B, n]` against the two places next to an edge."""
    size = logits.shape[-1]
    place = (edge * size - 0.5).clamp(0.0, size - 1.0)
    lower = place.floor().clamp(max=size - 2)
    share = place - lower
    surprise = -logits.log_softmax(dim=-1)
    below, above = (surprise.gather(1, (lower + step).long()[:, None])[:, 0] for step in (0, 1))
    return (1 - share) * below + share * above


def generalized_iou(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Compute the generalized IoU of boxes: the IoU less the share of the common hull that neither box covers.

    Args:
        one (`[..., 4]`): boxes, x0, y0, x1, y1.
        other (`[..., 4]`): other boxes; broadcast.

    Returns:
        Tensor `[...]` in [-1, 1]. Unlike the IoU, it has a gradient for boxes that do not overlap.

    Example:
        ```python
        >>> generalized_iou(torch.tensor([0.0, 0.0, 1.0, 1.0]), torch.tensor([2.0, 0.0, 3.0, 1.0]))
        tensor(-0.3333)

        ```
    """
    overlap = _area(torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:]))
    hull = _area(torch.minimum(one[..., :2], other[..., :2]), torch.maximum(one[..., 2:], other[..., 2:]))
    union = _area(one[..., :2], one[..., 2:]) + _area(other[..., :2], other[..., 2:]) - overlap
    return overlap / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


def _area(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    return (high - low).clamp(min=0.0).prod(dim=-1)


def corrected_extents(extents: torch.Tensor, boxes: torch.Tensor, has_box: torch.Tensor) -> torch.Tensor:
    """Replace extents that overlap their true box by less than half (IoU) with that box.

    Early in training most extents are replaced, later few: the second glance always learns from the right object.

    Args:
        extents (`[B, 4]`): found extents, x0, y0, x1, y1 as shares of width and height.
        boxes (`[B, 4]`): true boxes in the same form.
        has_box (`[B]`): whether there is a true box; extents without one stay.

    Returns:
        Tensor `[B, 4]`.

    Example:
        ```python
        >>> extents, boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5]]), torch.tensor([[0.5, 0.0, 1.0, 0.5]])
        >>> corrected_extents(extents, boxes, torch.tensor([True]))
        tensor([[0.5000, 0.0000, 1.0000, 0.5000]])

        ```
    """
    common = _area(torch.maximum(extents[:, :2], boxes[:, :2]), torch.minimum(extents[:, 2:], boxes[:, 2:]))
    union = _area(extents[:, :2], extents[:, 2:]) + _area(boxes[:, :2], boxes[:, 2:]) - common
    wrong = has_box & (common < 0.5 * union)
    return torch.where(wrong[:, None], boxes.to(extents.dtype), extents)


def extent_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_extent` of a training step, which needs `boxes` and `has_box`; `None` without boxes."""
    if "extent_error" not in context.representations:
        return None
    has_box = context.batch["has_box"]
    return context.rows.mean(context.representations["extent_error"], has_box, context.gather(has_box))
