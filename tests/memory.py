"""How much memory a computation takes: elements of its largest tensor, bytes that its graph keeps."""

import weakref
from collections.abc import Iterable

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class LargestTensor(TorchDispatchMode):
    """Records the most elements any operation returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


class PeakSaved(torch.autograd.graph.saved_tensors_hooks):
    """
    Counts the bytes that graphs keep for their backward pass, views of one storage once.

    Args:
        beside: tensors that are there anyway (parameters, inputs) and do not count.
    """

    def __init__(self, beside: Iterable[torch.Tensor] = ()):
        super().__init__(self._pack, lambda saved: saved.tensor)
        self.peak = self._bytes = 0
        self._beside = {tensor.untyped_storage().data_ptr() for tensor in beside}
        self._uses: dict[int, int] = {}

    def __enter__(self) -> "PeakSaved":
        super().__enter__()
        return self

    def _pack(self, tensor: torch.Tensor) -> "_Saved":
        # Detached: a node's own output would keep the node that keeps it.
        storage, saved = tensor.untyped_storage(), _Saved(tensor.detach())
        key, size = storage.data_ptr(), storage.nbytes()
        size = 0 if key in self._beside else size
        self._bytes += size if self._uses.setdefault(key, 0) == 0 else 0
        self._uses[key] += 1
        self.peak = max(self.peak, self._bytes)
        weakref.finalize(saved, self._release, key, size)
        return saved

    def _release(self, key: int, size: int) -> None:
        self._uses[key] -= 1
        self._bytes -= size if self._uses[key] == 0 else 0


class _Saved:
    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor
