"""Networks against torch's own convolution and against what their shapes promise."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data.errors import ConfigError
from policies.encoders import ImageEncoder
from policies.imitation.flow import FlowConfig, FlowPolicy
from policies.networks import ChunkMLP, ChunkUNet, Conv1d, TimeEmbedding
from policies.offline.iql import Ensemble
from tests.policies.dummy import make_normalizer, make_spec, stir


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 7, 16])
def test_one_matrix_product_is_a_convolution(kernel, stride, length):
    torch.manual_seed(0)
    conv = Conv1d(4, 6, kernel, stride).double()
    x = torch.randn(3, length, 4, dtype=torch.double)
    weight = conv.gemm.weight.view(6, kernel, 4).transpose(1, 2)  # to (out, in, kernel), as torch has it
    expected = F.conv1d(x.transpose(1, 2), weight, conv.gemm.bias, stride, kernel // 2).transpose(1, 2)
    torch.testing.assert_close(conv(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("horizon", [4, 8, 20])
def test_a_unet_gives_back_the_shape_it_was_given(horizon):
    net = ChunkUNet(3, horizon, 5, (8, 16, 32), 3)
    assert net(torch.randn(2, horizon, 3), torch.rand(2), torch.randn(2, 5)).shape == (2, horizon, 3)


def test_a_horizon_that_cannot_be_halved_is_refused_in_words():
    spec = make_spec(horizon=10)
    with pytest.raises(ConfigError, match="horizon 10 is not divisible by 4"):
        FlowPolicy(FlowConfig(network="unet", width=32, depth=3), spec, make_normalizer(spec))


@pytest.mark.parametrize("options", [{"kernel": 4}, {"width": 2, "depth": 3}])
def test_a_unet_that_cannot_be_built_is_refused_in_words(options):
    spec = make_spec()
    with pytest.raises(ConfigError, match="odd kernel and at least one channel"):
        FlowPolicy(FlowConfig(**{"network": "unet", "width": 32, "depth": 3, **options}), spec, make_normalizer(spec))


def test_an_unknown_network_lists_the_known_ones():
    spec = make_spec()
    with pytest.raises(ConfigError, match="'transformer' is unknown; allowed: mlp, unet"):
        FlowPolicy(FlowConfig(network="transformer"), spec, make_normalizer(spec))


@pytest.mark.parametrize("net", [lambda: ChunkMLP(3, 8, 5, 16, 2), lambda: ChunkUNet(3, 8, 5, (8, 16), 3)], ids=["mlp", "unet"])
def test_every_input_reaches_every_action_of_the_chunk(net):
    torch.manual_seed(0)
    net = stir(net()).double()
    x, t, cond = torch.randn(1, 8, 3).double(), torch.full((1,), 0.4).double(), torch.randn(1, 5).double()
    out = net(x, t, cond)
    for changed in ((x, t + 0.1, cond), (x, t, cond + 0.1), (x.roll(1, 1), t, cond)):
        assert (net(*changed) - out).abs().amax((0, 2)).min() > 1e-6


def test_time_is_told_apart_over_all_of_zero_to_one():
    embed = TimeEmbedding(32)
    t = torch.linspace(0, 1, 101)
    angles = t[:, None] * embed.frequencies
    code = torch.cat([angles.sin(), angles.cos()], -1)
    assert (torch.cdist(code, code) + 10 * torch.eye(101)).min() > 0.1


def test_members_of_an_ensemble_are_independent_networks():
    torch.manual_seed(0)
    ensemble = stir(Ensemble(3, [4, 8, 8])).double()
    x = torch.randn(5, 4).double()
    out = ensemble(x)
    assert out.shape == (3, 5)
    for member in range(3):  # the definition, one member at a time
        h = x
        for i, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
            h = h @ weight[member] + bias[member]
            if i < 2:
                h = F.silu(F.layer_norm(h, (8,)))
        torch.testing.assert_close(out[member], h[:, 0], rtol=1e-12, atol=1e-12)
    out[0].sum().backward()
    for weight in ensemble.weights:
        assert weight.grad[0].abs().max() > 0
        assert weight.grad[1:].abs().max() == 0


def test_images_are_shifted_in_training_only_each_by_its_own_amount():
    torch.manual_seed(0)
    encoder = ImageEncoder(32, 32, 16, shift=4)
    ramp = torch.arange(32.0)
    x = (ramp[:, None] * 100 + ramp)[None, None].expand(8, 3, 32, 32).contiguous()
    shifted = encoder._random_shift(x)
    moves = set()
    for image in shifted:
        dy, dx = int(image[0, 16, 16] // 100) - 16, int(image[0, 16, 16] % 100) - 16
        moves.add((dy, dx))
        rows, columns = np.clip(np.arange(32) + dy, 0, 31), np.clip(np.arange(32) + dx, 0, 31)
        np.testing.assert_array_equal(image[1].numpy(), x[0, 1].numpy()[rows][:, columns])
        assert max(abs(dy), abs(dx)) <= 4
    assert len(moves) > 4
    pictures = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    encoder.eval()
    assert torch.equal(encoder(pictures), encoder(pictures))


def test_an_image_encoder_takes_any_size_and_sees_where_things_are():
    torch.manual_seed(0)
    for height, width in ((32, 32), (48, 64), (30, 45)):
        encoder = ImageEncoder(height, width, 16).eval()
        picture = torch.zeros(2, height, width, 3, dtype=torch.uint8)
        picture[0, :8, :8], picture[1, -8:, -8:] = 255, 255
        out = encoder(picture)
        assert out.shape == (2, 16)
        assert (out[0] - out[1]).abs().max() > 1e-3
