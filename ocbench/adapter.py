"""A plug-in around a model that only predicts: a function, or a program saved by torch.export or TorchScript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocbench.errors import PluginError
from ocbench.plugin import ModelPlugin, Phase, Prediction
from ocbench.scene import Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PredictorConfig:
    """A model that only predicts has no settings but, perhaps, another number of slots."""

    slots: int = 0  # of label maps; 0: one more than the most objects of the protocol


def predictor(
    name: str, predict: Callable[..., Any] | str | Path, *, summary: str = "only predicts", has_background: bool = True,
    citation: str = "", license: str = "",
) -> ModelPlugin:  # fmt: skip
    """A `ModelPlugin` whose scenario has no updates, to be named by an entry point; `train` is done at once.

    `predict` takes images, float32 [B, 3, H, W] in [0, 1], and returns soft masks, float32 [B, S, H, W], or labels,
    integers [B, H, W] below the number of slots; or a tuple of either and a reconstruction, float32 [B, 3, H, W]. A
    path names such a program: `.pt2` of torch.export, else TorchScript; what is no such file is a PluginError, and
    nothing is unpickled.
    """
    return ModelPlugin(
        name=name, summary=summary, presets={"*": PredictorConfig()}, scenarios={"fit": _nothing},
        build=partial(_built, predict), has_background=has_background, citation=citation, license=license,
    )  # fmt: skip


def _nothing(config: PredictorConfig) -> tuple[Phase, ...]:
    return (Phase("fit", 0),)


def _built(predict: Callable[..., Any] | str | Path, config: PredictorConfig, protocol: Protocol) -> Any:
    """A module with the program, if it is one, as its only part."""
    from torch import nn

    found = _program(Path(predict)) if isinstance(predict, str | Path) else predict
    slots = config.slots or protocol.max_objects + 1

    class Predictor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = found
            self.requires_grad_(False)

        def train(self, mode: bool = True) -> Predictor:
            self.training = mode  # an exported program is as it was exported, and refuses to be asked
            return self

        def loss(self, images: Any, phase: str, clock: Any, precomputed: Any = None) -> Any:
            raise PluginError("a model that only predicts has no loss")

        def predict(self, images: torch.Tensor, detail: bool = False) -> Prediction:
            answer = self.network(images)
            masks, rebuilt = answer if isinstance(answer, tuple | list) else (answer, None)
            return Prediction(_weights(masks, images, slots), rebuilt)

    return Predictor()


def _program(path: Path) -> Any:
    """The saved program; PluginError where the file is none."""
    import torch

    exported = path.suffix == ".pt2"
    if not path.is_file():
        raise PluginError(f"no program at '{path}'", expected="a file of torch.export (.pt2) or TorchScript")
    try:
        return torch.export.load(path).module() if exported else torch.jit.load(str(path), map_location="cpu")
    except Exception as wrong:
        kind = "of torch.export" if exported else "of TorchScript, or with the ending .pt2 of torch.export"
        raise PluginError(
            f"'{path}' is no program", expected=f"a file {kind}", found=f"{type(wrong).__name__}: {wrong}"[:300],
            hint="a checkpoint needs its code: export the model where it lives",
        ) from wrong  # fmt: skip


def _weights(masks: Any, images: torch.Tensor, slots: int) -> torch.Tensor:
    """Soft masks as they are, labels one-hot."""
    import torch

    count, _, height, width = images.shape
    if isinstance(masks, torch.Tensor):
        if (
            masks.is_floating_point()
            and masks.ndim == 4
            and masks.shape[0] == count
            and masks.shape[2:] == images.shape[2:]
        ):
            return masks
        if masks.shape == (count, height, width) and not masks.is_floating_point():
            if int(masks.min()) >= 0 and int(masks.max()) < slots:
                return torch.nn.functional.one_hot(masks.long(), slots).permute(0, 3, 1, 2).float()
            raise PluginError(
                "predict gave labels that are no slots", expected=f"0..{slots - 1}",
                found=f"{int(masks.min())}..{int(masks.max())}", hint="--set slots=N when it is trained",
            )  # fmt: skip
    found = f"{masks.dtype} {list(masks.shape)}" if isinstance(masks, torch.Tensor) else type(masks).__name__
    expected = f"floats [{count}, S, {height}, {width}] or integers [{count}, {height}, {width}]"
    raise PluginError("predict gave no masks", expected=expected, found=found)
