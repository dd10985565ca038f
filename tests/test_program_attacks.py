"""Hostile programs: none leaves a trace outside its process, and each ends with the status that its kind deserves.

attacks.json and more_attacks.json hold {name, category, expect, code, note}. In the code {C} stands for a canary
folder and {P} for the port of a loopback listener; a successful attack would touch, read or connect to them.
expect: reject = refused before it runs; limit; invalid; error; contained = any status, as long as nothing happens.
"""

from __future__ import annotations

import pytest
from program_here import run_here
from program_trap import ATTACKS, KEYPOINTS, SECRET, Trap

from iker_agent.plain_text import clean_line
from iker_agent.program import ProgramResult, run_program
from iker_agent.program.checks import Refused
from iker_agent.program.language import admit

STATUS = {"reject": "refused", "limit": "limit", "invalid": "invalid", "error": "error"}

# Where a status differs from the one that `expect` names, and why.
OTHERWISE = {
    # The language layer sees these before they could run or return.
    **dict.fromkeys(["except_all_loop", "yield_function", "complex_target"], "refused"),
    "stopiteration": "error",  # so is a StopIteration
    "assert_false": "error",  # assert is allowed; a failing one is the program's own error
}

# These burn processor time up to the limit; others of their kind stay in the fast set.
BURNERS = [
    "dag_billion_laughs",
    "dag_equality",
    "endless_handler",
    "endless_max",
    "error_dag_argument",
    "for_huge_range",
    "huge_power",
    "list_append_loop",
    "memory_dict",
    "memory_error_caught",
    "pow_10_8",
    "print_flood",
    "sort_quadratic",
    "sum_c_loop",
    "top_level_loop",
    "tuple_hash_dag",
    "cache_endless",
    "endless_accumulate_list",
    "endless_comb",
    "endless_count_list",
    "endless_counter_elements",
    "endless_cycle_max",
    "endless_factorial",
    "endless_fromiter_count",
    "endless_merge_count",
    "endless_permutations_list",
    "endless_product_list",
    "endless_repeat_deque",
    "example_endless",
    "memory_cdist",
    "own_repr_endless",
    "reduce_product",
]


def expected(attack: dict) -> str:
    """The status that an attack must end with; "contained" for any."""
    return OTHERWISE.get(attack["name"], STATUS.get(attack["expect"], "contained"))


def _parameter(attack: dict):
    marks = [pytest.mark.slow] if attack["name"] in BURNERS else []
    return pytest.param(attack, id=attack["name"], marks=marks)


@pytest.fixture(scope="module")
def trap(tmp_path_factory):
    trap = Trap(tmp_path_factory.mktemp("canary"))
    yield trap
    trap.close()


@pytest.fixture(autouse=True)
def secret_in_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("PYTHONSTARTUP", SECRET)


def attack_and_check(code: str, trap: Trap) -> ProgramResult:
    result = run_program(trap.arm(code), KEYPOINTS, cpu_s=1, timeout_s=60)
    trap.assert_untouched(result)
    if result.status not in ("ok", "done"):
        assert result.targets == {} and len(result.message) > 10 and result.message.isprintable()
    return result


# What is refused never runs, and what ends by itself is stopped by the language alone: it is decided in this process,
# and some of each kind go through a process of their own as well. What may not end always does.
REJECTED = [attack for attack in ATTACKS if expected(attack) == "refused"]
ENDING = [attack for attack in ATTACKS if expected(attack) in ("invalid", "error")]
ISOLATED = [attack for attack in ATTACKS if attack not in REJECTED and attack not in ENDING]
ISOLATED += REJECTED[:: len(REJECTED) // 12] + ENDING[:: len(ENDING) // 12]


@pytest.mark.parametrize("attack", [_parameter(attack) for attack in ISOLATED])
def test_attack(attack, trap):
    result = attack_and_check(attack["code"], trap)
    if attack["expect"] != "contained":
        assert result.status == expected(attack), result


@pytest.mark.parametrize("attack", REJECTED, ids=[attack["name"] for attack in REJECTED])
def test_a_rejected_attack_is_told_why(attack):
    with pytest.raises(Refused) as refused:
        admit(attack["code"], "get_interaction_data")
    assert len(str(refused.value)) > 10 and clean_line(str(refused.value))


@pytest.mark.parametrize("attack", ENDING, ids=[attack["name"] for attack in ENDING])
def test_an_attack_that_ends_by_itself(attack, trap):
    result = run_here(trap.arm(attack["code"]), KEYPOINTS)
    trap.assert_untouched(result)
    assert result.status == expected(attack), result
    assert result.targets == {} and len(result.message) > 10 and result.message.isprintable()


def test_the_trap_would_notice(trap):
    """The canaries work: the same deeds, done by this process, are seen."""
    (trap.folder / "touched").touch()
    with pytest.raises(AssertionError):
        trap.assert_untouched(ProgramResult("ok"))
    (trap.folder / "touched").unlink()
    with pytest.raises(AssertionError):
        trap.assert_untouched(ProgramResult("ok", object=SECRET))


DEFINITION = "def get_interaction_data(kp):\n    return"
TOO_DEEP = {
    "parentheses": DEFINITION + " " + "(" * 3000 + ")" * 3000,
    "minus": DEFINITION + " " + "-" * 15_000 + "1",
    "not": DEFINITION + " " + "not " * 4_000 + "1",
    "attributes": DEFINITION + " kp" + ".T" * 9_000,
    "subscripts": DEFINITION + " kp" + "[0]" * 6_000,
    "calls": DEFINITION + " kp" + "()" * 9_000,
    "sum": DEFINITION + " 1" + "+1" * 9_000,
    "power": DEFINITION + " 1" + "**1" * 6_000,
    "lists": DEFINITION + " " + "[" * 150 + "]" * 150,
    "lambdas": DEFINITION + " " + "lambda:" * 2_800 + "1",
    "conditions": DEFINITION + " 1" + " if 1 else 1" * 1_500,
    "assignments": DEFINITION + "\n" + "a=" * 9_900 + "1\n",
    "comparisons": DEFINITION + " 1" + "<1" * 9_000,
    "elif": DEFINITION + "\n    if 1:\n        pass\n" + "    elif 1:\n        pass\n" * 800,
    "indentation": DEFINITION + "\n" + "".join(" " * i + "if 1:\n" for i in range(1, 150)),
    "functions": "".join(" " * i + "def f():\n" for i in range(120)) + " " * 120 + "pass\n" + DEFINITION,
    "f-string": DEFINITION + " " + "f'{" * 150 + "1" + "}'" * 150,
    "open f-strings": DEFINITION + " " + "f'{" * 6_000,
    "f-strings in f-strings": DEFINITION + " " + "f\"{f'{" * 2_500,
    "statements": DEFINITION + "\n" + "    0;0;0;0\n" * 1_500,
    "characters": DEFINITION + "\n" + "#" * 20_000,
    "digits": DEFINITION + " " + "9" * 19_000,
    "open brackets": DEFINITION + " " + "{[(" * 3_000,
    "backslashes": DEFINITION + " " + "\\\n" * 9_000,
    "null": DEFINITION + " '\x00'",
    "surrogate": DEFINITION + " '\ud800'",
}


@pytest.mark.parametrize("code", TOO_DEEP.values(), ids=TOO_DEEP.keys())
def test_absurd_syntax_is_refused(code, trap):
    assert attack_and_check(code, trap).status == "refused"


def test_attacks_on_poses(trap):
    head = "def get_final_poses(object_poses):\n"
    for line in ("    open('{C}/x', 'w')\n", "    np.save('{C}/x', 1)\n", "    ().__class__\n"):
        result = run_program(trap.arm(head + line), {"shoe": [0.0] * 6}, "poses")
        trap.assert_untouched(result)
        assert result.status == "refused"
