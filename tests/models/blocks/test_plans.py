"""The published channel plans of the U-Nets."""

from ocbench_models.blocks.plans import genesis_plan, monet_plan


def test_genesis():
    assert genesis_plan(64, 128) == ((64, 64, 64, 128, 128, 128), (128, 128, 64, 64, 64, 64))
    assert genesis_plan(64, 64) == ((64, 64, 128, 128, 128), (128, 128, 64, 64, 64))


def test_monet():
    assert monet_plan(64, 128) == ((64, 128, 256, 512, 512, 512), (512, 512, 256, 128, 64, 64))
    assert monet_plan(64, 64) == ((64, 128, 256, 512, 512), (512, 256, 128, 64, 64))
