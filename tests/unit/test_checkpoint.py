import pytest
import torch
from torch import nn

from hintseg.engine.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from hintseg.engine.fit import step_seed
from hintseg.engine.monitor import Intervals
from hintseg.engine.run import Run, read_config, refuse_existing, start_run
from hintseg.engine.stages import Stage, run_stages
from hintseg.errors import ConfigError, RunError
from hintseg.segments.memory import FIELDS, MemoryBank
from hintseg.structures import Prototypes


def trained(kind, steps=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = kind(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def adamw(parameters, lr):
    return torch.optim.AdamW(parameters, lr=lr)


def sgd(parameters, lr):
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)


@pytest.mark.parametrize("kind", [adamw, sgd])
def test_a_checkpoint_restores_every_bit(tmp_path, kind):
    path = tmp_path / "c" / "s.safetensors"
    model, optimizer = trained(kind)
    save_checkpoint(
        path, model, optimizer, TrainingState(3, 2, 0.5), {"0.vectors": torch.ones(2, 3)}
    )
    other, other_optimizer = trained(kind, steps=0)
    position, memory = load_checkpoint(path, other, other_optimizer)
    assert position == TrainingState(3, 2, 0.5)
    assert set(memory) == {"0.vectors"}
    assert torch.equal(memory["0.vectors"], torch.ones(2, 3))
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])
    mine, theirs = optimizer.state_dict()["state"], other_optimizer.state_dict()["state"]
    assert mine.keys() == theirs.keys()
    for index, state in mine.items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[index][key]))
    assert [file.name for file in path.parent.iterdir()] == ["s.safetensors"]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x" * 64])
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    path = tmp_path / "s.safetensors"
    model, optimizer = trained(adamw)
    save_checkpoint(path, model, optimizer, TrainingState(3), {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"s.safetensors: cannot be continued"):
        load_checkpoint(path, model, optimizer)


def test_step_seeds_differ_by_seed_step_and_rank():
    seeds = {step_seed(s, t, r) for s in range(5) for t in range(50) for r in range(4)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_existing_folder_is_not_overwritten(tmp_path):
    refuse_existing(tmp_path / "run")
    start_run(Run(tmp_path / "run"), {"a": 1})
    with pytest.raises(RunError, match="exists already; continue it with --resume"):
        refuse_existing(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="exists already"):
        refuse_existing(tmp_path / "file")


def test_the_log_forgets_what_will_be_done_again_and_half_lines(tmp_path):
    run = Run(tmp_path)
    for step in range(5):
        run.log({"stage": "train", "step": step})
    run.log({"stage": "other", "step": 9})
    with run.log_file.open("a") as file:
        file.write('{"stage": "tra')
    run.rewind_log("train", 3)
    assert [(line["stage"], line["step"]) for line in run.read_log()] == [
        ("train", 0),
        ("train", 1),
        ("train", 2),
        ("other", 9),
    ]


def test_a_run_without_a_logged_step_is_removed_unless_it_has_saved(tmp_path):
    run = Run(tmp_path / "run")
    start_run(run, {"a": 1})
    run.checkpoint_file("train").parent.mkdir()
    run.checkpoint_file("train").write_bytes(b"state")
    run.discard_if_untrained()
    assert run.checkpoint_file("train").exists()
    run.checkpoint_file("train").unlink()
    run.discard_if_untrained()
    assert not run.root.exists()


def test_a_finished_stage_is_not_done_again(tmp_path):
    run, done = Run(tmp_path), []
    stages = [
        Stage(name, lambda folder: done.append(folder.name) or {"n": 1}) for name in ("a", "b")
    ]
    run_stages(stages[:1], run, writer=True)
    run_stages(stages, run, writer=True)
    assert done == ["a", "b"]


def test_a_failing_stage_leaves_no_manifest(tmp_path):
    run = Run(tmp_path)

    def fail(folder):
        raise RunError("no")

    with pytest.raises(RunError):
        run_stages([Stage("a", fail)], run, writer=True)
    assert not run.is_done("a")


def test_things_are_due_at_their_interval_and_at_the_end():
    rhythm = Intervals(steps=25)
    assert [done for done in range(1, 26) if rhythm.now(10, done)] == [10, 20, 25]


@pytest.mark.parametrize("text", ["[1]", "a: [", "\x00", "3"])
def test_a_configuration_that_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"c.yaml"):
        read_config(tmp_path / "c.yaml")


def prototypes_of(step, count=4):
    generator = torch.Generator().manual_seed(step)
    return Prototypes(
        vectors=torch.randn(count, 3, generator=generator),
        label=torch.randint(-1, 5, (count,), generator=generator),
        image=torch.randint(2, (count,), generator=generator),
        sets=torch.rand(count, 5, generator=generator) < 0.5,
        tags=torch.rand(2, 5, generator=generator) < 0.5,
        absent=torch.rand(2, 5, generator=generator) < 0.5,
    )


@pytest.mark.parametrize("steps", [0, 1, 2, 13])
def test_a_memory_bank_comes_back_in_its_order(tmp_path, steps):
    bank, path = MemoryBank(12), tmp_path / "s.safetensors"
    for step in range(steps):
        bank.append(prototypes_of(step, count=step % 5))  # a step may have no segment at all
    model, optimizer = trained(adamw)
    save_checkpoint(path, model, optimizer, TrainingState(steps), bank.state())
    other = MemoryBank(12)
    other.append(prototypes_of(99))  # forgotten when the state comes
    other.restore(load_checkpoint(path, model, optimizer)[1])
    assert len(other) == min(steps, 12)
    one, two = (memory.behind(prototypes_of(50)) for memory in (bank, other))
    for name in FIELDS:
        mine, theirs = getattr(one, name), getattr(two, name)
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs)


def test_a_memory_of_nothing_remembers_nothing():
    bank = MemoryBank(0)
    bank.append(prototypes_of(0))
    assert bank.state() == {}
    bank.restore({})
    assert len(bank.behind(prototypes_of(1))) == 4
