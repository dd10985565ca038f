"""What programs may say: statements beside the function, imports, the standard library, small classes."""

from __future__ import annotations

import pytest
from program_here import run_here

from iker_agent.program import ProgramResult, run_program

POINTS = {str(i): (0.4 + 0.01 * i, 0.02 * i, 0.1) for i in range(1, 6)}
HEAD = "def get_interaction_data(kp):\n"
TAIL = "    return 's', ['5'], True, kp\n"
MOVE = HEAD + "    kp['5'] += 0.1\n" + TAIL


def lift(result: ProgramResult) -> float:
    """How far keypoint 5 moves up, metres."""
    assert result.status == "ok", result.message
    return result.targets["5"][2] - POINTS["5"][2]


def shown(expression: str, before: str = "") -> str:
    """What an expression prints, inside the function."""
    result = run_here(f"{before}\n{HEAD}    print({expression})\n    kp['5'] += 0.1\n{TAIL}", POINTS)
    assert result.status == "ok", result.message
    return result.printed.rstrip("\n")


# ---------------------------------------------------------- statements beside the function

BESIDE = {
    "append": ("OFFSETS = []\nOFFSETS.append(0.1)\n", "OFFSETS[0]", ""),
    "append after the function": ("OFFSETS = [0.05]\n", "sum(OFFSETS)", "OFFSETS.append(0.05)\n"),
    "update": ("D = {'z': 0.3}\nD.update(z=0.1)\n", "D['z']", ""),
    "sort": ("XS = [0.3, 0.1]\nXS.sort()\n", "XS[0]", ""),
    "setdefault and pop": ("D = {}\nD.setdefault('z', 0.3)\nD.pop('z')\nD['z'] = 0.1\n", "D['z']", ""),
    "a loop": ("D = {}\nfor i in range(3):\n    D[i] = 0.05 * i\n", "D[2]", ""),
    "a loop that appends": ("XS = []\nfor i in range(2):\n    XS.append(0.05)\n", "sum(XS)", ""),
    "a while loop": ("Z = 0.0\nwhile Z < 0.09:\n    Z += 0.05\n", "Z", ""),
    "del": ("XS = [0.3, 0.1]\ndel XS[0]\n", "XS[0]", ""),
    "augmented assignment": ("Z = 0.05\nZ += 0.05\n", "Z", ""),
    "augmented assignment of an item": ("D = {'z': 0.05}\nD['z'] *= 2\n", "D['z']", ""),
    "an if": ("Z = 0.3\nif Z > 0.2:\n    Z = 0.1\n", "Z", ""),
    "try": ("try:\n    Z = 1 / 0\nexcept ZeroDivisionError:\n    Z = 0.1\n", "Z", ""),
    "a helper called for its effect": ("Z = []\ndef fill():\n    Z.append(0.1)\nfill()\n", "Z[0]", ""),
    "an array changed in place": ("Z = np.zeros(3)\nZ.fill(0.1)\n", "Z[2]", ""),
    "a statement in an example": (
        "Z = [0.0]\n",
        "Z[0]",
        "for _ in get_interaction_data({'5': np.zeros(3)})[1]:\n    Z[0] = 0.1\n",
    ),
    "an iterator that printing uses up": ("Z = iter([0.3, 0.1])\nprint(next(Z))\n", "next(Z, 0)", ""),
    "the else of a main guard": ("if __name__ == '__main__':\n    Z = 0.3\nelse:\n    Z = 0.1\n", "Z", ""),
    "a main guard turned round": ("Z = 0.3\nif '__main__' != __name__:\n    Z = 0.1\n", "Z", ""),
}


@pytest.mark.parametrize(("before", "value", "after"), BESIDE.values(), ids=BESIDE)
def test_statements_beside_the_function_are_run(before, value, after):
    code = f"{before}{HEAD}    kp['5'] = kp['5'] + np.array([0, 0, {value}])\n{TAIL}{after}"
    assert lift(run_here(code, POINTS)) == pytest.approx(0.1)


def test_what_an_example_call_changes_is_changed():
    """The program as it is written, called once before: the second call finds what the first one left."""
    code = f"CALLS = []\n{HEAD}    CALLS.append(1)\n    kp['5'][2] += 0.05 * len(CALLS)\n{TAIL}"
    assert lift(run_here(code, POINTS)) == pytest.approx(0.05)
    assert lift(run_here(code + "get_interaction_data({'5': np.zeros(3)})\n", POINTS)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "example",
    [
        "print(get_interaction_data(keypoint_coordinates))\n",
        "result = get_interaction_data({})\nprint(result[0], result[1])\n",
        "f = get_interaction_data\nresults = list(map(f, [{}]))\n",
        "def main():\n    print(get_interaction_data(KEYPOINTS))\nmain()\n",
        "if __name__ == '__main__':\n    import json\n    print(json.dumps(get_interaction_data({})))\n",
        "import json\nprint(json.dumps(get_interaction_data({})))\n",
    ],
)
def test_examples_that_fail_or_cannot_run_are_left_out(example):
    result = run_here(MOVE + example, POINTS)
    assert lift(result) == pytest.approx(0.1)
    assert any(warning.endswith("is ignored") for warning in result.warnings)


@pytest.mark.parametrize(
    "example",
    ["Z.append(json.loads(get_interaction_data({})))\n", "get_interaction_data = json.loads(get_interaction_data)\n"],
)
def test_an_example_outside_the_language_is_refused_if_it_may_matter(example):
    result = run_here(f"Z = [0.05]\n{HEAD}    kp['5'][2] += Z[0]\n{TAIL}import json\n{example}", POINTS)
    assert result.status == "refused" and "json" in result.message


def test_a_function_that_is_wrapped_afterwards_is_the_one_that_runs():
    code = HEAD + "    kp['5'][2] += 0.05\n" + TAIL + "first = get_interaction_data\n"
    code += "def get_interaction_data(kp):\n    first(kp)\n    return first(kp)\n"
    assert lift(run_here(code, POINTS)) == pytest.approx(0.1)


def test_a_function_of_the_same_name_inside_another_may_return_nothing():
    code = f"{HEAD}    def get_interaction_data(x):\n        kp['5'] = kp['5'] + x\n    y = get_interaction_data(0.1)\n"
    assert lift(run_here(f"{code}    assert y is None\n{TAIL}", POINTS)) == pytest.approx(0.1)


# ------------------------------------------------------------------------------- imports


def test_unused_imports_are_left_out_with_a_note():
    imports = "import json, re, os, sys, random, time\nimport matplotlib.pyplot as plt\nfrom pathlib import Path\n"
    result = run_here(imports + MOVE, POINTS)
    assert lift(result) == pytest.approx(0.1)
    assert "line 1: import of random is not used and was left out" in result.warnings
    assert "line 3: import of pathlib is not used and was left out" in result.warnings
    assert run_here("from typing import Iterable, List\nimport itertools\n" + MOVE, POINTS).warnings == ()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import random\n    x = random.random()", "must not change from run to run"),
        ("import time\n    x = time.time()", "programs have no clock"),
        ("import json\n    x = json.dumps(1)", "return Python values"),
        ("import re\n    x = re.sub('a', 'b', 'c')", "text methods"),
        ("import os\n    x = os.sep", "no files"),
        ("import sys\n    x = sys.maxsize", "np.finfo"),
        ("from enum import Enum\n    x = Enum", "constants"),
        ("from operator import attrgetter\n    x = attrgetter('a')", "lambda"),
        ("from scipy.optimize import minimize\n    x = minimize", "closed form"),
        ("from itertools import tee\n    x = tee([1])", "make a list"),
        ("x = np.random.rand()", "must not change"),
        ("x = kp['5'].resize(2)", "np.tile"),
        ("x = np.add.at(kp['5'], 0, 1)", "use a loop"),
        ("x = id(kp)", "from run to run"),
        ("x = hash('a')", "from run to run"),
        ("x = getattr(kp, 'get')", "object.name"),
        ("x = '{0.real}'.format(1)", "f-string"),
        ("x = kp.get('a').format(1)", "f-string"),
        ("with kp: pass", "np.errstate"),
        ("from . import os", "not allowed"),
    ],
)
def test_what_is_refused_names_what_to_write_instead(line, says):
    result = run_here(f"{HEAD}    {line}\n{TAIL}", POINTS)
    assert result.status == "refused" and says in result.message, result.message


def test_an_import_that_decides_what_runs_is_not_left_out():
    code = f"try:\n    import cv2\n    HAS = True\nexcept ImportError:\n    HAS = False\n{MOVE}"
    assert run_here(code, POINTS).status == "refused"
    assert run_here(code.replace("cv2", "json"), POINTS).status == "ok"


# --------------------------------------------------------------- the standard library, pure

PURE = {
    "list(itertools.combinations('abc', 2))[1]": "('a', 'c')",
    "list(itertools.chain.from_iterable([[1], [2]]))": "[1, 2]",
    "[(k, list(g)) for k, g in itertools.groupby([1, 1, 2])]": "[(1, [1, 1]), (2, [2])]",
    "[[k, list(g)] for k, g in itertools.groupby('aAb', key=str.lower)]": "[['a', ['a', 'A']], ['b', ['b']]]",
    "list(itertools.islice(itertools.count(3), 2))": "[3, 4]",
    "list(itertools.accumulate([1, 2, 3]))": "[1, 3, 6]",
    "functools.reduce(lambda a, b: a * b, [2, 3])": "6",
    "functools.partial(max, 3)(4)": "4",
    "functools.partial(sorted, reverse=True)([1, 2])": "[2, 1]",
    "sorted([3, 1], key=functools.cmp_to_key(lambda a, b: a - b))": "[1, 3]",
    "collections.Counter('aab').most_common(1)": "[('a', 2)]",
    "collections.deque([1, 2], maxlen=2)[-1]": "2",
    "collections.OrderedDict(a=1)['a']": "1",
    "statistics.mean([1, 2])": "1.5",
    "statistics.median([1, 3, 2])": "2",
    "round(statistics.stdev([1, 2]), 3)": "0.707",
    "max([[1, 5], [2, 3]], key=operator.itemgetter(1))": "[1, 5]",
    "heapq.nsmallest(2, [3, 1, 2])": "[1, 2]",
    "bisect.bisect([1, 2, 3], 2)": "2",
    "math.comb(5, 2)": "10",
    "scipy.spatial.distance.cdist([[0, 0, 0]], [[3, 4, 0]])": "[[5.]]",
    "scipy.spatial.distance.euclidean([0, 0], [3, 4])": "5.0",
}
MODULES = (
    "import itertools, functools, collections, statistics, operator, heapq, bisect, math, scipy.spatial.distance\n"
)


@pytest.mark.parametrize(("expression", "expected"), PURE.items(), ids=PURE)
def test_pure_parts_of_the_standard_library(expression, expected):
    assert shown(expression, MODULES) == expected


CLASSES = """
from collections import defaultdict, namedtuple
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, wraps
from typing import ClassVar

@dataclass(frozen=True)
class Pose:
    x: float
    y: float = 0.0
    LIMIT: ClassVar[float] = 1.0

@dataclass
class Plan:
    name: str
    data: list = field(default_factory=list)
    def add(self, step):
        self.data.append(step)
        return self

class Box:
    count = 0
    def __init__(self, width):
        self.width, self._half = width, width / 2
        Box.count += 1
    @property
    def half(self):
        return self._half
    @staticmethod
    def unit():
        return 1.0
    @classmethod
    def square(cls):
        return cls(1.0)
    def __repr__(self):
        return f"Box({self.width})"
    def __call__(self, factor):
        return self.width * factor

class TooWide(ValueError):
    pass

Point = namedtuple("Point", "x y z")

@lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def twice(function):
    @wraps(function)
    def wrapper(*args):
        return 2 * function(*args)
    return wrapper

@twice
def one():
    return 1

def numbers():
    yield 1
    yield from [2, 3]

def kind(value):
    match value:
        case 0 | 1:
            return "small"
        case [x, *rest]:
            return f"list of {len(rest) + 1}"
        case {"a": x}:
            return x
        case str(text) if text:
            return text.upper()
        case Pose(x, y):
            return x + y
        case _:
            return None

def caught():
    try:
        raise TooWide("12 cm")
    except TooWide as error:
        return f"{error}"
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Pose(1.0), Pose(1.0) == Pose(1.0), Pose.LIMIT", "Pose(x=1.0, y=0.0) True 1.0"),
        ("replace(Pose(1.0), y=2.0), asdict(Pose(1.0))", "Pose(x=1.0, y=2.0) {'x': 1.0, 'y': 0.0}"),
        ("Plan('p').add(1).add(2).data, Plan('q').data", "[1, 2] []"),
        (
            "Box(2.0), Box(2.0).half, Box.unit(), Box.square(), Box.count, Box(2.0)(3)",
            "Box(2.0) 1.0 1.0 Box(1.0) 3 6.0",
        ),
        ("Point(1, 2, 3).y, Point(1, 2, 3)._replace(x=9), tuple(Point(1, 2, 3))", "2 Point(x=9, y=2, z=3) (1, 2, 3)"),
        ("fib(60), one()", "1548008755920 2"),
        ("list(numbers())", "[1, 2, 3]"),
        ("kind(1), kind([1, 2]), kind({'a': 5}), kind('b'), kind(Pose(1, 2)), kind(7)", "small list of 2 5 B 3 None"),
        ("caught()", "12 cm"),
        ("dict(defaultdict(list, a=[1]))", "{'a': [1]}"),
    ],
)
def test_small_classes_and_syntax(expression, expected):
    assert shown(expression, CLASSES) == expected


def test_a_frozen_object_stays_as_it_is():
    code = f"{CLASSES}\n{HEAD}    p = Pose(1.0)\n    p.x = 2.0\n{TAIL}"
    assert "FrozenInstanceError: cannot assign to field 'x'" in run_here(code, POINTS).message


def test_classes_work_in_a_locked_process():
    code = (
        f"{CLASSES}\n{MODULES}\n{HEAD}    kp['5'] += 0.05 * Box(1.0).half + 0.05 * statistics.mean([1.0, 2.0])\n{TAIL}"
    )
    assert lift(run_program(code, POINTS)) == pytest.approx(0.1)
