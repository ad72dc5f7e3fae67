"""One differentiable gather for contrastive losses over processes."""

import torch
import torch.distributed as dist


class _GatherWithGrad(torch.autograd.Function):
    """All-gather whose backward adds up what every process says of this process's rows."""

    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        # A copy: autograd may have handed the same gradient to another node, which must not see the sum.
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]


def gather_with_grad(tensor: torch.Tensor) -> torch.Tensor:
    """
    Concatenates `tensor` `[b, ...]` of every process to `[world * b, ...]` in rank order; gradients flow back exactly.

    With DistributedDataParallel's mean over processes, a loss that each process takes over its own rows against the
    gathered ones has the gradient of the mean loss over the whole batch. Every process must hold as many rows.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    return _GatherWithGrad.apply(tensor)
