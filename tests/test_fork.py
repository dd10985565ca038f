"""Environments in forked processes, where no thread of the parent lives on: they go on to the last bit, or say why not.

Every script runs in an interpreter of its own, so that a hang ends with its time limit.
"""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

HEAD = """
import gc, multiprocessing, os, pickle, sys, traceback
import gymnasium as gym
import numpy as np
import iker_envs

PUSH, CARRY = "IKER-ShoePush-v0", "IKER-ShoePlace-v0"
ACTIONS = np.random.default_rng(4).uniform(-1, 1, (8, 3, 6))

def make(env_id=PUSH, **kwargs):
    return gym.make_vec(env_id, num_envs=3, num_threads=2, episode_s=0.4, **kwargs)

def roll(env, ticks=range(8)):
    return [env.step(ACTIONS[k])[0] for k in ticks]

def in_child(function):
    # What a function returns in a forked child, which then ends as any Python process does.
    read, write = os.pipe()
    if os.fork() == 0:
        with os.fdopen(write, "wb") as file:
            try:
                pickle.dump(function(), file)
            except Exception:
                traceback.print_exc()
                pickle.dump("the child failed", file)
        gc.collect()
        sys.exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        found = pickle.load(file)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0, "the child did not end well"
    return found

def same(a, b):
    np.testing.assert_equal(a, b)
"""

SCRIPTS = {
    "many worlds are stepped, measured, saved, restored and copied": """
env = make()
there = in_child(lambda: [env.reset(seed=0)[0], *roll(env)])  # made but never reset before
same(there, [env.reset(seed=0)[0], *roll(env)])
assert in_child(lambda: 1) == 1
state = env.get_state()
def go_on():
    env.set_state(state)
    return roll(env), env.get_state()["stage"]["sim"]["state"]
same(in_child(lambda: roll(env)), go_on()[0])
same(in_child(go_on), go_on())
same(in_child(lambda: vars(env.finish())), vars(env.finish()))
env.set_state(state)
same(in_child(lambda: roll(pickle.loads(pickle.dumps(env)))), roll(env))
def deeper():
    roll(env, range(2))
    return in_child(lambda: roll(env, range(2, 8)))
env.set_state(state)
same(in_child(deeper), roll(env)[2:])
""",
    "many worlds are reset, all or some, and grasp": """
env = make(CARRY, autoreset_mode="disabled", randomisation="all")
env.reset(seed=0)
mask = {"reset_mask": np.array([True, False, True])}
state = env.get_state()
there = in_child(lambda: env.reset(options=mask)[0])
same(there, env.reset(options=mask)[0])
def again():
    return [env.reset(seed=5)[0], *roll(env, range(3))]
same(in_child(again), again())
""",
    "many worlds are closed or forgotten": """
env = make()
env.reset(seed=0)
assert in_child(lambda: env.close()) is None
assert in_child(lambda: [env.close(), env.close(), globals().pop("env")] and "closed") == "closed"
def forget():
    globals().pop("env")
    gc.collect()
    return make().reset(seed=1)[0]
same(in_child(forget), make().reset(seed=1)[0])
sim = env.worlds.sim
pose, opening = sim.state().gripper_pose, np.zeros(3)
def by_hand():
    sim.step(pose, opening, 10)
    return sim.state().object_pose
same(in_child(by_hand), by_hand())
env.close()  # the simulation's own arrays must not keep its threads either
assert in_child(lambda: globals().pop("sim") and 2) == 2
""",
    "one world": """
for num_threads in (0, 2):
    env = gym.make(CARRY, num_threads=num_threads, episode_s=0.4).unwrapped
    env.reset(seed=0)
    def one():
        rows = [env.step(ACTIONS[k, 0])[0] for k in range(3)]
        return rows, env.finish().to_dict(), env.reset(options={"world": "keep"})[0]
    same(in_child(one), one())
    assert in_child(env.close) is None
env.reset(seed=0)
same(in_child(lambda: env.view().image.depth_m), env.view().image.depth_m)
""",
    "pools of processes, gymnasium's and torch's": """
import torch
env = make()
env.reset(seed=0)
def work(seed):
    env.reset(seed=seed)
    return roll(env)
with multiprocessing.get_context("fork").Pool(2) as pool:
    there = pool.map(work, range(4))
same(there, [work(seed) for seed in range(4)])

many = gym.make_vec(PUSH, num_envs=2, vectorization_mode="async", vector_kwargs={"context": "fork"}, episode_s=0.4)
first = many.reset(seed=3)[0]
for k in range(6):
    many.step(ACTIONS[k, :2])
many.close()
same(first[0], gym.make(PUSH).reset(seed=3)[0])

class Rollouts(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(work(7))
loader = torch.utils.data.DataLoader(Rollouts(), batch_size=None, num_workers=2, multiprocessing_context="fork")
there = [row.numpy() for row in loader]
same(sorted(row.tobytes() for row in there), sorted(row.tobytes() for row in work(7) * 2))
""",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_forked_process_goes_on(script):
    done = subprocess.run([sys.executable, "-c", HEAD + script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
