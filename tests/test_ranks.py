"""Several processes of one training: who they are, which device and network they take, and that they agree."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from iker_agent.learning.progress import read_metrics
from iker_agent.learning.ranks import Rank, backend, stay_on_this_machine, take_device, this_rank

# The command `iker`, beside which every process leaves what its worlds began with and what it has learned.
WITNESS = """
import sys
from contextlib import contextmanager
import torch
from iker_agent.cli import main
from iker_agent.learning import distributed

folder = sys.argv.pop(1)
joined_group = distributed.joined_group

def watch():
    from iker_agent.learning.task_training import TaskTraining
    from iker_agent.learning.training import Training

    seen = {}
    begin, run = Training.begin, TaskTraining.run

    def noting_begin(self, seed):
        seen["before"] = {name: values.clone() for name, values in self.policy.network.state_dict().items()}
        seen["observation"] = begin(self, seed)
        return seen["observation"]

    def noting_run(self):
        policy = run(self)
        seen.update(network=policy.network.state_dict(), normaliser=policy.normaliser.state_dict())
        torch.save(seen, f"{folder}/{distributed.rank()}.pt")
        return policy

    Training.begin, TaskTraining.run = noting_begin, noting_run

@contextmanager
def witnessed():
    with joined_group():
        watch()  # not before: skrl must be told of the group first
        yield

distributed.joined_group = witnessed
main()
"""


def test_a_process_that_torchrun_did_not_start_is_alone():
    assert this_rank({}) == this_rank({"RANK": "", "WORLD_SIZE": ""}) == Rank()


def test_torchruns_variables_say_where_a_process_stands():
    told = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
    rank = this_rank(told)
    assert rank == Rank(rank=5, local_rank=1, num_ranks=8, num_local_ranks=4)
    assert not rank.is_local and Rank(1, 1, 2, 2).is_local


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 is not one of WORLD_SIZE=2 processes"),
        ({"LOCAL_RANK": "1"}, "LOCAL_RANK=1 is not one of LOCAL_WORLD_SIZE=1 processes"),
        ({"RANK": "first"}, "RANK is a whole number that torchrun sets, not 'first'"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE is a whole number that torchrun sets, not '-1'"),
    ],
)
def test_variables_that_contradict_each_other_are_refused(told, reason):
    with pytest.raises(ValueError, match=reason):
        this_rank(told)


@pytest.mark.parametrize(
    ("rank", "num_cuda", "device"),
    [
        (Rank(), 0, "cpu"),
        (Rank(), 1, "cuda:0"),
        (Rank(3, 1, 4, 2), 2, "cuda:1"),  # the second process of the second machine
        (Rank(1, 1, 2, 2), 8, "cuda:1"),
        (Rank(1, 1, 2, 2), 1, "cpu"),  # one device for two processes: neither takes it
        (Rank(0, 0, 2, 2), 1, "cpu"),
    ],
)
def test_every_process_has_the_device_of_its_local_number(rank, num_cuda, device):
    assert rank.device(num_cuda) == device


def test_tensors_of_a_device_are_carried_by_a_library_that_can():
    assert backend("cpu") == "gloo" and backend("cuda:1") == "cpu:gloo,cuda:nccl"


def test_without_a_cuda_device_a_process_stays_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert take_device(Rank(1, 1, 2, 2)) == "cpu"


def test_a_process_takes_its_own_cuda_device(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    assert take_device(Rank(1, 1, 2, 2)) == "cuda:1" and taken == ["cuda:1"]


def test_a_group_of_one_machine_talks_over_loopback_and_others_as_they_are_told():
    for rank, given, interface in (
        (Rank(1, 1, 2, 2), {}, {"lo", "lo0"}),
        (Rank(1, 1, 2, 2), {"GLOO_SOCKET_IFNAME": "eth7"}, {"eth7"}),
        (Rank(1, 1, 4, 2), {}, {None}),
    ):
        stay_on_this_machine(rank, given)
        assert given.get("GLOO_SOCKET_IFNAME") in interface


def test_two_processes_agree_to_the_last_bit_in_worlds_of_their_own(tmp_path):
    """The command as it is documented: gradients are averaged, one process writes, seeds of worlds differ."""
    (tmp_path / "witness.py").write_text(WITNESS)
    out = tmp_path / "run"
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d")
    local = ("--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", str(tmp_path / "witness.py"), str(tmp_path))
    settings = ("learn.num_envs=8", "learn.horizon=4", "learn.num_threads=1", "learn.max_steps=192")
    command = [*launcher, *local, "train", "shoe_push", *settings, "--out", str(out)]
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_SOCKET_IFNAME")}
    done = subprocess.run(command, capture_output=True, text=True, env={**kept, "OMP_NUM_THREADS": "1"}, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for part in ("before", "network", "normaliser"):
        assert first[part].keys() == second[part].keys()
        assert all(torch.equal(values, second[part][name]) for name, values in first[part].items()), part
    assert not torch.equal(first["before"]["log_std"], first["network"]["log_std"]), "something was learned"
    assert not torch.isclose(first["observation"], second["observation"]).all(dim=1).any()
    assert [row.steps for row in read_metrics(out / "metrics.csv")] == [64, 128, 192]
    assert done.stdout.count("policy:") == 1 and len(list(out.glob("events*"))) == 1
