"""A scripted model without eyes: all that it knows is what a request's text says.

    Request (text only)  ->  SentenceReader.complete  ->  Reply with a program

It holds a plan, one program template an object in the manner of what models first answer, with a few numbers: forward,
left and up in metres, a turn, grasp or push. What it is told (a refusal, a forecast, an outcome, what is not fulfilled)
changes one of these numbers by general rules, then it answers again. A sentence that changes nothing is kept in
`unread`. It looks neither at pictures nor at attachments, and holds no number of a scene.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from iker_agent.vlm.types import Reply, Request

_SIGN = {"left": 1.0, "right": -1.0, "farther": 1.0, "nearer": -1.0}
_AXIS = {"left": "y", "right": "y", "farther": "x", "nearer": "x", "far": "x", "near": "x"}
_NUMBER = r"([-+]?\d+(?:\.\d+)?)"
_LENGTH = r"(\d+(?:\.\d+)?) cm"
DONE = "def get_interaction_data(keypoint_coordinates):\n    return None"


@dataclass
class Step:
    """What the plan does with one object: a template with the places {numbers}, and the numbers in it.

    `x`, `y`, `z` are metres on top of what the template computes; one of `place` takes its place altogether. A template
    that sets an object beside another one counts `y` from that one, with the sign `away`.
    """

    name: str
    template: str
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    turn_deg: float = 0.0
    grasp: bool = True
    reference: str = ""  # the object from whose middle x and y are counted
    away: float = 1.0  # where y grows, the gap to the reference grows (1) or shrinks (-1)
    place: dict[str, float] = field(default_factory=dict)
    carried_out: bool = False
    compromised: bool = False  # a number is not what was wanted, but what is accepted
    doubted: bool = False  # it was in the way of another object, and whether it is right was asked

    def program(self) -> str:
        """The program with the numbers as they are."""
        shift = f"np.array([{self.x:.4f}, {self.y:.4f}, {self.z:.4f}])"
        lines = [f"target = target + {shift}"]
        lines += [f"target[{'xyz'.index(axis)}] = {value:.4f}" for axis, value in self.place.items()]
        numbers = "\n    ".join([*lines, f"turn = np.deg2rad({self.turn_deg:.1f})", f"grasp = {self.grasp}"])
        return self.template.replace("{numbers}", numbers)

    def move(self, axis: str, metres: float) -> str:
        """Change one number; what was done, in words."""
        if axis in self.place:
            self.place[axis] += metres
        else:
            setattr(self, axis, getattr(self, axis) + metres)
        return f"{axis} {100 * metres:+.1f} cm"


class SentenceReader:
    """A backend for `run_task`; see the module docstring."""

    def __init__(self, plan: Sequence[Step]) -> None:
        self.plan = list(plan)
        self.current = self.plan[0]
        self.dialogue: list[tuple[str, str]] = []  # what was heard, what was changed
        self.unread: list[str] = []

    def complete(self, request: Request) -> Reply:
        """Read the last thing that was said, change a number, answer with a program."""
        said = "\n\n".join(part.text for part in request.messages[-1].parts)
        if len(request.messages) == 1:
            heard, changed, is_done = self._stage(said)
        elif unmet := re.search(r"Not fulfilled: (.*)\. Answer with", said, re.DOTALL):
            heard = f"Not fulfilled: {unmet[1]}"
            changed, is_done = self._unmet(unmet[1].split("; "))
        else:
            reason = re.search(r"cannot be used: (.*)\. Answer again", said, re.DOTALL)
            heard = reason[1] if reason else said
            changed = self._corrected(heard)
            is_done = changed == DONE
        self.dialogue.append((heard, "done" if is_done else f"{self.current.name}: {changed}"))
        program = DONE if is_done else self.current.program()
        return Reply(f"{changed if not is_done else ''}\n\n```python\n{program}\n```", backend="reader")

    # -- a new stage ---------------------------------------------------------------------------------------------

    def _stage(self, said: str) -> tuple[str, str, bool]:
        """What the last stage came to decides: the same again, the next object of the plan, or done."""
        endings = re.findall(r"^This stage .*$", said, re.MULTILINE)
        if not endings:
            return "(the instruction)", "first answer", False
        last = endings[-1]
        if "succeeded" not in last:
            return last, self._after_a_miss(last), False
        self.current.carried_out = True
        left = [step for step in self.plan if not step.carried_out]
        if self.current.compromised or not left:  # is it what was asked?
            self.current.compromised = False
            return last, "", True
        self.current = left[0]
        return last, "next of the plan", False

    def _after_a_miss(self, last: str) -> str:
        return "again"

    # -- what is not fulfilled -----------------------------------------------------------------------------------

    def _unmet(self, clauses: Sequence[str]) -> tuple[str, bool]:
        """Correct the first object that a clause speaks of; numbers of objects that wait for their turn are kept."""
        changed = ""
        noted = []
        for clause in clauses:
            step = next((s for s in self.plan if re.search(rf"\b{s.name}\b", clause)), None)
            if step is None:
                continue
            if step.carried_out and changed:
                continue
            told = _from_condition(clause, step)
            if told and not changed:
                self.current = step
                changed = told
            elif told:
                noted.append(f"{step.name} {told}")
        if not changed:
            waiting = [s for s in self.plan if not s.carried_out]
            if not waiting:
                self.unread += clauses
                return "", True
            self.current = waiting[0]
            changed = "next of the plan"
        return changed + (f" (for later: {', '.join(noted)})" if noted else ""), False

    # -- refusals and forecasts ----------------------------------------------------------------------------------

    def _corrected(self, reason: str) -> str:
        if self._put_in_the_way(reason):
            return DONE
        rules = (_other_mode, *_RULES) if self.current.carried_out else _RULES  # what is nearly there may be pushed
        for rule in rules:
            if changed := rule(reason, self.current):
                self.current.compromised |= rule is not _other_mode
                return changed
        self.unread.append(reason)
        return "nothing"

    def _put_in_the_way(self, reason: str) -> bool:
        """Is an object in the way that the plan put there? Then it is asked, once, whether that one is right."""
        told = re.search(r" cm inside (\w+)", reason)
        step = next((s for s in self.plan if told and s.name == told[1] and s.carried_out), None)
        if step is None or step.doubted:
            return False
        step.doubted = True
        return True


def _from_condition(clause: str, step: Step) -> str:
    """Move a step by what a condition misses: "is 3 cm left of .., wanted 5 cm right of", "gap .. is 8 cm, wanted"."""
    side = "(left|right|farther|nearer)"
    at = re.search(rf"is {_LENGTH} {side} .*?, wanted (?:more than )?{_LENGTH} {side} ", clause)
    if at:
        now, wanted = (_SIGN[at[i + 1]] * float(at[i]) / 100 for i in (1, 3))
        axis = _AXIS[at[4]]
        if step.carried_out:
            return step.move(axis, wanted - now)
        if step.reference and step.reference in clause:
            return step.move(axis, wanted - getattr(step, axis))
        return ""
    apart = re.search(rf"(?:gap|centres) .* {_LENGTH}(?: apart)?, wanted (?:at most )?(.*)", clause)
    if apart and step.carried_out:
        limits = [float(v) / 100 for v in re.findall(r"\d+(?:\.\d+)?", apart[2])]
        wanted = sum(limits) / 2 if len(limits) > 1 else limits[0] / 2
        return step.move("y", step.away * (wanted - float(apart[1]) / 100))
    return "again" if step.carried_out else ""


def _shifts(text: str) -> Iterator[tuple[float, str]]:
    """Moves such as "1.5 cm towards -y", in metres, the longest first."""
    found = [(sign, axis, float(cm) / 100) for cm, sign, axis in re.findall(rf"{_LENGTH} towards ([+-])([xyz])", text)]
    yield from sorted(((-m if sign == "-" else m, axis) for sign, axis, m in found), key=lambda move: -abs(move[0]))


def _better_target(reason: str, step: Step) -> str:
    """ "with the target 3.0 cm towards +y it succeeds"."""
    told = re.search(r"with the target (.*?) it succeeds", reason)
    return next((step.move(axis, metres) for metres, axis in _shifts(told[1])), "") if told else ""


def _nearest_accepted(reason: str, step: Step) -> str:
    """ "the nearest accepted ... is x .., y .., z .. (1.5 cm towards +y)": the longest of these moves."""
    told = re.search(r"nearest accepted [^(]*\(([^)]*)\)", reason)
    return next((step.move(axis, metres) for metres, axis in _shifts(told[1])), "") if told else ""


def _other_mode(reason: str, step: Step) -> str:
    """ "a grasp (grasp_mode True) to the same target is accepted"."""
    told = re.search(r"\(grasp_mode (True|False)\) to the same target is accepted", reason)
    if not told:
        return ""
    step.grasp = told[1] == "True"
    return "a grasp" if step.grasp else "a push"


def _turn(reason: str, step: Step) -> str:
    """ "turns it 12 degrees to the left about z": the tilt was wrong, not the heading."""
    told = re.search(r"(?:turns it|turned) (\d+) degrees (?:too far )?to the (left|right)", reason)
    if not told:
        return ""
    step.turn_deg += float(told[1]) * _SIGN[told[2]]
    return f"turn {step.turn_deg:+.0f} degrees"


def _better_push(reason: str, step: Step) -> str:
    """ "tips over the right end ...; a push of its centre to x .., y .. succeeds instead": the number of that side."""
    told = re.search(rf"a push of its centre to x {_NUMBER}, y {_NUMBER}", reason)
    if not told:
        return ""
    word = re.search(r"\b(left|right|near|far|farther|nearer)\b", reason)
    better = {"x": float(told[1]), "y": float(told[2])}
    first = _AXIS[word[1]] if word else "y"
    order = (first, "x" if first == "y" else "y")
    axis = next((a for a in order if step.place.get(a) != better[a]), "")
    if not axis:
        return ""
    step.place[axis] = better[axis]
    return f"{axis} to {better[axis]:.2f} m"


def _finger_room(reason: str, step: Step) -> str:
    """ "they need 4.0 cm there, on the -y side, and have 2.5 cm": as much away from that side."""
    told = re.search(rf"need {_LENGTH} there, on the ([+-])([xyz]) side, and have {_LENGTH}", reason)
    if not told:
        return ""
    lacking = (float(told[1]) - float(told[4])) / 100
    return step.move(told[3], lacking if told[2] == "-" else -lacking)


def _fulfilled(reason: str, step: Step) -> str:
    """ "would stay where it is"."""
    return DONE if "return None if the instruction is fulfilled" in reason else ""


_RULES: tuple[Callable[[str, Step], str], ...] = (
    _better_push,
    _better_target,
    _nearest_accepted,
    _other_mode,
    _turn,
    _finger_room,
    _fulfilled,
)
