"""Policies without torch: the numpy form acts as the trained one does, and refuses what that refuses."""

import subprocess
import sys
from importlib.resources import as_file, files

import numpy as np
import pytest

from iker_agent.learning.network import NetworkPolicy
from iker_agent.learning.plain_network import PlainNetworkPolicy
from iker_agent.learning.policy import read_policy
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.shipped import shipped_names


def stored(name):
    with as_file(files("iker_cfg").joinpath(f"policies/{name}.safetensors")) as path:
        return *read_policy(path), load_policy(path).spec


@pytest.mark.parametrize("name", shipped_names())
def test_a_policy_acts_alike_with_and_without_torch(name):
    header, arrays, spec = stored(name)
    observations = np.random.default_rng(0).uniform(-1, 1, (64, spec.observation_dim)).astype(np.float32)
    with_torch = NetworkPolicy.from_arrays(arrays, header, spec).act(observations)
    plain = PlainNetworkPolicy.from_arrays(arrays, header, spec).act(observations)
    assert np.abs(with_torch - plain).max() < 1e-4 and np.abs(plain).max() > 0.1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda arrays: arrays.pop("network.mean.bias"), r"mean\.bias' is missing"),
        (lambda arrays: arrays.update(extra=np.zeros(1)), "'extra' is unknown"),
        (
            lambda arrays: arrays.update({"network.mean.bias": np.zeros(3, np.float32)}),
            r"\(6,\) of float32, not \(3,\)",
        ),
        (lambda arrays: arrays.update({"normaliser.variance": -arrays["normaliser.variance"]}), "at least 0"),
    ],
    ids=["missing", "unknown", "another shape", "negative variance"],
)
def test_a_damaged_policy_is_refused_without_torch_too(change, told):
    header, arrays, spec = stored(shipped_names()[0])
    arrays = dict(arrays)
    change(arrays)
    with pytest.raises(ValueError, match=told):
        PlainNetworkPolicy.from_arrays(arrays, header, spec)


def test_a_shipped_policy_and_its_evaluation_need_no_torch():
    code = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "torch" else real(name, *a)
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "skrl"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NoTorch())
import iker_agent.learning.task_evaluation, iker_agent.execute
from iker_agent.learning.shipped import shipped_policy
from iker_envs.spec import spec_of
from iker_envs.task import load_task
print(type(shipped_policy("push", spec_of(load_task("shoe_push").sample(None)))).__name__)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "PlainNetworkPolicy"
