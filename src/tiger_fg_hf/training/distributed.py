"""A differentiable gather for contrastive losses over processes."""

import torch
import torch.distributed as dist


class _GatherWithGrad(torch.autograd.Function):
    """All-gather whose backward pass sums every process's gradient of this process's rows."""

    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        # A copy, because autograd may have handed the same gradient to another node, which must not see the sum.
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad.chunk(dist.get_world_size())[dist.get_rank()]


def gather_with_grad(tensor: torch.Tensor) -> torch.Tensor:
    """Concatenate the tensors of all processes in rank order; gradients flow back exactly.

    DistributedDataParallel averages gradients over processes. A loss that each process computes for its own rows
    against all gathered rows therefore has the gradient of the mean loss over the whole batch.

    Args:
        tensor: `[b, ...]`, with the same number of rows on every process.

    Returns:
        `[world_size * b, ...]`; `tensor` itself where there is one process.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    return _GatherWithGrad.apply(tensor)
