"""A GPU computes what the CPU does; `benchmarks/gpu.py` runs these."""

import pytest
import torch
import torch.nn.functional as F

from hintseg.losses.contrastive import segment_contrastive_loss
from hintseg.predict.predictor import load
from hintseg.refine.crf import dense_crf
from hintseg.refine.walks import embedding_walk
from hintseg.segments.kmeans import spherical_kmeans
from hintseg.training import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


def unit(generator, *shape):
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def test_loss_and_gradients():
    generator = torch.Generator().manual_seed(0)
    vectors = unit(generator, 5000, 32), unit(generator, 300, 32)
    own, group = (torch.randint(300, (n,), generator=generator) for n in (5000, 300))
    group = group % 7
    table = torch.eye(7, dtype=torch.bool)
    relation = own, group[own], group, table, ~table
    found = {}
    for device in ("cpu", "cuda"):
        given = [tensor.to(device).requires_grad_() for tensor in vectors]
        there = [tensor.to(device) for tensor in relation]
        loss = segment_contrastive_loss(*given, *there, concentration=12.0)
        found[device] = [loss.detach(), *torch.autograd.grad(loss, given)]
    for one, other in zip(*found.values(), strict=True):
        assert torch.allclose(one, other.cpu(), atol=1e-5, rtol=1e-4)


def test_walk():
    generator = torch.Generator().manual_seed(0)
    embeddings, scores = torch.randn(2, 16, 20, 24, generator=generator), torch.rand(3, 20, 24)
    here = embedding_walk(embeddings, scores)
    there = embedding_walk(embeddings.cuda(), scores.cuda()).cpu()
    assert torch.allclose(here, there, atol=1e-3)


def test_dense_crf():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 40, 50), generator=generator, dtype=torch.uint8)
    scores = torch.rand(2, 4, 40, 50, generator=generator).softmax(dim=1)
    here = dense_crf(images, scores)
    there = dense_crf(images.cuda(), scores.cuda()).cpu()
    assert (here - there).abs().mean() < 1e-3


def test_kmeans():
    generator = torch.Generator().manual_seed(0)
    vectors = unit(generator, 3, 400, 8)
    initial = torch.randint(9, (3, 400), generator=generator)
    valid = torch.rand(3, 400, generator=generator) > 0.1
    here = spherical_kmeans(vectors, initial, valid, count=9)
    there = spherical_kmeans(vectors.cuda(), initial.cuda(), valid.cuda(), count=9).cpu()
    assert (here == there)[valid].float().mean() > 0.99


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_train_and_predict(dataset, tmp_path, precision):
    tiny = {"steps": 3, "crop": 64, "batch": 2, "weights": "random", "device": "cuda"}
    settings = {"train": {**tiny, "precision": precision}}
    run = train(dataset, tmp_path / "run", method="spml", settings=settings)
    name = next(iter(dataset.images))
    here = load(run).predict(dataset.image(name)).scores
    there = load(run, device="cuda").predict(dataset.image(name)).scores
    assert torch.allclose(here, there, atol=2e-2)
