"""What the agent's own steps cost: keypoints, marks and request for one look, and the sandbox for one program.

Prints seconds per step and fails when the sum for a look, or one program, takes 0.3 s or more on this machine:

    python benchmarks/agent.py
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import gymnasium as gym
import numpy as np

from iker_agent.asking.prompts import Turn, build_request
from iker_agent.program import run_program
from iker_agent.prompt_kinds import prompt_kind
from iker_agent.seeing.keypoints import select_keypoints
from iker_agent.seeing.look import Look
from iker_agent.seeing.marks import draw_marks
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_agent.vlm.openai_chat import _encoded, chat_message

LIMIT_S = 0.3
_REPEATS = 15


def seconds(call: Callable[[], object]) -> float:
    """The median of some calls, after one to warm up."""
    call()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> bool:
    """Measure and print; True when both limits hold."""
    env = gym.make("iker_envs:IKER-ShoeRack-v0").unwrapped
    env.reset(seed=0, options={"look": True})
    view = env.view()
    scene = env.scene
    task = env.task
    keypoints = select_keypoints(scene, view)
    marked = draw_marks(view.image, keypoints)
    history = [Turn(np.roll(marked, k, axis=1), "a.png", "program") for k in (1, 2, 3)]

    def request():
        seen = Look(scene, keypoints, marked)
        return build_request("x", seen, history, prompt=prompt_kind("multi_stage"))

    code = task.configuration(0).stages[0].programs["keypoints"]
    asked = request()

    def messages():
        _encoded.cache_clear()  # as if all images were new
        return [chat_message(m, "high") for m in asked.messages]

    figures = {
        "keypoints": seconds(lambda: select_keypoints(scene, view)),
        "marks": seconds(lambda: draw_marks(view.image, keypoints)),
        "request (4 images)": seconds(request),
        "request as chat messages": seconds(messages),
    }
    look = sum(figures.values())
    program = seconds(lambda: run_program(code, keypoints.by_label()))
    vlm = AnnotatedVLM.of_task(task, 0)
    for name, value in figures.items():
        print(f"{name:32s} {1000 * value:7.1f} ms")
    print(f"{'look, all of it':32s} {1000 * look:7.1f} ms   limit {1000 * LIMIT_S:.0f}")
    print(f"{'sandbox, one program':32s} {1000 * program:7.1f} ms   limit {1000 * LIMIT_S:.0f}")
    print(f"{'annotated backend, one answer':32s} {1000 * seconds(lambda: vlm.complete(asked)):7.1f} ms")
    print(f"images {np.shape(marked)}, {len(keypoints.labels)} keypoints, median of {_REPEATS}")
    return max(look, program) < LIMIT_S


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
