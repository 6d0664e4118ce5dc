"""Who attracts and who repels whom."""

import pytest
import torch
import torch.nn.functional as F

from hintseg.losses.relations import (
    everything_else,
    image_similarity_loss,
    relation_loss,
    same_label,
    same_region,
    shared_set,
    shared_tag,
)
from hintseg.segments.memory import MemoryBank, join
from hintseg.segments.prototypes import cut, mean_directions
from hintseg.structures import Prototypes


def says(relation):
    """(attracts, repels) of every pixel and segment, written out."""
    attracts, repels = [], []
    for pixel in relation.pixel_group.tolist():
        row = [(pixel, segment) for segment in relation.segment_group.tolist()]
        known = [p >= 0 and s >= 0 for p, s in row]
        attracts.append(
            [k and bool(relation.attract[p, s]) for k, (p, s) in zip(known, row, strict=True)]
        )
        repels.append(
            [k and bool(relation.repel[p, s]) for k, (p, s) in zip(known, row, strict=True)]
        )
    return attracts, repels


def test_labels_attract_their_like_and_the_unlabelled_are_in_no_relation():
    attracts, repels = says(
        same_label(torch.tensor([0, -1, 2]), torch.tensor([0, 2, -1]), classes=3)
    )
    assert attracts == [[True, False, False], [False] * 3, [False, True, False]]
    assert repels == [[False, True, False], [False] * 3, [True, False, False]]


def test_images_with_a_common_tag_attract_and_others_repel():
    tags = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]).bool()
    attracts, repels = says(shared_tag(torch.arange(3), torch.arange(3), tags, ~tags))
    assert attracts == [[True, True, False], [True, True, False], [False, False, True]]
    assert repels == [[False, False, True], [False, False, True], [True, True, False]]


def test_images_that_may_have_a_class_in_common_do_not_repel():
    tags = torch.tensor([[1, 0], [0, 1]]).bool()
    absent = torch.tensor([[0, 1], [0, 0]]).bool()  # the second may have class 0 as well
    _, repels = says(shared_tag(torch.arange(2), torch.arange(2), tags, absent))
    assert not any(any(row) for row in repels)


def test_an_image_without_tags_is_in_no_relation():
    tags = torch.tensor([[0, 0], [0, 1]]).bool()
    relation = shared_tag(torch.arange(2), torch.arange(2), tags, ~tags)
    attracts, repels = says(relation)
    assert attracts == [[False, False], [False, True]]
    assert not any(any(row) for row in repels)
    assert relation.counted().tolist() == [False, True]


def test_regions_attract_themselves_and_repel_the_rest_of_the_image():
    attracts, repels = says(same_region(torch.tensor([7, 3]), torch.tensor([3, 7, 9000])))
    assert attracts == [[False, True, False], [True, False, False]]
    assert repels == [[True, False, True], [False, True, True]]


def test_label_sets_that_meet_attract_and_unresolved_segments_do_nothing():
    sets = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]).bool()
    attracts, repels = says(shared_set(torch.arange(4), sets))
    assert attracts[0] == [True, True, False, False]
    assert repels[0] == [False, False, True, False]
    assert attracts[3] == repels[3] == [False] * 4
    assert not any(row[3] for row in attracts + repels)


def test_pixels_count_if_some_segment_attracts_them():
    relation = same_label(torch.tensor([0, 1, -1]), torch.tensor([0, 0, -1]), classes=2)
    assert relation.counted().tolist() == [True, False, False]
    nobody = same_label(torch.tensor([0]), torch.tensor([-1]), classes=2)
    assert nobody.counted().tolist() == [False]


@pytest.fixture
def batch():
    """Three images of 4 x 5 cells: segments, unit pixels and prototypes."""
    generator = torch.Generator().manual_seed(0)
    part = torch.randint(3, (3, 4, 5), generator=generator)
    regions = torch.randint(3, (3, 4, 5), generator=generator)
    segments = cut(part, torch.full_like(part, -1), regions)
    pixels = F.normalize(torch.randn(60, 6, generator=generator, dtype=torch.float64), dim=1)
    return segments, pixels, mean_directions(pixels, segments.member, len(segments))


def similarity_by_hand(segments, pixels, prototypes, kappa):
    """One pixel at a time."""
    images = []
    for image in range(3):
        losses = []
        for i in (segments.image[segments.member] == image).nonzero()[:, 0].tolist():
            own = int(segments.member[i])
            there = [j for j in range(len(segments)) if int(segments.image[j]) == image]
            value = {j: torch.exp(kappa * pixels[i] @ prototypes[j]) for j in there}
            mine = [j for j in there if segments.region[j] == segments.region[own]]
            others = [j for j in mine if j != own] or [own]
            attracted = sum(value[j] for j in others)
            repelled = sum(value[j] for j in there if j not in mine)
            losses.append(-torch.log(attracted / (attracted + repelled)))
        images.append(torch.stack(losses).mean())
    return torch.stack(images).mean()


def test_image_similarity_is_the_mean_over_images(batch):
    segments, pixels, prototypes = batch
    got = image_similarity_loss(pixels, prototypes, segments, concentration=5.0, images=3)
    assert float(got) == pytest.approx(float(similarity_by_hand(*batch, 5.0)), rel=1e-9)


def test_an_image_that_is_all_padding_counts_with_zero(batch):
    segments, pixels, prototypes = batch
    three = image_similarity_loss(pixels, prototypes, segments, concentration=5.0, images=3)
    four = image_similarity_loss(pixels, prototypes, segments, concentration=5.0, images=4)
    assert float(four) == pytest.approx(float(three) * 3 / 4)


def test_no_pixel_at_all_is_a_zero_that_can_be_differentiated():
    empty = cut(*(torch.full((1, 2, 2), value) for value in (0, -2, 0)))
    pixels = torch.zeros(0, 4, requires_grad=True)
    loss = image_similarity_loss(pixels, torch.zeros(0, 4), empty, concentration=5.0, images=1)
    loss.backward()
    assert loss.item() == 0


def test_the_plain_form_of_everything_else_has_the_whole_batch_below_the_line(batch):
    segments, pixels, prototypes = batch
    relation = everything_else(60, len(segments), device=pixels.device)
    got = relation_loss(
        pixels, prototypes, segments.member, relation, concentration=4.0, plain=True
    )
    expected = F.cross_entropy(4 * pixels @ prototypes.T, segments.member)
    assert float(got) == pytest.approx(float(expected), rel=1e-9)


# Memory


def prototypes(count, images, seed):
    generator = torch.Generator().manual_seed(seed)
    return Prototypes(
        vectors=F.normalize(torch.randn(count, 4, generator=generator), dim=1),
        label=torch.randint(-1, 3, (count,), generator=generator),
        image=torch.randint(images, (count,), generator=generator),
        sets=torch.rand(count, 3, generator=generator) > 0.5,
        tags=torch.rand(images, 3, generator=generator) > 0.5,
        absent=torch.rand(images, 3, generator=generator) > 0.5,
    )


def test_memory_follows_the_current_prototypes_newest_first_and_images_never_collide():
    bank, steps = MemoryBank(2), [prototypes(5, 2, seed) for seed in range(4)]
    for step in steps[:3]:
        bank.append(step)
    assert len(bank) == 2
    joined = bank.behind(steps[3])
    expected = torch.cat([steps[3].vectors, steps[2].vectors, steps[1].vectors])
    assert torch.equal(joined.vectors, expected)
    for number, step in enumerate((steps[3], steps[2], steps[1])):
        rows = slice(5 * number, 5 * number + 5)
        assert torch.equal(joined.image[rows], step.image + 2 * number)
        assert torch.equal(joined.tags[joined.image[rows]], step.tags[step.image])


def test_what_is_remembered_has_no_gradient_and_does_not_change():
    bank, step = MemoryBank(1), prototypes(3, 1, 0)
    vectors = step.vectors.clone().requires_grad_()
    bank.append(Prototypes(vectors, step.label, step.image, step.sets, step.tags, step.absent))
    with torch.no_grad():
        vectors.zero_()
    known = bank.behind(step)
    assert not known.vectors.requires_grad
    assert torch.equal(known.vectors[3:], step.vectors)


def test_no_memory_is_the_current_batch_alone():
    bank, step = MemoryBank(0), prototypes(3, 2, 0)
    bank.append(step)
    assert len(bank.behind(step)) == 3


def test_memory_comes_back_from_its_state():
    bank, other = MemoryBank(2), MemoryBank(2)
    for seed in range(2):
        bank.append(prototypes(4 + seed, 2, seed))
    other.restore(bank.state())
    step = prototypes(2, 1, 9)
    assert torch.equal(bank.behind(step).vectors, other.behind(step).vectors)
    assert torch.equal(bank.behind(step).image, other.behind(step).image)


def test_joining_one_part_changes_nothing():
    step = prototypes(3, 2, 0)
    assert torch.equal(join([step]).image, step.image)


def test_drawing_some_of_the_pixels_keeps_the_expectation(batch):
    segments, pixels, prototypes = batch
    relation = same_label(torch.arange(60) % 4 - 1, torch.arange(len(segments)) % 3, classes=3)
    words = (pixels, prototypes, segments.member, relation)
    whole = float(relation_loss(*words, concentration=6.0))
    torch.manual_seed(0)
    drawn = [float(relation_loss(*words, concentration=6.0, most=20)) for _ in range(400)]
    assert sum(drawn) / 400 == pytest.approx(whole, rel=0.05)
