"""Two processes compute what one computes from the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from distributed_steps import (
    CASES,
    ROWS,
    case_batch,
    case_student,
    case_weights,
    pair_batch,
    rank_seed,
    sum_of_gathered,
)
from safetensors.torch import load_file
from tiny_tgq import tiny_tgq_model
from tiny_training import MODEL, TRAIN_SCRIPT, final_weights, load_script, read_history, write_recipe
from training_batches import chunks, gradients, in_one_graph

from tiger_fg_hf import TigerFGModel
from tiger_fg_hf.objectives.tgq_former import TGQFormerTask
from tiger_fg_hf.objectives.tgq_former_student import TGQFormerStudent
from tiger_fg_hf.objectives.tiger_fg import TigerFGTask
from tiger_fg_hf.training.distributed import gather_with_grad

PROCESSES = 2


ENVIRONMENT = {
    **os.environ,
    "ACCELERATE_USE_CPU": "true",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(sys.path),
}


def run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]


def launch(script: Path, *arguments) -> None:
    """Run a script in two processes on the CPU with torch's launcher."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={PROCESSES}"]
    run([*command, str(script), *map(str, arguments)], ENVIRONMENT)


def accelerate_launch(recipe: Path) -> None:
    """Run the training script in two processes, as users do."""
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--cpu", "--num_processes", str(PROCESSES)]
    run([*command, str(TRAIN_SCRIPT), str(recipe)], ENVIRONMENT)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict[str, torch.Tensor]]:
    """The tensors that each of two processes wrote."""
    folder = tmp_path_factory.mktemp("ranks")
    launch(Path(__file__).parents[1] / "fixtures" / "distributed_steps.py", folder)
    return [load_file(folder / f"rank-{rank}.safetensors") for rank in range(PROCESSES)]


@pytest.mark.parametrize("chunk", [0, 2])
def test_pairs_of_listings_equal_those_of_one_process(ranks, chunk):
    """InfoNCE is a mean over each process's rows; every process computes L_rr over all of them."""
    task = TGQFormerTask(TGQFormerStudent(tiny_tgq_model()))
    losses = task(pair_batch())
    losses["loss"].backward()
    for name in ("loss", "i2i", "rr"):
        mean = torch.stack([rank[f"pairs {chunk}|{name}"] for rank in ranks]).mean()
        torch.testing.assert_close(mean, losses[name].detach(), atol=1e-5, rtol=1e-4, msg=name)
    for name, gradient in gradients(task.student).items():
        for rank in ranks:
            torch.testing.assert_close(rank[f"pairs {chunk}|{name}"], gradient, atol=2e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("name", list(CASES))
def test_loss_and_gradients_equal_those_of_one_process(ranks, name):
    case, step, share = CASES[name], 1, ROWS // PROCESSES
    student, rows = case_student(case), case.get("chunk", ROWS)
    parts = [part for rank in range(PROCESSES) for part in chunks(share, rows, start=rank * share)]
    losses = in_one_graph(
        TigerFGTask(student, case_weights(case)),
        case_batch(case, step),
        parts,
        seeds={rank * share: rank_seed(rank, step) for rank in range(PROCESSES)},
    )
    assert losses.keys() >= {"loss", "q2i", "v2t", "i2v"} | (
        {"close", "sdd", "grounding"} if "close" in case else set()
    )
    for term, value in losses.items():
        mean = torch.stack([rank[f"{name}|{term}"] for rank in ranks]).mean()
        torch.testing.assert_close(mean, value.detach(), atol=1e-5, rtol=0, msg=term)
    expected = gradients(student)
    if name != "one product":
        assert losses["q2i"] > 0.1
        assert sum(gradient.abs().max() > 1e-3 for gradient in expected.values()) > len(expected) / 2
    for rank in ranks:
        for key, gradient in expected.items():
            torch.testing.assert_close(
                rank[f"{name}|{key}"], gradient, atol=1e-5, rtol=1e-5, msg=lambda t, k=key: f"{k}: {t}"
            )


def test_gathered_gradients_are_not_summed_twice(ranks):
    """All processes compute the same function, so the sum over processes is their number times one gradient."""
    rows = torch.linspace(-1, 1, ROWS * 2).view(ROWS, 2).requires_grad_()
    sum_of_gathered(rows, lambda tensor: tensor).backward()
    found = torch.cat([rank["gather"] for rank in ranks])
    torch.testing.assert_close(found, PROCESSES * rows.grad)


def test_one_process_gathers_nothing():
    tensor = torch.ones(2, 3)
    assert gather_with_grad(tensor) is tensor


def test_script_in_two_processes(catalog_folder, fresh_accelerate, tmp_path):
    """Half the batch in each of two processes: equal losses, a folder that loads, an exact resume."""
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    recipe = {
        "model_config": MODEL | {"text_config": MODEL["text_config"] | no_dropout},
        "data": str(catalog_folder),
        "eval_data": str(catalog_folder),
        "eval_limit": 4,
        "eval_every": 3,
        "gradient_accumulation_steps": 2,
        "max_steps": 3,
        "log_every": 1,
        "save_every": 2,
        "tracker": "tensorboard",
    }
    two = tmp_path / "two"
    accelerate_launch(write_recipe(tmp_path, **recipe, batch_size=4, output_dir=str(two)))
    one = tmp_path / "one"
    load_script(TRAIN_SCRIPT).main([str(write_recipe(tmp_path, **recipe, batch_size=8, output_dir=str(one)))])

    assert [entry["step"] for entry in read_history(two)] == [1, 2, 3, 3]
    for found, expected in zip(read_history(two)[:3], read_history(one)[:3], strict=True):
        for name in ("train/q2i", "train/grad_norm", "train/logit_scale", "train/lr"):
            assert found[name] == pytest.approx(expected[name], rel=1e-3), (found["step"], name)
    assert "eval/recall@1" in read_history(two)[-1]
    assert final_weights(two).keys() == final_weights(one).keys()
    TigerFGModel.from_pretrained(two)

    checkpoint = two / "checkpoints" / "step-00000002"
    recipe |= {"eval_every": 0, "resume": str(checkpoint)}
    resumed = tmp_path / "resumed"
    accelerate_launch(write_recipe(tmp_path, **recipe, batch_size=4, output_dir=str(resumed)))
    for name, weight in final_weights(two).items():
        assert torch.equal(final_weights(resumed)[name], weight), name
    # Each process saves its random states, so one process cannot resume exactly where two left off.
    fresh_accelerate()
    with pytest.raises(ValueError, match="num_processes: 2 in the checkpoint, 1 now"):
        load_script(TRAIN_SCRIPT).main([str(write_recipe(tmp_path, **recipe, output_dir=str(tmp_path / "alone")))])
