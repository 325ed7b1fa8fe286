"""Where and how it computes: devices, ranks, precision, compilation and seeding. The only user of torch.distributed."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch import nn

from ocbench.errors import RunError, UsageError
from ocbench.launch import this_rank
from ocbench.runner.memory import keep_freed

PRECISIONS = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Place:
    """One rank's device and how it computes there."""

    device: torch.device
    rank: int = 0
    world: int = 1
    precision: str = "fp32"
    compile: bool = False

    @property
    def writes(self) -> bool:
        """Whether this rank writes files: only one does."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where that was asked for; else nothing."""
        if self.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def averaged(self, terms: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The terms, detached, averaged over the ranks."""
        stacked = torch.stack([value.detach().float() for value in terms.values()])
        if self.world > 1:
            torch.distributed.all_reduce(stacked)
            stacked = stacked / self.world
        return dict(zip(terms, stacked.unbind(), strict=True))

    def anywhere(self, *claims: bool) -> list[bool]:
        """For each claim, whether some rank makes it."""
        if self.world == 1:
            return list(claims)
        flags = torch.tensor([int(claim) for claim in claims], device=self.device)
        torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in flags.tolist()]

    def gathered(self, value: Any) -> list[Any]:
        """The value of every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def generators(self) -> dict[str, torch.Tensor]:
        """The states of this rank's generators, by device: torch's are the only ones that a model may draw from."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type != "cpu":
            states[self.device.type] = torch.get_device_module(self.device).get_rng_state()
        return states

    def set_generators(self, states: Mapping[str, torch.Tensor]) -> None:
        """Puts back what `generators` gave; a generator that it did not know of stays as it is."""
        torch.set_rng_state(states["cpu"])
        if self.device.type != "cpu" and self.device.type in states:
            torch.get_device_module(self.device).set_rng_state(states[self.device.type])

    @contextmanager
    def aside(self, model: nn.Module) -> Iterator[None]:
        """Eval mode and no gradients, for what must not change the course: modes and generators are put back."""
        states, learning = self.generators(), [module for module in model.modules() if module.training]
        model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module in learning:
                module.training = True
            self.set_generators(states)

    def wait(self) -> None:
        """Until every rank is here."""
        if self.world > 1:
            torch.distributed.barrier()


def name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def peak_bytes(device: torch.device) -> int:
    """The most memory that this process has had: of the GPU, else of the machine."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def torch_device(word: str) -> torch.device:
    """The device that auto, cpu, cuda, cuda:N or mps means; UsageError where it is not there."""
    if word == "auto":
        word = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = word.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise UsageError(f"no device '{word}'", expected="auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda":  # with its number, as tensors name it
        index = int(number) if number else this_rank().local
        if index >= torch.cuda.device_count():
            raise UsageError(f"device 'cuda:{index}' is not here", found=f"{torch.cuda.device_count()} CUDA devices")
        return torch.device("cuda", index)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device 'mps' is not here")
    return torch.device(word)


def place(device: str = "auto", precision: str = "fp32", compiled: bool = False, deterministic: bool = False) -> Place:
    """This rank's place; joins the other ranks where torchrun or srun started several."""
    if precision not in PRECISIONS:
        raise UsageError(f"no precision '{precision}'", expected=", ".join(PRECISIONS))
    mine = this_rank()
    found = torch_device(device)
    if found.type == "cuda":
        torch.cuda.set_device(found)
    elif found.type == "cpu":
        keep_freed()
    if mine.world > 1 and not torch.distributed.is_initialized():
        backend = "nccl" if found.type == "cuda" else "gloo"
        torch.distributed.init_process_group(
            backend, rank=mine.rank, world_size=mine.world, timeout=timedelta(minutes=30)
        )
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    return Place(found, mine.rank, mine.world, precision, compiled)


def child_seed(seed: int, purpose: str) -> int:
    """A seed of its own for the loader, the initialisation or the loop."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:6], "big")


def leave() -> None:
    """Ends the ranks' common work."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def together() -> Iterator[None]:
    """Within, the ranks work together; RunError where another one is gone."""
    try:
        yield
    except RuntimeError as broken:
        if isinstance(broken, torch.distributed.DistBackendError) or "/gloo/" in str(broken):
            hint = "its own messages say why; the same command goes on from the last checkpoint"
            raise RunError("another rank has ended", found=str(broken).splitlines()[0], hint=hint) from broken
        raise
    finally:
        leave()


class _Loss(nn.Module):
    """What DDP and the compiler see: a module whose forward is the model's `loss`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any) -> dict[str, torch.Tensor]:
        return self.model.loss(*arguments)


def settled(model: nn.Module, where: Place) -> nn.Module:
    """The model on its device, in the memory layout of the matrix units, its BatchNorm over all ranks."""
    model = model.to(where.device)
    if where.device.type == "cuda" and where.precision != "fp32":
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return synchronised(model, where)


def wrapped(model: nn.Module, where: Place, whole_batches: bool = True) -> nn.Module:
    """The model's loss as a module, anew for each phase: over all ranks, and compiled where that was asked for.

    On one GPU the compiled step is recorded as CUDA graphs, unless gradients must outlive it (not `whole_batches`).
    """
    step: nn.Module = _Loss(model)
    if where.world > 1:
        devices = [where.device] if where.device.type == "cuda" else None
        step = nn.parallel.DistributedDataParallel(step, device_ids=devices)
    if where.compile:
        recorded = whole_batches and where.world == 1 and where.device.type == "cuda"
        step = torch.compile(step, mode="reduce-overhead" if recorded else None)  # type: ignore[assignment]
    return step


def kept_apart(step_module: nn.Module, apart: bool) -> AbstractContextManager[Any]:
    """While gradients are summed up over pieces of a batch: the ranks do not yet exchange them."""
    module: Any = step_module
    return module.no_sync() if apart and hasattr(module, "no_sync") else nullcontext()


def synchronised(model: nn.Module, where: Place) -> nn.Module:
    """The model with BatchNorm statistics over all ranks, so that a split batch is the same batch."""
    if where.world == 1:
        return model
    if where.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(model, name, HostBatchNorm.like(child))
        else:
            synchronised(child, where)
    return model


class _SumOverRanks(torch.autograd.Function):
    """The sum of all ranks' tensors, whose gradient is that of all ranks, too."""

    @staticmethod
    def forward(context: Any, mine: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        total = mine.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return _SumOverRanks.forward(context, gradients[0])


class HostBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over all ranks on CPU, where torch's own synchronised one refuses; equal shares on every rank."""

    @classmethod
    def like(cls, other: nn.modules.batchnorm._BatchNorm) -> HostBatchNorm:
        """One with the parameters and buffers of `other` themselves."""
        mine = cls(other.num_features, other.eps, other.momentum, other.affine, other.track_running_stats)
        mine.weight, mine.bias = other.weight, other.bias
        mine.running_mean, mine.running_var = other.running_mean, other.running_var
        mine.num_batches_tracked = other.num_batches_tracked
        mine.training = other.training
        return mine

    def _check_input_dim(self, input: torch.Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"BatchNorm needs two dimensions or more, got {input.dim()}")

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [1, -1] + [1] * (input.dim() - 2)
        world = torch.distributed.get_world_size()
        mean = _SumOverRanks.apply(values.mean(axes)) / world
        centred = values - mean.view(shape)
        variance = _SumOverRanks.apply((centred * centred).mean(axes)) / world
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach(), input.numel() // input.shape[1] * world)
        normal = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    def _track(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        rate = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), rate)
