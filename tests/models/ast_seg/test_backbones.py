"""Map generators: the paper's U-Net against its arrays, SegFormer against transformers, weights from a folder."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ocbench import PluginError
from ocbench_models.ast_seg.backbones import SegFormer, decode_maps, map_generator, pretrained_state, segformer_config
from ocbench_models.ast_seg.convolutional import UNet
from ocbench_models.ast_seg.presets import CLEVRTEX, MINI_PLAIN, AstSegConfig
from ocbench_models.ast_seg.weight_names import in_file

SIZES = {"depths": [1, 1, 2, 1], "hidden_sizes": [8, 16, 24, 32], "num_attention_heads": [1, 2, 2, 4]}
COUNTS = {(3, 35): 3_179_558, (6, 34): 3_181_096, (10, 34): 3_184_172, (10, 35): 3_184_941}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pretrained weights as the hub has them: a SegFormer with an image classifier, here a very small one."""
    from transformers import SegformerConfig, SegformerForImageClassification

    torch.manual_seed(11)
    path = tmp_path_factory.mktemp("weights")
    network = SegformerForImageClassification(SegformerConfig(**SIZES, decoder_hidden_size=16, num_labels=5))
    network.save_pretrained(path)
    assert (path / "model.safetensors").exists()
    return path


@pytest.fixture
def settings(folder) -> AstSegConfig:
    return replace(CLEVRTEX, weights=str(folder), decoder_width=16)


def test_unet(golden, enlarge, fill):
    expected = golden["unet_out_trainbn"]
    network = fill(UNet(expected.shape[1], CLEVRTEX.unet_widths), 5)
    assert [str(tuple(p.shape)) for p in network.parameters()] == list(golden["unet_param_shapes"])
    images = enlarge(golden["unet_image8"], 64)
    with torch.no_grad():
        evaluated, trained = network(images), network.train()(images)
    np.testing.assert_allclose(evaluated[..., ::4, ::4], golden["unet_out_evalbn"], atol=1e-3)
    np.testing.assert_allclose(trained[..., ::4, ::4], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("slots", "features", "count"), [(3, 35, 22_237_860), (6, 34, 22_242_304), (10, 34, 22_251_432)]
)
def test_unet_parameter_counts(slots, features, count):
    with torch.device("meta"):
        network = UNet(slots + features, CLEVRTEX.unet_widths)
    assert sum(p.numel() for p in network.parameters()) == count


def test_segformer_parameter_counts():
    for (slots, features), count in COUNTS.items():
        config = replace(CLEVRTEX, scaling="isotropic" if features == 34 else "anisotropic")
        with torch.device("meta"):
            network = SegFormer(config, slots + features).network
        assert sum(p.numel() for p in network.segformer.parameters()) == 44_072_128
        assert sum(p.numel() for p in network.decode_head.parameters()) == count


@pytest.mark.parametrize("batch", [1, 20])
def test_decode_head_agrees_with_transformers(settings, batch):
    torch.manual_seed(0)
    network = SegFormer(settings, 9).network.double().eval()
    maps = [torch.randn(batch, c, 16 >> i, 16 >> i).double() for i, c in enumerate(SIZES["hidden_sizes"])]
    torch.testing.assert_close(decode_maps(network.decode_head, maps), network.decode_head(maps), atol=1e-10, rtol=0)


def test_whole_segformer_agrees_with_transformers(settings):
    torch.manual_seed(0)
    generator = SegFormer(settings, 9).eval()
    generator.load_pretrained()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        found = generator(images)
        torch.testing.assert_close(found, generator.network(images).logits, atol=1e-5, rtol=0)
    assert found.shape == (2, 9, 16, 16)


def test_weights_come_from_the_folder(settings, folder):
    from safetensors.torch import load_file

    generator = SegFormer(settings, 9)
    assert generator.pending
    generator.load_pretrained()
    stored = load_file(folder / "model.safetensors")
    state = generator.network.segformer.state_dict()
    name = "stages.2.blocks.1.attention.q_proj.weight"
    ends = [key for key in stored if key.endswith(("attention.q_proj.weight", "self.query.weight"))]
    assert any(torch.equal(stored[key], state[name]) for key in ends)
    assert generator.network.config.depths == SIZES["depths"]
    assert not generator.pending


def test_a_whole_state_takes_the_place_of_pretrained_weights(settings, folder, tmp_path):
    first, second = SegFormer(settings, 9), SegFormer(settings, 9)
    first.load_pretrained()
    with torch.no_grad():
        first.last.bias.fill_(3.0)
    second.load_state_dict(first.state_dict())
    second.load_pretrained()
    assert not second.pending
    assert second.last.bias[0] == 3.0


def test_names_in_checkpoints_are_those_of_files_of_transformers(settings, folder, tmp_path):
    from safetensors.torch import load_file

    generator = SegFormer(settings, 9)
    generator.network.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    state = generator.state_dict()
    assert {name.removeprefix("network.") for name in state} == set(stored)
    assert all(torch.equal(state[f"network.{name}"], value) for name, value in stored.items())
    assert any("encoder.block.2.1.attention.self.query" in name for name in stored)  # the names of version 4


@pytest.mark.parametrize("names", ["of files", "of the network"])
def test_a_state_is_loaded_under_either_names(settings, names):
    first, second = SegFormer(settings, 9), SegFormer(settings, 9)
    state = (
        first.state_dict()
        if names == "of files"
        else {f"network.{n}": v for n, v in first.network.state_dict().items()}
    )
    second.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not second.pending
    del state["network.decode_head.classifier.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key\(s\).*decode_head.classifier.bias"):
        second.load_state_dict(state)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_weights_with_the_names_of_version_4(settings, folder, tmp_path, kind):
    """As published: an image classifier under the names of transformers 4, as safetensors or as a pickle of tensors."""
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    state = {in_file(name): value for name, value in load_file(folder / "model.safetensors").items()}
    assert not any("stages" in name for name in state)
    if kind == "bin":
        torch.save(state, tmp_path / "pytorch_model.bin")
    else:
        save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = pretrained_state(str(tmp_path), segformer_config(settings, 9))
    assert all(torch.equal(value, state[in_file(f"segformer.{name}")]) for name, value in loaded.items())


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(PluginError, match="no pretrained SegFormer weights") as caught:
        SegFormer(replace(CLEVRTEX, weights=str(tmp_path / "absent")), 9)
    assert "--set pretrained=false" in caught.value.hint


def test_a_folder_without_weights_is_an_error(settings, folder, tmp_path):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    generator = SegFormer(replace(settings, weights=str(tmp_path)), 9)
    with pytest.raises(PluginError, match="no pretrained SegFormer weights"):
        generator.load_pretrained()


def test_a_name_that_cannot_be_reached_is_an_error_at_the_latest_at_the_first_forward(settings):
    sizes = {"backbone_depths": (1,) * 4, "backbone_widths": (8,) * 4, "backbone_heads": (1,) * 4}
    generator = SegFormer(replace(settings, weights="nobody/none", **sizes), 9)
    with pytest.raises(PluginError, match="no pretrained SegFormer weights at 'nobody/none'"):
        generator(torch.rand(1, 3, 64, 64))


def test_weights_of_another_size_are_an_error(settings, folder, tmp_path):
    from safetensors.torch import load_file, save_file

    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    state = load_file(folder / "model.safetensors")
    del state[min(key for key in state if "stages" in key or "encoder" in key)]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PluginError, match="lack 1 tensors"):
        SegFormer(replace(settings, weights=str(tmp_path)), 9).load_pretrained()
    with pytest.raises(PluginError, match="SegFormer"):
        SegFormer(replace(settings, backbone_depths=(2, 1, 2, 1)), 9).load_pretrained()


def test_random_backbone_warns_loudly(settings, caplog):
    with caplog.at_level(logging.WARNING, logger="ocbench_models"):
        generator = SegFormer(replace(settings, pretrained=False), 9)
    assert "RANDOM WEIGHTS" in caplog.text
    assert not generator.pending


def test_head_starts_almost_uniform(settings):
    torch.manual_seed(0)
    generator = SegFormer(settings, 9)
    head = generator.network.decode_head
    assert head.linear_fuse.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert head.classifier.bias.abs().max().item() == 0
    images = torch.rand(2, 3, 64, 64)
    assert F.softmax(generator(images)[:, 0].flatten(1), dim=1).max().item() < 0.02


def test_attention_gain_scales_the_attention_rows_alone():
    rows = []
    for gain in (1.0, 6.0):
        torch.manual_seed(0)
        rows.append(map_generator(replace(MINI_PLAIN, attention_gain=gain), 4).last.weight.detach())
    torch.testing.assert_close(rows[1][:4], 6 * rows[0][:4])
    torch.testing.assert_close(rows[1][4:], rows[0][4:])
    assert map_generator(MINI_PLAIN, 4)(torch.rand(2, 3, 64, 64)).shape == (2, 4 + MINI_PLAIN.feature_size, 16, 16)
