"""GNM against arrays of the published code: distributions, pictures, terms, gradients, schedules."""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from golden_arrays import golden
from torch import Tensor

from ocbench import Protocol
from ocbench_models.gnm import CLEVR, CLEVRTEX, GNM, GnmConfig
from ocbench_models.gnm.model import Gnm, Noise

from .golden_weights import check_gradients, close, enlarged, fill

FILE = golden("baselines_sa_gnm.npz")
TERMS = (
    "nll", "presence", "where", "depth", "what", "background", "global",
    "fixed_presence", "fixed_where", "fixed_depth", "fixed_what", "fixed_background",
)  # fmt: skip
CASES = [(case, at) for case in ("clevr", "tex") for at in range(len(FILE[f"gnm_{case}_steps"]))]


def built(config: GnmConfig = CLEVR, side: int = 128) -> Gnm:
    return GNM.build(config, Protocol("tiny", 1, (side, side), 6, ()))


def noise_of(case: str) -> Noise:
    def cells(name: str) -> Tensor:
        return torch.from_numpy(FILE[f"gnm_{case}_noise_{name}"]).flatten(2).transpose(1, 2)

    scene = torch.from_numpy(FILE[f"gnm_{case}_noise_global"]).transpose(0, 1)
    background = torch.from_numpy(FILE[f"gnm_{case}_noise_bg"])
    return Noise(background, scene, cells("pres_u"), cells("where"), cells("depth"), cells("what"))


class Run:
    """The golden weights of a case, run at one of its training steps."""

    def __init__(self, case: str, at: int) -> None:
        self.prefix, self.at = f"gnm_{case}_", at
        self.model = built(CLEVR if case == "clevr" else CLEVRTEX, 128)
        self.named = fill(list(self.model.parameters()), FILE, "gnm_", self.prefix)
        self.images = enlarged(FILE[f"{self.prefix}image"], 128, 128)
        self.step = int(FILE[f"{self.prefix}steps"][at])
        self.clock = torch.tensor(self.step)
        self.noise = noise_of(case)
        with torch.no_grad():
            self.found = self.model.objective(self.images, self.noise, self.clock)
            self.latents = self.model.infer(self.images, self.noise, self.clock)
            self.picture = self.model.render(self.latents, self.clock)

    def array(self, name: str) -> np.ndarray:
        return FILE[self.prefix + name]

    def here(self, name: str) -> np.ndarray:
        """The row of this step."""
        return self.array(name)[self.at]


@cache
def run_of(case: str, at: int) -> Run:
    return Run(case, at)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{FILE[f'gnm_{case[0]}_steps'][case[1]]}")
def run(request) -> Run:
    return run_of(*request.param)


@pytest.mark.parametrize(("side", "count"), [(128, 8_636_446), (64, 8_225_670)])
def test_parameter_counts(side: int, count: int) -> None:
    assert sum(parameter.numel() for parameter in built(side=side).parameters()) == count


def test_the_parameters_are_in_the_order_of_the_golden_ones() -> None:
    shapes = [str(tuple(parameter.shape)) for parameter in built().parameters()]
    assert shapes == [str(shape) for shape in FILE["gnm_param_shapes"]]


@pytest.mark.golden
def test_golden_terms(run: Run) -> None:
    assert [f"aux_{n}" for n in ("pres", "where", "depth", "what", "bg")] == list(FILE["gnm_term_names"][7:])
    found = [float(run.found[name]) for name in TERMS]
    np.testing.assert_allclose(found, run.here("terms"), rtol=1e-5)
    factors = run.model.weights_of_terms(run.clock.double())
    np.testing.assert_allclose([float(factors.get(n, 1.0)) for n in TERMS], run.here("coef"), rtol=1e-9)
    np.testing.assert_allclose(float(run.found["total"].detach()), run.here("total"), rtol=1e-5)
    np.testing.assert_allclose(float(run.model.temperature(run.clock)), run.here("tau"), rtol=1e-6)


@pytest.mark.golden
def test_golden_distributions(run: Run) -> None:
    close(run.latents.structure, run.array("structure_map"), 2e-5)
    for side, local, scene, background in (
        ("p", run.latents.p, run.latents.p_scene, run.latents.p_background),
        ("q", run.latents.q, run.latents.q_scene, run.latents.q_background),
    ):
        close(torch.sigmoid(local.presence[..., 0]), run.array(f"{side}_pres_prob"), 2e-5)
        normals = {"where": local.where, "depth": local.depth, "what": local.what, "global": scene, "bg": background}
        for name, found in normals.items():
            close(found.mean, run.array(f"{side}_{name}_mean"), 2e-5)
            close(found.std, run.array(f"{side}_{name}_std"), 2e-5)


@pytest.mark.golden
def test_golden_pictures(run: Run) -> None:
    close(torch.cat(run.latents.boxes(4), dim=-1), run.array("where"), 2e-5)
    close(run.latents.presence[..., 0], run.here("pres"), 2e-5)
    masks = run.picture.masks
    close(masks[..., ::8, ::8], run.here("mask"), 5e-4)
    sums = run.here("mask_sum")
    close(masks.double().sum((2, 3)), sums, 2e-5 * sums.max())
    close(run.picture.image[..., ::4, ::4], run.here("recon"), 5e-4)
    close(run.picture.foreground[..., ::8, ::8], run.here("fg"), 5e-4)
    close(run.picture.alpha[..., ::8, ::8], run.here("alpha"), 5e-4)
    close(run.picture.background[..., ::4, ::4], run.array("bg"), 2e-5)
    winner = torch.cat((1 - masks.sum(1, keepdim=True), masks), dim=1).argmax(1)
    assert (winner.numpy() != run.here("seg")).mean() <= 1e-3


@pytest.mark.golden
def test_golden_gradients(run: Run) -> None:
    # In float64: bilinear sampling has kinks at pixel centres, and float32 rounds to one side or the other, by CPU.
    wide = deepcopy(run.model).double()
    noise = Noise(*(each.double() for each in run.noise))
    wide.objective(run.images.double(), noise, run.clock.double())["total"].backward()
    named = dict(zip(run.named, wide.parameters(), strict=True))
    check_gradients(FILE, run.prefix, f"{run.prefix}step{run.step}_", named)


@pytest.mark.golden
def test_golden_schedules() -> None:
    model = built()
    for at, step in enumerate(FILE["gnm_sched_step"]):
        clock = torch.tensor(int(step), dtype=torch.float64)
        factors = model.weights_of_terms(clock)
        np.testing.assert_allclose(
            [float(factors.get(n, 1.0)) for n in TERMS], FILE["gnm_sched_coef"][at], rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(float(model.temperature(clock)), FILE["gnm_sched_tau"][at], rtol=1e-9)
        np.testing.assert_allclose(float(model.presence_prior(clock)), FILE["gnm_sched_rho"][at], rtol=1e-9)
        assert bool(model.is_early(clock)) == bool(FILE["gnm_sched_early"][at])
