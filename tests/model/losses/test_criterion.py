"""The correspondence losses in the trainer: where their gradients go, when they count, and what they refuse."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import train
from dataset.clip import ClipBatch
from dataset.train.loader import build_loader
from model.losses import criterion
from model.losses.criterion import Loss, LossInput, compute_losses, loss_weights, total_loss
from model.spacetime.network import SpaceTimeNetwork
from model.training.start import build_state
from model.training.state import TrainState
from model.weights import load_checkpoint
from util.config.presets import preset
from util.config.train import TrainConfig
from util.files.checkpoint import read_checkpoint

CPU = torch.device("cpu")


def small_run(
    root: Path, model: str = "xmem", ramp: tuple[float, float] = (0.0, 0.0), **changes: object
) -> TrainConfig:
    run = preset(model, "tiny")
    return replace(
        run,
        data=replace(run.data, dataset=(), user_roots=(root,), num_workers=0),
        augment=replace(run.augment, crop_size=64, crop_scale=(0.5, 1.0)),
        correspondence=replace(run.correspondence, ramp=ramp, view_size=64, **changes),  # type: ignore[arg-type]
        batch_size=3,
        iterations=4,
        device="cpu",
    )


def first_batch(run: TrainConfig) -> ClipBatch:
    return next(iter(build_loader(run, CPU)))


def gradients(state: TrainState, batch: ClipBatch, run: TrainConfig, terms: Sequence[str]) -> dict[str, Tensor]:
    """Return the gradient of the sum of some correspondence terms for every parameter that has one."""
    output = state.parallel(
        batch.network_images(), batch.first_masks(), batch.valid_BO, batch.seeds, batch.network_views()
    )
    known = LossInput(output.logits, output.keys, batch.labels_BTHW, batch.valid_BO, batch.compared, run, 0)
    losses, _ = compute_losses(known, loss_weights(run, 0.0))
    state.network.zero_grad(set_to_none=True)
    torch.stack([losses[term] for term in terms]).sum().backward()
    return {name: p.grad for name, p in state.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("model", ["stcn", "xmem"])
@pytest.mark.parametrize("terms", [("pcl",), ("ocl",)])
def test_gradients_reach_the_keys_and_nothing_else(model: str, terms: tuple[str], root: Path) -> None:
    run = small_run(root, model, pcl_similarity="l2")
    found = gradients(build_state(run, CPU), first_batch(run), run, terms)
    reached = {name for name, gradient in found.items() if gradient.any()}
    assert any(name.startswith("key_proj.key_proj") for name in reached)
    assert any(name.startswith("key_encoder.layer3") for name in reached)
    strangers = [name for name in reached if not name.startswith(("key_proj.key_proj", "key_encoder."))]
    assert strangers == []


def test_before_the_ramp_a_step_is_the_baselines_bit_for_bit(root: Path) -> None:
    run = small_run(root, "stcn", ramp=(0.5, 1.0))
    baseline = replace(run, correspondence=replace(run.correspondence, pcl=False, ocl=False))
    batch = first_batch(run)
    states = [build_state(config, CPU) for config in (run, baseline)]
    for state, config in zip(states, (run, baseline), strict=True):
        for _ in range(2):  # the weight leaves zero after step 2 of 4
            metrics, _ = train.train_step(state, [batch], config)
            assert "pcl" not in metrics and "ocl" not in metrics
    for (name, ours), (_, theirs) in zip(*(state.model.state_dict().items() for state in states), strict=True):
        assert torch.equal(ours, theirs), name
    train.train_step(states[0], [batch], run)  # progress 1/2: the weight is still zero
    metrics, _ = train.train_step(states[0], [batch], run)
    assert metrics["pcl"] > 0 and "ocl" in metrics


def test_the_total_is_the_weighted_sum(root: Path) -> None:
    run = small_run(root)
    metrics, _ = train.train_step(build_state(run, CPU), [first_batch(run)], run)
    expected = metrics["cross_entropy"] + metrics["dice"] + 0.2 * (metrics["pcl"] + 0.5 * metrics["ocl"])
    torch.testing.assert_close(metrics["loss"], expected)


def test_a_term_without_weight_is_not_computed(root: Path) -> None:
    run = small_run(root, beta=0.0)
    metrics, output = train.train_step(build_state(run, CPU), [first_batch(run)], run)
    assert "ocl" not in metrics and "pcl" in metrics
    run = small_run(root, pcl=False)
    metrics, output = train.train_step(build_state(run, CPU), [first_batch(run)], run)
    assert "pcl" not in metrics and output.keys.view_key is None


def test_xmem_may_compare_pixels_as_it_reads_memory(root: Path) -> None:
    plain, network = (small_run(root, "xmem", pcl_similarity=kind, ocl=False) for kind in ("l2", "network"))
    state, batch = build_state(plain, CPU), first_batch(plain)
    reached = {}
    for run in (plain, network):
        found = gradients(state, batch, run, ["pcl"])
        reached[run] = {name for name, gradient in found.items() if gradient.any() and name.startswith("key_proj.")}
    assert reached[plain] == {"key_proj.key_proj.weight", "key_proj.key_proj.bias"}
    assert {"key_proj.d_proj.weight", "key_proj.e_proj.weight"} <= reached[network]


@pytest.mark.parametrize("cells", [2, 4])
def test_cells_square_times_clips_are_what_a_position_is_told_from(cells: int, root: Path) -> None:
    run = small_run(root, "stcn", pcl_anchors=cells)
    state, batch = build_state(run, CPU), first_batch(run)
    for name, parameter in state.model.named_parameters():
        if name.startswith("key_proj."):
            parameter.data.zero_()
    loss = train.train_step(state, [batch], run)[0]["pcl"].item()
    assert loss == pytest.approx(math.log(cells * cells * run.batch_size)), "all anchors are equally alike"


def test_a_loss_is_a_function_and_a_row(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small_keys(x: LossInput) -> Tensor:
        return x.keys.key.square().mean()

    run, batch = small_run(root, "stcn"), first_batch(small_run(root, "stcn"))
    without, _ = train.train_step(build_state(run, CPU), [batch], run)
    row = Loss(
        small_keys,
        lambda config, progress: 3 * (1 - progress),
        counts=lambda x: {"clips": torch.tensor(float(len(x.keys.key)))},
    )
    monkeypatch.setitem(criterion.LOSSES, "small_keys", row)
    state = build_state(run, CPU)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    metrics, output = train.train_step(state, [batch], run)
    assert metrics["clips"].tolist() == [run.batch_size] and "clips" not in without
    torch.testing.assert_close(metrics["small_keys"], output.keys.key.square().mean()[None])
    torch.testing.assert_close(metrics["loss"], without["loss"] + 3 * metrics["small_keys"])
    assert any(not torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    later, _ = train.train_step(state, [batch], run)  # a quarter of the run is done
    listed = {name: value for name, value in loss_weights(run, 0.25).items() if value}
    expected = torch.stack([weight * later[name] for name, weight in listed.items()]).sum(dim=0)
    assert listed["small_keys"] == 2.25
    torch.testing.assert_close(later["loss"], expected)


def test_a_loss_without_a_row_is_refused() -> None:
    weights = {"cross_entropy": 1.0, "dice": 0.4}
    losses = {"cross_entropy": torch.tensor(2.0), "dice": torch.tensor(0.5)}
    assert total_loss(losses, weights).item() == pytest.approx(2.2)
    with pytest.raises(ValueError, match="loss 'focal' has no weight: expected one of cross_entropy, dice; add a row"):
        total_loss({**losses, "focal": torch.tensor(1.0)}, weights)


def test_the_losses_fall_when_a_batch_is_learnt_by_heart(root: Path) -> None:
    run = replace(small_run(root, "stcn", alpha=1.0), iterations=25)
    state, batch = build_state(run, CPU), first_batch(run)
    history = [train.train_step(state, [batch], run)[0] for _ in range(25)]
    for term in ("pcl", "ocl"):
        first, last = (sum(metrics[term].item() for metrics in part) / 5 for part in (history[:5], history[-5:]))
        assert last < 0.8 * first, term


def test_bf16_steps_stay_finite_with_huge_keys(root: Path) -> None:
    run = replace(small_run(root, "stcn"), precision="bf16")
    state, batch = build_state(run, CPU), first_batch(run)
    assert isinstance(state.model, SpaceTimeNetwork)
    with torch.no_grad():
        for parameter in state.model.key_proj.parameters():
            parameter.mul_(300)
    for _ in range(3):
        metrics, output = train.train_step(state, [batch], run)
        assert all(value.isfinite().all() for value in metrics.values())
    key = output.keys.key.float().flatten(3)
    assert (2 * key.transpose(-1, -2) @ key).abs().max() > 65_504  # infinite in fp16


def test_a_run_logs_its_terms_and_exports_released_names(root: Path, tmp_path: Path) -> None:
    words = f"--model stcn --size tiny --dataset davis --davis_root {root} --output {tmp_path / 'run'} --device cpu"
    sizes = "--batch_size 2 --crop_size 64 --crop_scale 0.5 1 --iterations 4 --log_every 1 --ramp 0 0.5"
    train.command_line([*words.split(), *sizes.split()])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["alpha"] for line in lines] == pytest.approx([0, 0.1, 0.2, 0.2])
    assert "pcl" not in lines[0] and {"pcl", "ocl"} <= set(lines[1])
    saved = read_checkpoint(tmp_path / "run" / "last.pth")["network"]
    assert list(saved) == list(build_state(small_run(root, "stcn"), CPU).model.state_dict())
    load_checkpoint(tmp_path / "run" / "last.pth")


@pytest.mark.parametrize("model", ["stcn", "stcn-corr"])
def test_the_released_variant_trains_its_own_head(model: str, root: Path, tmp_path: Path) -> None:
    run = small_run(root, model, pcl_variant="released", ocl=False)
    state, batch = build_state(run, CPU), first_batch(run)
    assert batch.views_BV3HW is not None and batch.views_BV3HW.shape[1] == 3
    found = gradients(state, batch, run, ["pcl_released"])
    assert found["key_proj2.key_proj.weight"].any()
    assert "key_proj.key_proj.weight" not in found or not found["key_proj.key_proj.weight"].any()
    torch.save({"network": state.model.state_dict()}, tmp_path / "trained.pth")
    network = load_checkpoint(tmp_path / "trained.pth")  # for inference, without the head
    assert not any(name.startswith("key_proj2") for name in network.state_dict())
    again = build_state(replace(run, checkpoint=tmp_path / "trained.pth"), CPU)  # to train on, with it
    head = again.model.state_dict()["key_proj2.key_proj.weight"]
    torch.testing.assert_close(head, state.model.state_dict()["key_proj2.key_proj.weight"])


@pytest.mark.parametrize("model", ["bmvos", "emvos"])
def test_networks_of_two_references_may_have_the_losses(model: str, root: Path) -> None:
    run = small_run(root, model)
    assert not preset(model, "tiny").correspondence.active
    run = replace(run, correspondence=replace(run.correspondence, alpha=0.2))
    found = gradients(build_state(run, CPU), first_batch(run), run, ["pcl", "ocl"])
    reached = {name for name, gradient in found.items() if gradient.any()}
    assert reached and all(name.startswith(("vos.encoder.", "vos.matcher.")) for name in reached)
    assert any(name.startswith("vos.matcher.") for name in reached)


def test_the_dice_loss_weighs_what_the_run_says() -> None:
    run = preset("xmem")
    for weight in (0.0, 0.4):
        changed = replace(run, loss=replace(run.loss, dice=weight))
        assert loss_weights(changed, 0.5)["dice"] == weight and loss_weights(changed, 0.5)["cross_entropy"] == 1
