"""`L_rr`: the two query streams say different things (TGQ-Former)."""

import torch


def redundancy_loss(metadata: torch.Tensor, exploratory: torch.Tensor, *, eps: float = 1e-5) -> torch.Tensor:
    """
    `L_rr = (1/d) ‖diag(C)‖²`, `C` the correlation over the batch between the channels of the two pooled streams.

    Only the diagonal: each channel of one stream against the same channel of the other. A channel that does not vary
    over the batch correlates with nothing and adds 0, up to rounding.

    Args:
        metadata, exploratory (`[B, d]`): pooled streams of all items of the batch, over all processes. Alike on every
            process, so that its gradient after their mean is that of the whole.
        eps: added to the variances, so that a channel that hardly varies has no steep gradient.

    Returns:
        Scalar in float32, in [0, 1]; exactly 0 for a single item.

    Raises:
        ValueError: the streams differ in shape.
    """
    if metadata.shape != exploratory.shape:
        raise ValueError(f"The streams differ in shape: {tuple(metadata.shape)} and {tuple(exploratory.shape)}.")
    with torch.autocast(metadata.device.type, enabled=False):
        first, second = (_standardised(stream.float(), eps) for stream in (metadata, exploratory))
        return (first * second).mean(dim=0).square().mean()


def _standardised(stream: torch.Tensor, eps: float) -> torch.Tensor:
    centred = stream - stream.mean(dim=0)
    return centred * torch.rsqrt(centred.square().mean(dim=0) + eps)
