"""VoxPoser's question, and its answer: a stage of the plan becomes acts of the hand.

scene, view, plan, stage  ->  build_request  ->  Request  ->  ask  ->  (program, acts)

A reply that cannot be used is answered with one reason, as for every other method, at most `repairs` times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files

from iker_agent.asking.ask import NoAnswer
from iker_agent.asking.prompts import REPAIR
from iker_agent.program import extract_program, run_program
from iker_agent.records.run_folder import Folder
from iker_agent.vlm.errors import Unusable
from iker_agent.vlm.types import VLM, Message, Part, Request
from iker_agent.voxposer.acts import Act, acts_of
from iker_agent.voxposer.movements import GRIPPER, movement_signature
from iker_agent.voxposer.planner import NoTarget
from iker_agent.voxposer.plans import STAGE, PlanStep
from iker_agent.voxposer.prelude import with_prelude
from iker_envs.scene import Scene, View, position_and_angles


def object_boxes(scene: Scene) -> dict[str, tuple[float, ...]]:
    """Name -> (x, y, z, roll, pitch, yaw, length, width, height) of every object, and where the hand waits."""
    boxes = {o.name: (*position_and_angles(o.pose), *map(float, o.model.size_m)) for o in scene.objects}
    x, y, _ = (float(v) for v in scene.workspace_m.mean(axis=0))
    return {**boxes, GRIPPER: (x, y, float(scene.workspace_m[1][2]), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)}


def build_request(scene: Scene, view: View, instruction: str, plan: Sequence[PlanStep], stage: int) -> Request:
    """One user message: rules, the whole plan, the boxes, the stage that is asked about, the picture."""
    rules = files("iker_cfg").joinpath("prompts/value_maps.md").read_text(encoding="utf-8").rstrip()
    steps = "\n".join(f"{number}. {step.step}" for number, step in enumerate(plan, start=1))
    boxes = "\n".join(f"- {name}: {', '.join(f'{v:.3f}' for v in row)}" for name, row in object_boxes(scene).items())
    now = (
        f"## Now\n\nInstruction: {instruction}\n\nPlan:\n\n{steps}\n\nBoxes (x, y, z, roll, pitch, yaw, length, width, "
        f"height):\n\n{boxes}\n\nWrite the program of step {stage + 1}: {plan[stage].step}"
    )
    parts = (Part(rules), Part(now), Part(image=view.image.rgb, image_name="view.png"))
    return Request((Message("user", parts),), {STAGE: stage, "instruction": plan[stage].step})


def ask(
    vlm: VLM, request: Request, scene: Scene, repairs: int, folder: Folder, on_refusal: Callable[[str], None]
) -> tuple[Act, ...]:
    """Ask until a program can be carried out; leaves prompt.md, reply.md, program.py. NoAnswer after all repairs."""
    refusals: list[str] = []
    for _ in range(repairs + 1):
        folder.text("prompt.md", request.markdown())
        try:
            text = vlm.complete(request).text
            folder.text("reply.md", text)
            return _read(text, scene, folder)
        except Unusable as problem:
            text = problem.reply.text if problem.reply else ""
            refusals.append(str(problem))
        except NoTarget as problem:
            refusals.append(str(problem))
        on_refusal(refusals[-1])
        request = request.followed_by(text or "(no text)", REPAIR.format(reason=refusals[-1]))
    raise NoAnswer(refusals)


def _read(text: str, scene: Scene, folder: Folder) -> tuple[Act, ...]:
    """The acts of a reply; NoTarget says why there are none."""
    signature = movement_signature()
    code, warnings = extract_program(text, signature)
    if code is None:
        raise NoTarget(warnings[0])
    folder.text("program.py", code)
    result = run_program(with_prelude(code), object_boxes(scene), signature)
    if result.status != "ok":
        raise NoTarget(result.message)
    return acts_of(scene, signature.movements)
