"""Damaged policy files: one sentence that names file and field."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import DELETED, changed, refusal
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from iker_agent.learning.network import ActorCritic, NetworkPolicy, Normaliser
from iker_agent.learning.plain_network import feature_dim
from iker_agent.learning.policy import read_policy
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.waypoint import WaypointLearner
from iker_agent.limits import Unusable
from iker_envs.spec import Spec, hash_of
from iker_envs.task import load_task


def network_file(folder: Path) -> Path:
    path = folder / "network.safetensors"
    torch.manual_seed(0)
    NetworkPolicy(ActorCritic(feature_dim(Spec()), Spec().action_dim), Normaliser(Spec()), {"seed": 3}).save(path)
    return path


def waypoint_file(folder: Path) -> Path:
    path = folder / "waypoint.safetensors"
    task = load_task("shoe_push")
    scene = task.sample(None)
    WaypointLearner().learn(scene, task.goal(0, scene)).policy.save(path)
    return path


def rewrite(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    path.write_bytes(save(arrays, metadata={"iker": json.dumps(header)}))


HEADERS = [
    ("format", DELETED, "format None"),
    ("format", ["iker-policy-1"], "format"),
    ("kind", DELETED, "kind None"),
    ("kind", {"a": 1}, "kind"),
    ("spec_hash", DELETED, "the field 'spec_hash' is missing"),
    ("spec_hash", 7, "the field 'spec_hash' is a text, not 7"),
    ("spec", DELETED, "the field 'spec' is missing"),
    ("spec", 5, "the field 'spec' is a mapping, not 5"),
    ("spec.control_hz", DELETED, "the field 'spec.control_hz' is missing"),
    ("spec.colour", "red", "the field 'spec.colour' is unknown"),
    ("spec.control_hz", "ten", "the field 'spec.control_hz' is a number, not 'ten'"),
    ("spec.control_hz", True, "the field 'spec.control_hz' is a number, not True"),
    ("spec.observation", 3, "the field 'spec.observation' is a text, not 3"),
    ("spec.observation", "smell", "observation 'smell' is unknown"),
    ("spec.approach_axis", 4.0, "the field 'spec.approach_axis' is three numbers"),
    ("spec.approach_axis", [0, "x", 1], "the field 'spec.approach_axis' is three numbers"),
]
OF_A_NETWORK = [
    ("hidden", DELETED, "the field 'hidden' is missing"),
    ("hidden", "wide", "the field 'hidden' is 1 to 8 whole numbers from 1 to 1024, not 'wide'"),
    ("hidden", [], "the field 'hidden' is"),
    ("hidden", [256, -1], "the field 'hidden' is"),
    ("hidden", [10**9], "the field 'hidden' is"),
    ("hidden", [256.5], "the field 'hidden' is"),
    ("hidden", [256, 128], "the tensor 'network.trunk.4.bias' is unknown"),
    ("hidden", [256, 128, 32], "the tensor 'network.trunk.4.weight' is (32, 128) of torch.float32, not (64, 128)"),
]
OF_A_RULE = [
    ("parameters", DELETED, "the field 'parameters' is missing"),
    ("parameters", [1], "the field 'parameters' is a mapping"),
    ("parameters.grasp", DELETED, "the field 'parameters.grasp' is missing"),
    ("parameters.grasp", 1, "the field 'parameters.grasp' is true or false, not 1"),
    ("parameters.speed", 1.0, "the field 'parameters.speed' is unknown"),
    ("parameters.push_height_m", "low", "the field 'parameters.push_height_m' is a number, not 'low'"),
    ("parameters.push_height_m", float("nan"), "the field 'parameters.push_height_m' is a number, not nan"),
    ("parameters.push_height_m", float("inf"), "the field 'parameters.push_height_m' is a finite number"),
]
CASES = [(network_file, *case) for case in HEADERS + OF_A_NETWORK] + [
    (waypoint_file, *case) for case in HEADERS + OF_A_RULE
]


@pytest.mark.parametrize(("make", "field", "value", "says"), CASES, ids=[f"{c[0].__name__}-{c[1]}" for c in CASES])
def test_a_policy_whose_header_is_wrong_is_refused_by_file_and_field(tmp_path, make, field, value, says):
    path = make(tmp_path)
    header, arrays = read_policy(path)
    rewrite(path, changed(header, field, value), arrays)
    told = refusal(load_policy, path)
    assert str(path) in told and says in told


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("fingertip_clearance_m", DELETED, "whose spec lacks fingertip_clearance_m"),
        ("softness", 1.0, "whose spec has softness"),
    ],
)
def test_a_whole_policy_of_another_version_is_refused_as_such(tmp_path, field, value, says):
    path = network_file(tmp_path)
    header, arrays = read_policy(path)
    header = changed(header, f"spec.{field}", value)
    rewrite(path, header | {"spec_hash": hash_of(header["spec"])}, arrays)
    with pytest.raises(ValueError, match="train it again") as caught:
        load_policy(path)
    assert says in str(caught.value) and not isinstance(caught.value, Unusable)


def test_a_rule_that_was_written_before_objects_could_stand_upright_is_still_read(tmp_path):
    path = waypoint_file(tmp_path)
    header, arrays = read_policy(path)
    for name in ("third_half_m", "lean_rad"):
        header = changed(header, f"parameters.{name}", DELETED)
    rewrite(path, header, arrays)
    assert load_policy(path).parameters.third_half_m == 0.0


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda a: a.pop("network.mean.weight"), "the tensor 'network.mean.weight' is missing"),
        (lambda a: a.update(extra=np.zeros(3, np.float32)), "the tensor 'extra' is unknown"),
        (lambda a: a.update({"network.mean.bias": np.zeros(7, np.float32)}), "'network.mean.bias' is (6,)"),
        (lambda a: a.update({"network.mean.bias": np.zeros(6)}), "of torch.float32, not (6,) of torch.float64"),
        (lambda a: a.update({"network.mean.bias": np.zeros(6, np.int64)}), "not (6,) of torch.int64"),
        (lambda a: a.update({"network.mean.bias": np.full(6, np.nan, np.float32)}), "are not finite"),
        (lambda a: a.update({"normaliser.mean": np.full_like(a["normaliser.mean"], np.inf)}), "are not finite"),
        (lambda a: a.update({"normaliser.variance": -a["normaliser.variance"]}), "at least 0"),
        (lambda a: a.update({"normaliser.count": np.zeros(1)}), "at least 0"),
    ],
    ids=["missing", "extra", "size", "precision", "whole numbers", "nan", "infinite", "negative", "no looks"],
)
def test_a_policy_whose_tensors_do_not_fit_is_refused_by_file_and_tensor(tmp_path, damage, says):
    path = network_file(tmp_path)
    header, arrays = read_policy(path)
    damage(arrays)
    rewrite(path, header, arrays)
    told = refusal(load_policy, path)
    assert str(path) in told and says in told


def with_header(text: str) -> bytes:
    """A safetensors file of no tensors whose header of ours is any text."""
    content = json.dumps({"__metadata__": {"iker": text}}).encode()
    return struct.pack("<Q", len(content)) + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"\x00" * 4,
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 90_000_000) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        with_header("["),
        with_header("[]"),
        with_header("7"),
        with_header("[" * 100_000),
        with_header('{"format": ' + "9" * 5000 + "}"),
        with_header('{"format": "iker-policy-1", "kind": "network"}'),
    ],
    ids=["empty", "zip", "cut", "huge", "long", "list", "json", "no mapping", "number", "deep", "digits", "bare"],
)
def test_what_is_no_policy_file_at_all_is_refused(tmp_path, content):
    path = tmp_path / "policy.safetensors"
    path.write_bytes(content)
    assert str(path) in refusal(load_policy, path)


def test_a_file_that_is_much_too_large_is_not_read(tmp_path):
    path = tmp_path / "policy.safetensors"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)  # takes no room
    assert "more than 64 MB" in refusal(load_policy, path)


@given(data=st.data())
def test_whatever_is_changed_in_a_policy_file_it_is_read_or_refused_in_a_sentence(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "changed"
    folder.mkdir(exist_ok=True)
    path = waypoint_file(folder) if data.draw(st.booleans()) else network_file(folder)
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    try:
        policy = load_policy(path)
    except ValueError as refused:
        assert str(path) in str(refused) and "\n" not in str(refused)
    else:
        assert policy.spec == Spec()


def test_the_command_ends_with_one_sentence_and_code_1(tmp_path):
    path = network_file(tmp_path)
    header, arrays = read_policy(path)
    rewrite(path, changed(header, "hidden", DELETED), arrays)
    command = [sys.executable, "-m", "iker_agent.cli", "eval", str(path), "--task", "shoe_push"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"iker: {str(path)!r} is damaged: the field 'hidden' is missing\n"
