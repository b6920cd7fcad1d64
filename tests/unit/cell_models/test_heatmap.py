import pytest
import torch

from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX, TOTAL_STRIDE_PX, HeatmapNet, reach_px
from marrow_models.networks.lattice import fold
from tests.unit.cell_models.factories import heatmap_net, lively


def test_maps_are_a_quarter_of_the_image():
    centre, box = HeatmapNet(kinds=3).eval()(torch.zeros(2, 3, 64, 80))
    assert centre.shape == (2, 3, 16, 20)
    assert box.shape == (2, 4, 16, 20)


@pytest.mark.parametrize("blocks", [(1, 1), (2, 2), (1, 3), (3, 1)])
def test_a_pixel_beyond_the_reach_has_no_say_and_one_at_the_reach_has(blocks):
    torch.manual_seed(3)
    network = fold(lively(HeatmapNet(1, planes=(4, 4, 4), blocks=blocks)))
    said = touched(network, size=320)
    reach = reach_px(blocks)
    furthest = 0
    for cell in (38, 39):
        columns = said(cell).nonzero().flatten()
        corner = cell * OUTPUT_STRIDE_PX
        furthest = max(furthest, corner - int(columns.min()), int(columns.max()) - corner)
        assert furthest <= reach
    assert furthest > reach - TOTAL_STRIDE_PX


def touched(network, size):
    """For an output cell of the middle row, which image columns its value follows: by linear, positive weights."""
    linear = network.double()
    for module in list(linear.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "LatticeReLU":
                setattr(module, name, torch.nn.Identity())
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.data.abs() + 0.1

    def columns(cell):
        image = torch.zeros(1, 3, 64, size, dtype=torch.double, requires_grad=True)
        linear(image)[0][0, 0, 8, cell].backward()
        return image.grad.abs().sum(dim=(0, 1, 2))

    return columns


def test_nothing_in_the_detector_looks_at_the_whole_tile():
    forbidden = ("GroupNorm", "InstanceNorm", "LayerNorm", "AdaptiveAvgPool", "AdaptiveMaxPool", "Attention")
    names = [type(module).__name__ for module in heatmap_net().modules()]
    assert not [name for name in names if name.startswith(forbidden)]
