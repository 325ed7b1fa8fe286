"""The deterministic weights, images and gradients of the golden baselines (section "Deterministic weights" there)."""

from __future__ import annotations

from ast import literal_eval

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def deviates(arrays, case: str, at: int, shape: tuple[int, ...]) -> np.ndarray:
    """The random numbers that tensor `at` of a case's weights is made of."""
    random = np.random.RandomState(arrays[f"{case}weight_seed"].item() * 1000 + at)
    return random.standard_normal(int(np.prod(shape))).reshape(shape)


def fill(parameters: list[nn.Parameter], arrays, prefix: str, case: str) -> dict[str, nn.Parameter]:
    """Sets parameters, in the order of the file, to its weights; by their names there."""
    names = [str(name) for name in arrays[f"{prefix}param_names"]]
    offsets, scales = arrays[f"{prefix}param_offset"], arrays[f"{prefix}param_scale"]
    assert len(parameters) == len(names)
    for i, parameter in enumerate(parameters):
        shape = literal_eval(str(arrays[f"{prefix}param_shapes"][i]))
        if case != prefix and len(shape) == 3 and shape[1] > 1:
            shape = (shape[0], *parameter.shape[1:])  # the joint norm of another image size
        assert tuple(parameter.shape) == tuple(shape), (names[i], tuple(parameter.shape), shape)
        value = (offsets[i] + scales[i] * deviates(arrays, case, i, shape)).astype(np.float32)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(value))
    return dict(zip(names, parameters, strict=True))


def check_gradients(arrays, case: str, start: str, named: dict[str, nn.Parameter]) -> None:
    """Every array whose name begins with `start`: norms, products with the deviates, and some whole gradients."""
    norms, dots = arrays[f"{start}grad_norm"], arrays[f"{start}grad_dot"]
    compared = {f"{start}grad_norm", f"{start}grad_dot"}
    for i, (name, parameter) in enumerate(named.items()):
        gradient = parameter.grad.double()
        norm = gradient.norm().item()
        if norms[i] < 1e-6 * norms.max():
            assert norm < 1e-6 * norms.max(), name
            continue
        assert norm == pytest.approx(norms[i], rel=1e-3), name
        product = (gradient.numpy() * deviates(arrays, case, i, tuple(gradient.shape))).sum()
        assert product == pytest.approx(dots[i], abs=4e-3 * norms[i]), name
        whole = f"{start}grad_{name.replace('.', '_')}"
        if whole in arrays.files:
            close(gradient, arrays[whole], 1e-3 * np.abs(arrays[whole]).max())
            compared.add(whole)
    assert compared == {key for key in arrays.files if key.startswith(f"{start}grad")}


def enlarged(image: np.ndarray, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """float [B, 3, H, W] in [0, 1] of uint8 [B, 3, h, w], each value repeated."""
    tall = image.repeat(height // image.shape[2], axis=2).repeat(width // image.shape[3], axis=3)
    return torch.from_numpy(tall).to(dtype) / 255


def close(found: Tensor, expected: np.ndarray, absolute: float = 0.0, relative: float = 0.0) -> None:
    """Within tolerances; says by how much not."""
    np.testing.assert_allclose(found.detach().double().numpy(), np.asarray(expected, np.float64), relative, absolute)
