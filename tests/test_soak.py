"""benchmarks/soak.py can fail: untrue reasons, unnoticed faults, hangs and leaks are found; what is true is not."""

import json
import math
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import soak
import soak_watch
from soak_watch import INJECTIONS, Findings, Fired, Sample, Watchdog, growth

BY_NAME = {injection.name: injection for injection in INJECTIONS}


def judged(reason, injected="", codes=(), phase="act", stalled_s=0.0, came_back=True):
    """What the soak finds wrong with an episode that ended like this 4 s after the injection."""
    cell = soak.Cell.__new__(soak.Cell)
    cell.findings = Findings()
    cell.task = "shoe_push"
    cell.world = None
    cell.config = SimpleNamespace(clock=1.0)
    cell.watchdog = Watchdog.__new__(Watchdog)
    cell.watchdog.stalled_s = stalled_s
    cell.watchdog.late_s = 2 * stalled_s
    cell.fired = [Fired(BY_NAME[injected], phase, 10.0, math.inf)] if injected else []
    cell._lock = threading.Lock()
    cell._num_codes = {}
    cell._dropped_s = 0.0
    cell._act_ended_s = 14.0
    cell._in_the_way = False
    cell._told = ""
    cell._num_codes = soak.Counter()
    cell._give = lambda order: {"errors": {str(code): 1 for code in codes}, "dropped_s": 0.0}
    cell._judge(reason, phase, came_back=came_back)
    json.dumps(vars(cell.findings))  # as --json writes it
    return [problem.split(":")[0] for problem in cell.findings.problems]


@pytest.mark.parametrize(
    ("found", "case"),
    [
        ([], {"reason": "time limit"}),
        ([], {"reason": "collision", "codes": (31,)}),
        ([], {"reason": "link", "injected": "silence"}),
        ([], {"reason": "link", "stalled_s": 1.0}),
        ([], {"reason": "overloaded", "stalled_s": 1.0}),
        (["not true"], {"reason": "overloaded"}),
        ([], {"reason": "time limit", "injected": "object moved"}),
        (["not true"], {"reason": "collision"}),
        (["not true"], {"reason": "link"}),
        (["not true"], {"reason": "servo_speed", "codes": (31,)}),
        (["not true"], {"reason": "foreign", "injected": "silence", "stalled_s": 1.0}),
        (["not true"], {"reason": "unreachable"}),
        (["no reason"], {"reason": "AttributeError: x"}),
        (["unnoticed"], {"reason": "time limit", "injected": "C31", "codes": (31,)}),
        (["unnoticed"], {"reason": "lost", "injected": "gripper held"}),
        (["does not come back"], {"reason": "collision", "codes": (31,), "came_back": False}),
    ],
    ids=str,
)
def test_an_episode_is_held_against_what_was_done_to_it(found, case):
    assert judged(**case) == found


def test_every_injection_can_be_ordered_of_a_laboratory():
    from real_env.lab.orders import Orders

    known = set(Orders(None).table())
    assert {order["do"] for i in INJECTIONS for order in (*i.orders, *i.mend)} <= known


def test_an_operation_that_never_ends_is_found(monkeypatch):
    hung = []
    ended = threading.Event()

    monkeypatch.setattr(soak_watch, "_BOUND_S", (0.2, 0.0))
    monkeypatch.setattr(soak_watch.os, "_exit", lambda status: ended.set())
    monkeypatch.setattr(soak_watch.faulthandler, "dump_traceback", lambda **_: None)
    watchdog = Watchdog(1.0, hung.append)
    with watchdog.bound("reset"):
        assert ended.wait(10)
    watchdog.close()
    assert set(hung) == {"reset hung for 0.2 s"}


def test_what_grows_is_found():
    def use(**grown):
        return Sample(**{"threads": 10, "files": 10, "sockets": 10, "mb": 200.0, **grown})

    steady = [(use(), use())] * 8
    assert growth(steady, [use(), use()])[1] == []
    leaking = [(use(), use())] * 6 + [(use(threads=20), use(mb=900.0))] * 2
    told = growth(leaking, [use(), use(sockets=20)])[1]
    assert [text.split(" grew")[0] for text in told] == [
        "host: threads",
        "laboratory: mb",
        "host, worlds closed: sockets",
    ]
