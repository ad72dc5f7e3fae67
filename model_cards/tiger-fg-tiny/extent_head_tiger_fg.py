"""A head that finds the extent of an object from the item's own tokens: a mask, then the edges (not in the paper)."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN

from .configuration_tiger_fg import TigerFGItemConfig
from .encoders_tiger_fg import TigerFGVisionTokens
from .extent_tiger_fg import weigh_by_mask, widen_if_flat
from .outputs_tiger_fg import TigerFGExtentOutput, TigerFGItemOutput

_EMBEDDING_WIDTH, _WIDTH, _LAYERS, _GROUPS = 128, 64, 3, 4
_SLOPE = 3.6  # of the logits over the picture; the edges start at about 1/4 and 3/4
_POSITIONS = 16  # along each axis; interpolated to the patch grid


class TigerFGExtentConvolution(nn.Module):
    """Residual 3 x 3 convolution over the patch grid, pre-norm."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, _WIDTH)
        self.activation = ACT2FN[config.hidden_act]
        self.conv = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Map `[B, c, h, w]` to the same shape."""
        return grid + self.conv(self.activation(self.norm(grid)))


class TigerFGExtentMask(nn.Module):
    """Mask of the object at twice the resolution of the patch grid."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, _WIDTH)
        self.activation = ACT2FN[config.hidden_act]
        self.upsample = nn.ConvTranspose2d(_WIDTH, _WIDTH // 2, 2, stride=2)
        self.conv = nn.Conv2d(_WIDTH // 2, 1, 3, padding=1)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Map `[B, c, h, w]` to logits `[B, 2 h, 2 w]`."""
        return self.conv(self.activation(self.upsample(self.activation(self.norm(grid)))))[:, 0]


class TigerFGExtentEdges(nn.Module):
    """Where the object begins and ends along one axis: a distribution over half patches for each of both edges."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(size, _WIDTH, 3, padding=1) for size in (2 * _WIDTH + 2, _WIDTH))
        self.activation = ACT2FN[config.hidden_act]
        self.edges = nn.Conv1d(_WIDTH, 4, 1)

    def forward(self, grid: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Find the edges along the last axis.

        Args:
            grid: `[B, c, h, w]`.
            mask: Positive share of each patch that is the object's, `[B, 1, h, w]`.

        Returns:
            Logits `[B, 2, 2 w]` of the first and the last half patch.
        """
        rows = mask.sum(dim=3, keepdim=True)
        rows = rows / rows.sum(dim=2, keepdim=True)
        pooled = [(grid * rows).sum(dim=2), grid.amax(dim=2), (mask * rows).sum(dim=2), mask.amax(dim=2)]
        profile = torch.cat(pooled, dim=1)
        for conv in self.convs:
            profile = self.activation(conv(profile))
        logits = self.edges(profile).unflatten(1, (2, 2)).transpose(2, 3).flatten(2)
        slopes = torch.tensor([-_SLOPE, _SLOPE], device=logits.device)
        return logits.float() + slopes[:, None] * edge_places(logits)


class TigerFGExtentPositions(nn.Module):
    """Learned position embeddings of rows and columns, interpolated to any grid."""

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, _EMBEDDING_WIDTH, _POSITIONS))

    def init_parameters(self, config: TigerFGItemConfig) -> None:
        """Draw the embeddings."""
        init.normal_(self.weight, std=config.initializer_range)

    def forward(self, grid: tuple[int, int]) -> torch.Tensor:
        """Return the embeddings of a grid of h rows and w columns, `[h * w, c]`."""
        rows, columns = (
            nn.functional.interpolate(axis[None], size=size, mode="linear")[0].T
            for axis, size in zip(self.weight, grid, strict=True)
        )
        return (rows[:, None] + columns[None]).flatten(0, 1)


class TigerFGExtentHead(nn.Module):
    """Learned extent: patches, focus and grounding map become a mask, and its columns and rows become edges.

    The text enters through the map and the focus `f_m`, which have read it. Both are detached: boxes are not to decide
    where the text points.
    """

    needs_boxes = True

    def __init__(self, config: TigerFGItemConfig):
        super().__init__()
        width, eps = config.vision_config.hidden_size, config.layer_norm_eps
        self.patch_norm, self.focus_norm = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.patch_projection = nn.Linear(width, _EMBEDDING_WIDTH)
        self.focus_projection = nn.Linear(width, _EMBEDDING_WIDTH)
        self.patch_factor = nn.Linear(width, _EMBEDDING_WIDTH, bias=False)
        self.focus_factor = nn.Linear(width, _EMBEDDING_WIDTH)
        self.map_projection = nn.Linear(1, _EMBEDDING_WIDTH)
        self.positions = TigerFGExtentPositions(config)
        self.reduction = nn.Linear(_EMBEDDING_WIDTH, _WIDTH)
        self.convolutions = nn.ModuleList(TigerFGExtentConvolution(config) for _ in range(_LAYERS))
        self.mask = TigerFGExtentMask(config)
        self.columns, self.rows = TigerFGExtentEdges(config), TigerFGExtentEdges(config)

    def forward(self, tokens: TigerFGVisionTokens, output: TigerFGItemOutput) -> TigerFGExtentOutput:
        """Find the extents of items.

        Args:
            tokens: Tokens of the pictures, from the first glance.
            output: Output of the first glance.

        Returns:
            The extents, and the logits of masks and edges. A flat map gives the whole picture, see [`widen_if_flat`].
        """
        patches, focus = self.patch_norm(tokens.patches), self.focus_norm(output.focus.detach())
        states = self.patch_projection(patches) + self.focus_projection(focus)[:, None] + self.positions(tokens.grid)
        states = states + self.patch_factor(patches) * self.focus_factor(focus)[:, None]
        states = states + self.map_projection(_standardized_log(output.grounding.detach()).to(states.dtype))
        grid = self.reduction(states).transpose(1, 2).unflatten(2, tokens.grid)
        for convolution in self.convolutions:
            grid = convolution(grid)
        mask_logits = self.mask(grid)
        # Positive everywhere, so that its rows and columns can be normalized.
        mask = nn.functional.avg_pool2d(mask_logits.sigmoid()[:, None], 2) + 1e-3
        columns = self.columns(grid, mask)
        rows = self.rows(grid.transpose(2, 3), mask.transpose(2, 3))
        return TigerFGExtentOutput(
            grounding=weigh_by_mask(output.grounding.detach(), mask[:, 0]),
            extent=widen_if_flat(boxes_from_edges(columns, rows), output.grounding),
            mask_logits=mask_logits.float(),
            column_logits=columns,
            row_logits=rows,
        )


def _standardized_log(grounding: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of maps `[B, h, w]` as `[B, h * w, 1]`, with mean 0 and standard deviation 1 per map."""
    logs = grounding.flatten(1).float().clamp(min=1e-7).log()
    logs = logs - logs.mean(dim=-1, keepdim=True)
    return (logs / logs.square().mean(dim=-1, keepdim=True).sqrt().clamp(min=1e-3))[..., None]


def edge_places(logits: torch.Tensor) -> torch.Tensor:
    """Return the places in (0, 1) that logits `[..., n]` of an edge stand for, `[n]`: the centers of half patches."""
    size = logits.shape[-1]
    return (torch.arange(size, device=logits.device) + 0.5) / size


def boxes_from_edges(column_logits: torch.Tensor, row_logits: torch.Tensor) -> torch.Tensor:
    """Return the boxes whose edges are expected under distributions over places along both axes.

    Args:
        column_logits: Logits of the left and right edge over n places, `[B, 2, n]`.
        row_logits: Logits of the upper and lower edge over m places, `[B, 2, m]`.

    Returns:
        `[B, 4]`, x0, y0, x1, y1 as shares of width and height, in (0, 1).

    Example:
        >>> import torch
        >>> sure = torch.tensor([[[99.0, 0.0, 0.0, 0.0], [0.0, 0.0, 99.0, 0.0]]])
        >>> boxes_from_edges(sure, torch.zeros(1, 2, 4))
        tensor([[0.1250, 0.5000, 0.6250, 0.5000]])
    """
    edges = []
    for logits in (column_logits, row_logits):
        edges.append((logits.softmax(dim=-1) * edge_places(logits)).sum(dim=-1).sort(dim=-1).values)
    return torch.stack(edges, dim=-1).flatten(1)
