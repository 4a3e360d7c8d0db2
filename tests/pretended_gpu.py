"""A GPU for machines that have none: it holds real numbers, and refuses what a real one would.

Its tensors lie in the memory of the CPU, in storages that are marked. Each operation that has one of them is first
done with torch's own fake CUDA tensors, which have shapes and devices alone and raise where a GPU's tensors are mixed
with the CPU's; then it is done in numbers. So a whole fit can run, and its result be compared. It shows nothing of
speed, nor of what CUDA's kernels do.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch._subclasses import fake_tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
_UNKNOWN = (fake_tensor.DynamicOutputShapeException, fake_tensor.DataDependentOutputException)


class PretendedGpu:
    """While it lasts, torch sees a GPU. When it ends, all that the test's monkeypatch had changed is as it was.

    Attributes:
        ran: how often each operation was done on it.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, free: int = 1 << 30, bfloat16: bool = False
    ) -> None:
        self.ran: Counter[str] = Counter()
        self._marked: dict[int, StorageWeakRef] = {}  # kept: no other storage gets the address of a known one
        self._monkeypatch = monkeypatch
        self._of_torch: dict[str, Any] = {
            "is_available": lambda: True,
            "current_device": lambda: 0,
            "mem_get_info": lambda device=None: (free, free),
            "is_bf16_supported": lambda including_emulation=True: bfloat16,
            "manual_seed": lambda seed: None,
            "get_rng_state": lambda device=None: None,
            "set_rng_state": lambda state, device=None: None,
            "_lazy_init": lambda: None,
        }

    def __enter__(self) -> PretendedGpu:
        torch._C._ensureCUDADeviceGuardSet()  # as torch does for its fake tensors
        self._monkeypatch.setattr(fake_tensor, "init_gpu_context", lambda device: None)
        for name, value in self._of_torch.items():
            self._monkeypatch.setattr(torch.cuda, name, value)
        for name, value in self._of_tensors().items():
            self._monkeypatch.setattr(torch.Tensor, name, value, raising=False)
        self._mode = _Done(self)
        self._mode.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._mode.__exit__(None, None, None)
        self._monkeypatch.undo()

    def holds(self, value: Any) -> bool:
        """Whether it is a tensor that lies here."""
        return isinstance(value, torch.Tensor) and value.untyped_storage()._cdata in self._marked

    def _of_tensors(self) -> dict[str, Any]:
        """What is asked of tensors: where they lie, and to come to the CPU."""
        numpy, to, holds = torch.Tensor.numpy, torch.Tensor.to, self.holds
        device, is_cpu, is_cuda = (getattr(torch.Tensor, name) for name in ("device", "is_cpu", "is_cuda"))

        def to_numpy(tensor: torch.Tensor, **how: Any) -> Any:
            if holds(tensor):
                raise TypeError("what lies on a GPU is not NumPy's")
            return numpy(tensor, **how)

        def moved(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            if holds(tensor) and any(one in (CPU, "cpu") for one in (*args, *kwargs.values())):
                assert not (tensor.requires_grad and torch.is_grad_enabled()), "no gradient comes back"
                with _disable_current_modes():
                    return tensor.clone()
            return to(tensor, *args, **kwargs)

        def pinned(tensor: torch.Tensor) -> torch.Tensor:
            assert not holds(tensor), "only what lies on the CPU can be pinned"
            return tensor

        return {
            "device": property(lambda tensor: GPU if holds(tensor) else device.__get__(tensor)),
            "is_cpu": property(lambda tensor: is_cpu.__get__(tensor) and not holds(tensor)),
            "is_cuda": property(lambda tensor: is_cuda.__get__(tensor) or holds(tensor)),
            "numpy": to_numpy,
            "to": moved,
            "cpu": lambda tensor: moved(tensor, CPU),
            "pin_memory": pinned,
        }

    def keep(self, tensor: torch.Tensor) -> None:
        """Let its storage lie here from now on."""
        storage = tensor.untyped_storage()
        self._marked[storage._cdata] = StorageWeakRef(storage)


class _Done(TorchDispatchMode):
    """What is done with tensors, first with fake ones."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu, self.fake = gpu, fake_tensor.FakeTensorMode()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = (args, kwargs or {})
        if not any(self.gpu.holds(one) or _is_gpu(one) for one in tree_leaves(given)):
            return func(*args, **given[1])
        self.gpu.ran[str(func)] += 1
        if func == torch.ops.aten.new_zeros.default:
            given[1].pop("device", None)  # autograd names the one that it saw
        with self.fake:
            fakes, settings = tree_map(self._fake, given)
            try:
                devices = [_device(one) for one in tree_leaves(func(*fakes, **settings))]
            except _UNKNOWN:  # depends on numbers: what comes out lies where the rest does
                devices = []
        args, settings = tree_map(lambda one: CPU if _is_gpu(one) else one, given)
        found = func(*args, **settings)
        leaves = tree_leaves(found)
        for one, device in zip(leaves, devices or [GPU] * len(leaves), strict=True):
            if isinstance(one, torch.Tensor) and device == GPU:
                self.gpu.keep(one)
        return found

    def _fake(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        where = GPU if self.gpu.holds(value) else CPU
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device=where)


def _is_gpu(value: Any) -> bool:
    return isinstance(value, torch.device) and value.type == "cuda"


def _device(value: Any) -> torch.device | None:
    return value.fake_device if isinstance(value, fake_tensor.FakeTensor) else None
