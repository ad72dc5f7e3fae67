"""`L_rr`: the two query streams carry different information (TGQ-Former)."""

import torch

from .context import LossContext


def redundancy_loss(metadata: torch.Tensor, exploratory: torch.Tensor, *, eps: float = 1e-5) -> torch.Tensor:
    """Compute `L_rr = (1/d) ‖diag(C)‖²`.

    `C` is the correlation over the batch between the channels of the two pooled streams. The diagonal compares each
    channel of one stream with the same channel of the other. A channel that does not vary over the batch has no
    correlation and adds 0, up to rounding. The loss accompanies `L_i2i`, which leaves the streams free to repeat each
    other.

    The formula comes from the paper; it uses the diagonal only.

    Args:
        metadata (`[B, d]`): the metadata stream's means over queries, for all items of all processes. Every process
            computes the same value, so the mean gradient over processes is that of the whole batch.
        exploratory (`[B, d]`): the same for the exploratory stream.
        eps: added to the variances, so that a channel that hardly varies has no steep gradient.

    Returns:
        Scalar in float32, in [0, 1]; exactly 0 for a single item.

    Raises:
        ValueError: the streams differ in shape.

    Example:
        ```python
        >>> stream = torch.tensor([[1.0, -1.0], [2.0, 1.0], [3.0, -1.0]])
        >>> round(redundancy_loss(stream, -3 * stream).item(), 3)
        1.0
        >>> round(redundancy_loss(stream, stream.flip(1)).item(), 3)
        0.0

        ```
    """
    if metadata.shape != exploratory.shape:
        raise ValueError(f"The streams differ in shape: {tuple(metadata.shape)} and {tuple(exploratory.shape)}.")
    with torch.autocast(metadata.device.type, enabled=False):
        first, second = (_standardised(stream.float(), eps) for stream in (metadata, exploratory))
        return (first * second).mean(dim=0).square().mean()


def redundancy_term(context: LossContext) -> torch.Tensor | None:
    """Compute `L_rr` of a training step over both listings of all pairs; `None` for a connector of one stream."""
    if "first_metadata" not in context.representations:
        return None
    metadata, exploratory = (
        torch.cat([context.gather(context.representations[f"{side}_{stream}"]) for side in ("first", "second")])
        for stream in ("metadata", "exploratory")
    )
    return redundancy_loss(metadata, exploratory)


def _standardised(stream: torch.Tensor, eps: float) -> torch.Tensor:
    centred = stream - stream.mean(dim=0)
    return centred * torch.rsqrt(centred.square().mean(dim=0) + eps)
