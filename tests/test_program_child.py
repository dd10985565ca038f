"""The parent believes nothing: children that lie, babble, hang, crash or leave processes behind."""

from __future__ import annotations

import ast
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iker_agent.program import ProgramResult, run_program, runner
from iker_agent.program.serialise import Array, Other, Pairs, Unordered, Unreadable, from_plain, to_plain
from iker_agent.program.signature import Invalid
from iker_agent.program.signatures import CONTRACTS, signature_named

KEYPOINTS = {"1": (0.5, 0.0, 0.1), "2": (0.6, 0.0, 0.1)}
CODE = "def get_interaction_data(kp):\n    return None\n"
GOOD = {"tuple": ["box", {"list": ["1"]}, True, {"dict": [["1", {"list": [0.5, 0.1, 0.1]}]]}]}
POSIX = pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are POSIX")


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Puts a script in the place of the child and runs a program with it."""

    def run(script: str, **limits) -> ProgramResult:
        path = tmp_path / "impostor.py"
        path.write_text("import json, os, signal, subprocess, sys\njob = sys.stdin.buffer.read()\n" + script)
        monkeypatch.setattr(runner, "_CHILD", path)
        return run_program(CODE, KEYPOINTS, **limits)

    return run


def answer(**record) -> str:
    return f"print({json.dumps(json.dumps(record))})\n"


def returned(value) -> str:
    return answer(layers=["rlimit"]) + answer(status="returned", value=value)


def moves(indices, row) -> str:
    """Keypoint 1 goes to `row`, both given as data."""
    return returned({"tuple": ["box", indices, True, {"dict": [["1", row]]}]})


DEEP = '{"status": "returned", "value": ' + '{"list": [' * 300 + "]}" * 300 + "}"


def test_the_honest_answer_is_accepted(child):
    result = child(returned(GOOD))
    assert result.status == "ok" and result.targets == {"1": (0.5, 0.1, 0.1), "2": (0.6, 0.0, 0.1)}
    assert result.layers == ("language", "process", "rlimit")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("", "error"),
        ("print('hello')", "error"),
        ("os.write(1, bytes(range(256)))", "error"),
        ("sys.exit(3)", "error"),
        ("print('[' * 100_000)", "error"),
        ("print('[' * 400_000)", "error"),
        ("print('{\"status\": ' + '9' * 100_000 + '}')", "error"),
        ("print('x' * 2_000_000)", "limit"),
        (returned(GOOD) + "print('x' * 2_000_000)", "limit"),
        (answer(status="ok", targets={"1": [0, 0, 0]}), "error"),
        (answer(status=["refused"]), "error"),
        (answer(status="returned"), "error"),
        (answer(status="done"), "error"),
        (returned([1, 2]), "error"),
        (returned({"pickle": "gASVJAAA"}), "error"),
        (returned({"list": "box"}), "error"),
        (returned({"array": [1], "kind": "f", "shape": [1.5]}), "error"),
        (returned({"dict": [["1"]]}), "error"),
        (f"print({DEEP!r})", "error"),
        (returned({"other": "1"}), "invalid"),
        (moves({"other": "1"}, {"list": [0.5, 0, 0]}), "invalid"),
        (moves({"list": ["9"]}, {"list": [0.5, 0, 0]}), "invalid"),
        (moves({"list": ["1"]}, {"list": [float("nan")] * 3}), "invalid"),
        (returned({"array": ["box", 1, 2, 3], "kind": "O", "shape": [4]}), "invalid"),
        (moves({"list": ["1"]}, {"array": [0.1], "kind": "f", "shape": [3]}), "invalid"),
    ],
)
def test_lies(child, script, status):
    result = child(script)
    assert result.status == status
    assert result.targets == {} and result.message and result.message.isprintable()


def test_text_of_a_child_is_cleaned_and_bounded(child):
    junk = "\x1b[31m\ud800\n" * 10_000
    result = child(
        answer(layers=["x", "seccomp"]) + answer(status="error", message=junk, printed=junk, warnings=[junk] * 99)
    )
    assert result.layers == ("language", "process", "seccomp")
    assert len(result.message) <= 400 and result.message.isprintable()
    assert len(result.printed) <= 4_000 and "\x1b" not in result.printed
    assert len(result.warnings) <= 20 and all(len(w) <= 400 for w in result.warnings)
    json.dumps(result.to_dict()).encode("utf-8")
    assert child(answer(status="error", message={"a": 1}, printed=5, warnings="x")).status == "error"


def test_a_child_that_never_answers_is_killed(child):
    result = child("signal.pause() if hasattr(signal, 'pause') else input()", timeout_s=0.3)
    assert result.status == "limit" and "0.3 s" in result.message


def test_a_child_that_never_reads_is_killed(tmp_path, monkeypatch):
    path = tmp_path / "deaf.py"
    path.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(runner, "_CHILD", path)
    many = {str(i): (0.1234567890123, 0.0, 0.0) for i in range(1000)}
    assert run_program(CODE + "#" * 19_000, many, timeout_s=0.3).status == "limit"


@POSIX
def test_crashes_are_errors(child):
    result = child("os.kill(os.getpid(), signal.SIGSEGV)")
    assert result.status == "error" and "signal 11" in result.message
    result = child("os.kill(os.getpid(), signal.SIGKILL)")
    assert result.status == "limit"


@POSIX
@pytest.mark.parametrize(
    ("output", "ending", "limits"),
    [
        ("subprocess.DEVNULL", "pass", {}),
        ("subprocess.DEVNULL", returned(GOOD), {}),
        ("None", "pass", {"timeout_s": 3.0}),  # it keeps the channel open: no end of the answer is ever seen
    ],
)
def test_what_a_child_started_dies_with_it(child, tmp_path, output, ending, limits):
    note = tmp_path / "grandchild"
    sleeper = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    start = f"subprocess.Popen([sys.executable, '-c', {sleeper!r}], stdout={output})\n"
    wait = f"while not os.path.exists({str(note)!r}) or not os.path.getsize({str(note)!r}): pass\n"
    child(start + wait + ending, **limits)
    assert not _runs(int(note.read_text()))


def _runs(pid: int) -> bool:
    """Whether a process still runs; it may take a moment to go after the signal."""
    for _ in range(200):
        state = Path(f"/proc/{pid}/stat")
        try:
            os.kill(pid, 0)
            if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return False
        except (ProcessLookupError, FileNotFoundError):
            return False
        time.sleep(0.02)
    return True


def test_the_surroundings_of_a_child(child, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("HOME", "/home/somebody")
    report = (
        "dict(env=dict(os.environ), cwd=os.listdir('.'), argv=sys.argv[1:], path=sys.path, site='site' in sys.modules)"
    )
    result = child(f"print(json.dumps(dict(status='error', message='x', printed=json.dumps({report}))))")
    told = json.loads(result.printed)
    assert "sk-secret" not in result.printed and set(told["env"]) & {"OPENAI_API_KEY", "PYTHONPATH", "HOME"} == set()
    assert told["env"]["PYTHONHASHSEED"] == "0"  # or sets of text would differ from run to run
    assert told["cwd"] == [] and told["argv"] == [] and told["site"] is False
    assert "" not in told["path"] and "/nowhere" not in told["path"]


@POSIX
def test_a_child_leads_its_own_session(child):
    result = child("print(json.dumps(dict(status='error', message=f'session {os.getsid(0) == os.getpid()}')))")
    assert result.message == "session True"
    assert signal.getsignal(signal.SIGXCPU) == signal.SIG_DFL


# ------------------------------------------------------------------ data across the border


def test_values_keep_their_meaning():
    import numpy as np

    value = ("box", [1, "2", None, True], {3: np.array([1, 2], dtype="i4"), "a": np.float32(0.5)}, range(2), {"b"})
    data = json.loads(json.dumps(to_plain(value)))
    mapping = Pairs(((3, Array("i", (2,), (1, 2))), ("a", 0.5)))
    assert from_plain(data) == ("box", [1, "2", None, True], mapping, [0, 1], Unordered(("b",)))
    assert from_plain(to_plain(x for x in (1,))) == from_plain(to_plain(filter(None, [0, 1]))) == [1]
    assert from_plain(to_plain(b"bytes")) == Other("bytes")
    assert from_plain(to_plain(1j)) == Other("complex")
    assert from_plain(to_plain(type("S", (str,), {})("x"))) == Other("S")
    assert from_plain(to_plain(type("D", (dict,), {})())) == Other("D")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1", "2", "box"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["list", "tuple", "dict", "other", "array", "kind", "shape"]), inner, max_size=3
        )
        | st.lists(inner, max_size=5).map(lambda items: {"tuple": items})
        | st.lists(st.tuples(inner, inner).map(list), max_size=3).map(lambda items: {"dict": items})
        | st.lists(inner, min_size=3, max_size=3).map(lambda items: {"array": items, "kind": "f", "shape": [3]})
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from(sorted(CONTRACTS)))
def test_any_data_is_read_or_refused(data, name):
    signature = signature_named(name)
    originals = {label: (0.5,) * signature.rows.width for label in ("1", "box")}
    try:
        reading = signature.read(from_plain(data), originals)
    except (Invalid, Unreadable):
        return
    assert reading.done or set(reading.targets) == set(originals)


@given(st.permutations(list(KEYPOINTS)), st.booleans(), st.booleans())
def test_the_order_of_the_dictionary_does_not_matter(order, as_int, moved_first):
    rows = [(int(k) if as_int else k, list(KEYPOINTS[k])) for k in order]
    rows.insert(0 if moved_first else len(rows), (1, [0.7, 0.0, 0.1]))
    value = ("box", ["1"], False, Pairs(tuple(rows)))
    reading = signature_named("keypoints").read(value, KEYPOINTS)
    assert reading.targets == {"1": (0.7, 0.0, 0.1), "2": (0.6, 0.0, 0.1)}


# --------------------------------------------------------------------------- what is loaded


PACKAGE = Path(runner.__file__).parent
CHILD_SIDE = {
    "checks",
    "child",
    "distance",
    "examples",
    "execution",
    "facades",
    "language",
    "library",
    "lockdown",
    "numpy_facade",
    "objects",
    "result",
    "rewriting",
    "rotation",
    "seccomp",
    "serialise",
    "steady",
    "typography",
    "vocabulary",
}


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    froms = {
        n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level and n.module
    }
    return froms | {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_imports(path):
    """Standard library and numpy; what the child loads knows its neighbours by their place, not by name."""
    child_side = path.stem in CHILD_SIDE
    allowed = {"numpy", "sandbox" if child_side else "iker_agent"} | set(sys.stdlib_module_names)
    assert _imports(path) <= allowed
