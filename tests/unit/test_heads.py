import pytest
import torch

from hintseg.errors import ConfigError
from hintseg.models.backbone import Backbone
from hintseg.models.embedder import Embedder, upsample
from hintseg.models.heads import SkipHead, _taps


def test_the_head_takes_the_last_feature_of_each_stride_down_to_four():
    assert _taps((2, 4, 8, 16, 16), 4) == (2, 1)
    assert _taps((2, 4, 8, 8, 8), 4) == (1,)
    assert _taps((4, 8, 16, 32), 4) == (2, 1, 0)


def test_a_backbone_without_a_feature_at_stride_four_is_refused():
    with pytest.raises(ConfigError, match="needs one at stride 4"):
        SkipHead((8, 16), (8, 16))


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (32, 32), (33, 65), (100, 37)])
def test_the_embedding_covers_an_image_of_any_size(segmenter, size):
    height, width = size
    with torch.inference_mode():
        embeddings = segmenter.embedder(torch.zeros(1, 3, height, width, dtype=torch.uint8))
    assert embeddings.shape[-2:] == (-(-height // 4), -(-width // 4))
    assert embeddings.isfinite().all()


def test_bytes_and_floats_of_one_image_give_one_embedding(segmenter):
    image = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(segmenter.embedder(image), segmenter.embedder(image.float()))


def test_upsampling_keeps_a_linear_ramp_at_pixel_centres():
    cells = (torch.arange(8.0) * 4 + 1.5).view(1, 1, 1, 8).expand(1, 1, 8, 8)  # x of cell centres
    pixels = upsample(cells.contiguous(), 30, 30)
    assert pixels[0, 0, 15, 2:29] == pytest.approx(torch.arange(2.0, 29.0))


def test_upsampling_a_constant_gives_the_constant():
    assert torch.equal(
        upsample(torch.full((1, 2, 3, 3), 5.0), 11, 9), torch.full((1, 2, 11, 9), 5.0)
    )


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "tf_efficientnet_lite0"])
def test_any_network_with_features_carries_the_embedder(name):
    embedder = Embedder(Backbone(name), dim=8, width=16).eval()
    with torch.inference_mode():
        assert embedder(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (1, 8, 16, 16)
