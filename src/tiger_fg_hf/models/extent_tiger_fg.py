"""The extent of the object that an item sells: from the grounding map to a box (not in the paper)."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN

from .configuration_tiger_fg import TigerFGItemConfig
from .encoders_tiger_fg import TigerFGVisionTokens
from .outputs_tiger_fg import TigerFGExtentOutput, TigerFGItemOutput
from .patch_grid import patch_centres

# A map that spreads over less than the first share of the patches tells where the object is; over more than the
# second, it does not.
_SPREAD_OF_A_FLAT_MAP = (0.8, 0.95)
_QUANTILE_MASS = 0.5
_QUANTILE_WIDENING = 1.4


def map_spread(grounding: torch.Tensor) -> torch.Tensor:
    """Return the share of the patches that a grounding map spreads over: `exp(entropy) / N`.

    Args:
        grounding: `[B, h, w]`; each map sums to 1.

    Returns:
        `[B]`, from `1 / N` for all weight on one patch to 1 for a flat map.

    Example:
        >>> import torch
        >>> map_spread(torch.tensor([[[0.25, 0.25], [0.25, 0.25]], [[0.5, 0.5], [0.0, 0.0]]]))
        tensor([1.0000, 0.5000])
    """
    weights = grounding.flatten(1).float()
    entropy = -(weights * weights.clamp(min=1e-9).log()).sum(dim=-1)
    return entropy.exp() / weights.shape[1]


def widen_if_flat(boxes: torch.Tensor, grounding: torch.Tensor) -> torch.Tensor:
    """Move boxes towards the whole picture where the grounding map is flat, and clip them to the picture.

    The box stays as it is while the map spreads over at most 80% of the patches, see [`map_spread`]. It becomes the
    whole picture at 95%, and is interpolated in between, so that it is a continuous function of the map.

    Args:
        boxes: `[B, 4]`, x0, y0, x1, y1 as shares of width and height.
        grounding: `[B, h, w]`.

    Returns:
        `[B, 4]`, in [0, 1], float32.
    """
    whole = torch.cat([torch.zeros_like(boxes[:, :2]), torch.ones_like(boxes[:, 2:])], dim=-1)
    return torch.lerp(boxes.float().clamp(0.0, 1.0), whole.float(), _flatness(grounding)[:, None])


def weigh_by_mask(grounding: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Multiply grounding maps by masks of the object, less so where the map is flat, see [`widen_if_flat`].

    Args:
        grounding: `[B, h, w]`; each map sums to 1, or to 0 for an item without an image.
        mask: `[B, h, w]`, in (0, 1].

    Returns:
        `[B, h, w]` with the same sums, float32.

    Example:
        >>> import torch
        >>> weigh_by_mask(torch.tensor([[[0.75, 0.25, 0.0, 0.0, 0.0]]]), torch.tensor([[[0.2, 0.6, 0.1, 0.1, 0.1]]]))
        tensor([[[0.5000, 0.5000, 0.0000, 0.0000, 0.0000]]])
    """
    flatness = _flatness(grounding)[:, None, None]
    weighted = grounding.float() * torch.lerp(mask.float(), torch.ones_like(flatness), flatness)
    sums = grounding.float().sum(dim=(1, 2), keepdim=True)
    return weighted * sums / weighted.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def _flatness(grounding: torch.Tensor) -> torch.Tensor:
    """Return 0 for maps that tell where the object is, 1 for those that do not, `[B]`."""
    low, high = _SPREAD_OF_A_FLAT_MAP
    return ((map_spread(grounding) - low) / (high - low)).clamp(0.0, 1.0)


def quantile_boxes(grounding: torch.Tensor) -> torch.Tensor:
    """Return the box between the quartiles of each map along both axes, widened by 40%.

    Args:
        grounding: `[B, h, w]`; each map sums to 1.

    Returns:
        `[B, 4]`, x0, y0, x1, y1 as shares of width and height; may reach outside the picture.

    Example:
        >>> import torch
        >>> quantile_boxes(torch.tensor([[[0.0, 1.0, 0.0, 0.0]]]))
        tensor([[0.2875, 0.1500, 0.4625, 0.8500]])
    """
    sides = []
    for axis in (1, 2):
        mass = grounding.float().sum(dim=axis)
        before = mass.cumsum(dim=-1) - mass
        levels = mass.new_tensor([(1 - _QUANTILE_MASS) / 2, (1 + _QUANTILE_MASS) / 2])[:, None]
        # Each patch counts by the share of its mass that lies below the level.
        below = ((levels - before[:, None]) / mass[:, None].clamp(min=1e-9)).clamp(0.0, 1.0)
        low, high = below.mean(dim=-1).unbind(dim=-1)
        middle, half = (low + high) / 2, _QUANTILE_WIDENING * (high - low) / 2
        sides.append((middle - half, middle + half))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=-1)


class TigerFGQuantileExtent(nn.Module):
    """Extent from the quantiles of the grounding map; has no parameters."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()

    def forward(self, tokens: TigerFGVisionTokens, output: TigerFGItemOutput) -> TigerFGExtentOutput:
        """Find the extents of items from the first glance; see [`TigerFGVotedExtent.forward`]."""
        return TigerFGExtentOutput(extent=widen_if_flat(quantile_boxes(output.grounding), output.grounding))


class TigerFGReach(nn.Linear):
    """Last layer of the voted extent; every patch starts with the same box around it."""

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Set the weights to zero and the biases so that a box reaches 0.31 of the picture to each side."""
        init.zeros_(self.weight)
        init.constant_(self.bias, -1.0)


class TigerFGVotedExtent(nn.Module):
    """Learned extent: every patch predicts the box of the object that it lies on, and the grounding map weighs them.

    The boxes of the patches depend on the picture alone; the text decides through the map which of them count.
    """

    needs_boxes = True

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width = config.vision_config.hidden_size
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.hidden = nn.Linear(width, width)
        self.activation = ACT2FN[config.hidden_act]
        self.reach = TigerFGReach(width, 4)
        self.sharpness = config.extent_sharpness

    def patch_extents(self, patches: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Predict for every patch the box of the object that it lies on.

        Args:
            patches: Patch tokens, `[B, h * w, d]`.
            grid: Rows h and columns w.

        Returns:
            `[B, h * w, 4]`, x0, y0, x1, y1 as shares of width and height, float32. Each box contains the center of its
            patch and may reach outside the picture.
        """
        reach = self.reach(self.activation(self.hidden(self.norm(patches))))
        reach = nn.functional.softplus(reach.float())
        centres = patch_centres(grid, patches.device)
        return torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], dim=-1)

    def forward(self, tokens: TigerFGVisionTokens, output: TigerFGItemOutput) -> TigerFGExtentOutput:
        """Find the extents of items.

        Args:
            tokens: Tokens of the pictures, from the first glance.
            output: Output of the first glance.

        Returns:
            The extents, and the boxes of all patches. A flat map gives the whole picture, see [`widen_if_flat`].
        """
        weights = output.grounding.flatten(1)
        if self.sharpness != 1.0:
            weights = weights.clamp(min=1e-9) ** self.sharpness
            weights = weights / weights.sum(dim=-1, keepdim=True)
        patch_extents = self.patch_extents(tokens.patches, tokens.grid)
        boxes = torch.einsum("bn,bnk->bk", weights, patch_extents)
        return TigerFGExtentOutput(extent=widen_if_flat(boxes, output.grounding), patch_extents=patch_extents)
