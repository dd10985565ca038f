"""The report of a run: right facts in the right order, whole or broken folders, nothing unescaped, nothing external."""

import base64
import dataclasses
import json
import re
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from iker_agent.asking.prompts import REPAIR
from iker_agent.learning.curve import draw_curve
from iker_agent.learning.progress import TrainingRow, write_metrics
from iker_agent.records.report import write_report

PROGRAM = 'import numpy as np\n\ndef get_interaction_data(kp):\n    # the box\n    return "box", ["1"], False, kp\n'
_HALVES = {f.name: 0.5 for f in dataclasses.fields(TrainingRow)}
_KNOWN = {"steps": 8192, "seconds": 12.0, "goal_error_m": 0.0421, "rewards": {"distance": 0.5}}
ROW = TrainingRow(**_HALVES | _KNOWN)
STAGE_FILES = (
    "marked.png",
    "poses.json",
    "prompt.md",
    "reply.md",
    "program.py",
    "goal.json",
    "metrics.csv",
    "curve.png",
    "outcome.json",
    "rollout.mp4",
)


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _png(path: Path, shade: int) -> None:
    Image.new("RGB", (8, 6), (shade, shade, shade)).save(path)


def _record(number: int, name: str = "box", *, strict: bool = True, problem: str = "", **more: object) -> dict:
    facts = {"folder": f"stage_{number:02d}", "action": f"push {name}", "object": name, "grasp": False, "attempt": 1}
    facts |= {"answers": 1, "env_steps": 8192, "seconds": 21.4, "learning_seconds": 12.0, "success_strict": strict}
    return facts | {"goal_error_m": 0.0123 if strict else 0.0987, "problem": problem} | more


def _run(folder: Path, stages: list[dict], **more: object) -> None:
    facts = {"instruction": "Put the box away", "task": "some_task", "id": "IKER-Some-v0", "success": True}
    facts |= {
        "done": True,
        "reason": "",
        "seconds": 83.2,
        "seeds": {"world": 7},
        "stages": stages,
        "spec_hash": "abc123",
    }
    facts |= {"versions": {"python": "3.11.7", "iker": "0.1.0"}, "config": {"learner": "ppo", "run": {"retries": 2}}}
    _json(folder / "run.json", facts | more)
    objects = {"box": {"position_m": [0.6, -0.2, 0.155], "quaternion_wxyz": [1, 0, 0, 0]}}
    _json(folder / "outcome.json", {"success": True, "rack_top_m": 0.1, "objects": objects})


def _stage(folder: Path, number: int, name: str = "box", *, strict: bool = True, rows: int = 3) -> Path:
    """A stage folder with all files, as the loop leaves it."""
    stage = folder / f"stage_{number:02d}"
    stage.mkdir()
    _png(stage / "marked.png", 10 * number)
    _png(stage / "curve.png", 10 * number + 1)
    (stage / "rollout.mp4").write_bytes(b"not really a video %d" % number)
    _json(stage / "poses.json", {name: {"pose": [0.6, 0.0, 0.155, 1, 0, 0, 0], "confidence": 1.0}})
    targets = {"1": [0.7, 0.2, 0.155], "2": [0.5, 0.2, 0.155]}
    _json(
        stage / "goal.json",
        {"object": name, "target_pose": [0.65, 0.2, 0.155, 1, 0, 0, 0], "grasp": False, "raw_targets_m": targets},
    )
    (stage / "prompt.md").write_text("<!-- user -->\n\nThe rules\n", encoding="utf-8")
    (stage / "reply.md").write_text(f"The reply\n```python\n{PROGRAM}```\n", encoding="utf-8")
    (stage / "program.py").write_text(PROGRAM, encoding="utf-8")
    write_metrics(stage / "metrics.csv", [dataclasses.replace(ROW, steps=100 * (k + 1)) for k in range(rows)])
    outcome = {"success": strict, "success_strict": strict, "goal_error_m": 0.0123 if strict else 0.0987}
    outcome |= {"tilt_rad": 0.0, "heading_rad": 0.1, "others_moved_m": 0.001, "annotated_error_m": None}
    _json(stage / "outcome.json", outcome | {"reason": "" if strict else "the keypoints are 9.9 cm off"})
    return stage


def _look(folder: Path, number: int) -> Path:
    """The folder of the look that said done."""
    stage = _stage(folder, number)
    for name in ("metrics.csv", "curve.png", "outcome.json", "rollout.mp4"):
        (stage / name).unlink()
    _json(stage / "goal.json", {"done": True})
    return stage


def _page(folder: Path) -> str:
    path = write_report(folder)
    assert path == folder / "report.html"
    page = path.read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    _assert_self_contained(page)
    return page


def _assert_self_contained(page: str) -> None:
    links = re.findall(r'(?:src|href|poster|action|data|srcset)\s*=\s*"([^"]*)"', page)
    assert all(link.startswith(("data:", "#")) for link in links), links
    assert "<script" not in page and "<link" not in page and "@import" not in page and "url(" not in page
    assert "default-src 'none'" in page


def _words(page: str) -> str:
    """What a reader sees, without tags, style and white space."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def _uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A run of two stages, the second missed at first, that ended well."""
    _run(tmp_path, [_record(1), _record(2, strict=False, problem="missed"), _record(3, attempt=2)])
    for number in (1, 2, 3):
        _stage(tmp_path, number, strict=number != 2)
    _look(tmp_path, 4)
    return tmp_path


def test_a_run_that_succeeded_is_told_from_verdict_to_configuration(done: Path) -> None:
    page = _page(done)
    words = _words(page)
    assert "Put the box away" in words and "Not done" not in words
    assert '<div class="verdict good"><strong>Done</strong>' in page
    assert "1 min 23 s" in words and "24,576" in words  # seconds, and steps of three stages
    order = [words.index(f"Stage {number}: ") for number in (1, 2, 3, 4)]
    assert order == sorted(order)
    assert words.index("Versions") > order[-1] and words.index("Configuration") > order[-1]
    assert "run.retries 2" in words and "python 3.11.7" in words and "Seed 7" in words
    assert "Not everything could be read" not in words and "Not in the folder of this stage" not in words


def test_the_table_has_one_line_per_stage(done: Path) -> None:
    table = _page(done).split('class="stages"')[1].split("</table>")[0]
    lines = [_words(line).split() for line in table.split("<tr>")[2:]]
    assert lines[0] == ["1", "push", "box", "1", "8,192", "21", "1.2", "cm", "yes"]
    assert lines[1] == ["2", "push", "box", "1", "8,192", "21", "9.9", "cm", "no"]
    assert lines[2][:4] == ["3", "push", "box", "2"]
    assert lines[3][-2:] == ["said", "done"]


def test_a_stage_shows_pictures_video_goal_program_learning_and_outcome(done: Path) -> None:
    page = _page(done)
    for number in (1, 2, 3):
        stage = done / f"stage_{number:02d}"
        for name, kind in (("marked.png", "image/png"), ("curve.png", "image/png"), ("rollout.mp4", "video/mp4")):
            assert page.count(_uri(stage / name, kind)) == 1
    assert re.search(r"<video [^>]*controls loop muted autoplay playsinline", page)
    words = _words(page).replace("\u00a0", " ")
    assert "Push box so that it ends with its centre at x 65.0, y 20.0, z 15.5 cm." in words
    assert "it moves 5 cm forward, 20 cm left." in words and "keypoints 1, 2." in words
    assert '<span class="keyword">def</span>' in page and '<span class="comment"># the box</span>' in page
    assert "Keypoint error, exploring 4.2 cm" in words and "best evaluation 50 %" in words
    assert "ended 1.2 cm from their targets" in words and "The keypoints are 9.9 cm off." in words
    assert "<summary>Prompt</summary>" in page and "<summary>Reply</summary>" in page


def test_a_learner_that_does_not_train_has_no_curve(tmp_path: Path) -> None:
    _run(tmp_path, [_record(1, env_steps=0)], config={"learner": "waypoint"})
    stage = _stage(tmp_path, 1, rows=0)
    page = _page(tmp_path)
    assert _uri(stage / "curve.png", "image/png") not in page
    assert "the learner is waypoint" in _words(page)
    (stage / "metrics.csv").write_bytes(b"")
    assert _uri(stage / "curve.png", "image/png") not in _page(tmp_path)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"success": False, "done": False, "reason": "not done after 8 stages"}, "Not done Not done after 8 stages."),
        (
            {"success": False, "done": True, "unmet": ["box is not on rack"]},
            "Not done The program said done, but it is not. Not fulfilled: box is not on rack.",
        ),
        ({"success": None, "done": True}, "Said done The program says done; nothing says what success is"),
        ({"success": None, "done": False}, "Not done No reason was recorded."),
        ({"success": False, "done": False, "reason": "interrupted"}, "Interrupted The run was stopped"),
        ({"success": False, "done": False}, "Not done No reason was recorded."),
    ],
)
def test_the_verdict_says_why(tmp_path: Path, facts: dict, verdict: str) -> None:
    _run(tmp_path, [], **facts)
    words = _words(_page(tmp_path))
    assert verdict in words
    assert "The folder holds no stages." in words


def test_refusals_and_the_problem_of_a_stage_that_was_not_carried_out(tmp_path: Path) -> None:
    problem = "no usable program after 3 answers: box is too wide"
    refusals = ["box would tip over", "2 < 3 keypoints are listed"]
    undone = {"action": "", "object": "", "goal_error_m": None, "success_strict": False}
    _run(tmp_path, [_record(1, problem=problem, refusals=refusals, **undone)])
    (_look(tmp_path, 1) / "goal.json").unlink()
    page = _page(tmp_path)
    words = _words(page)
    assert "Not carried out No usable program after 3 answers: box is too wide." in words
    assert "<li>box would tip over</li>" in page and "<li>2 &lt; 3 keypoints are listed</li>" in page
    assert "No goal was accepted." in words and "The outcome" not in words


@pytest.mark.parametrize(
    "forecast, told", [({"sentence": "in simulation 8 of 8 < 9 copies succeed"}, 1), (None, 0), (3, 0)]
)
def test_what_was_tried_beforehand_is_told(tmp_path: Path, forecast: object, told: int) -> None:
    _run(tmp_path, [_record(1, forecast=forecast)])
    _stage(tmp_path, 1)
    assert _page(tmp_path).count("Tried beforehand: in simulation 8 of 8 &lt; 9 copies succeed.") == told


def test_an_interrupted_stage_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    """run.json is older than the folder: the second stage is not in it and was stopped before it acted."""
    _run(tmp_path, [_record(1)], success=False, done=False, reason="interrupted")
    _stage(tmp_path, 1)
    stage = _stage(tmp_path, 2, "shoe")
    for name in ("metrics.csv", "curve.png", "outcome.json", "rollout.mp4"):
        (stage / name).unlink()
    words = _words(_page(tmp_path))
    assert "Stage 2: push shoe Unfinished There is no outcome of this stage." in words
    assert "Not in the folder of this stage: metrics.csv, curve.png, outcome.json, rollout.mp4." in words


@pytest.mark.parametrize("name", STAGE_FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "folder"])
def test_any_stage_file_may_be_damaged(tmp_path: Path, name: str, damage: str) -> None:
    _run(tmp_path, [_record(1)])
    path = _stage(tmp_path, 1) / name
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b'{"a": [1, \xff\x00<b>')
    page = _page(tmp_path)
    words = _words(page)
    assert "Stage 1: push box" in words and "<b>" not in page
    if damage in ("missing", "folder") and name != "poses.json":
        assert f"Not in the folder of this stage: {name}." in words
    if damage in ("empty", "garbage") and name.endswith(".json"):
        assert f"stage_01/{name} is not valid JSON" in words


@pytest.mark.parametrize("value", [None, 3, "text", [], [1], {"x": []}, float("nan"), 10**400, True])
def test_facts_of_another_kind_are_left_out(tmp_path: Path, value: object) -> None:
    _run(tmp_path, [_record(1)])
    (_stage(tmp_path, 1) / "rollout.mp4").unlink()
    run = json.loads((tmp_path / "run.json").read_text())
    for key in run:
        _json(tmp_path / "run.json", run | {key: value})
        _page(tmp_path)
    for key in run["stages"][0]:
        _json(tmp_path / "run.json", run | {"stages": [run["stages"][0] | {key: value}]})
        _page(tmp_path)
    _json(tmp_path / "run.json", run)
    for name in ("outcome.json", "stage_01/goal.json", "stage_01/outcome.json", "stage_01/poses.json"):
        content = json.loads((tmp_path / name).read_text())
        for damaged in [value, *(content | {key: value} for key in content)]:
            _json(tmp_path / name, damaged)
            _page(tmp_path)
        _json(tmp_path / name, content)


def test_a_broken_run_record_still_gives_the_stages(done: Path) -> None:
    (done / "run.json").write_text('{"instruction": "Put')
    (done / "outcome.json").unlink()
    words = _words(_page(done))
    assert "Unknown run.json cannot be read." in words
    assert "run.json is not valid JSON" in words and "outcome.json is missing" in words
    assert "Stage 3: push box Success" in words


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"is not a run folder: it has no run\.json$"):
            write_report(folder)
    assert not (tmp_path / "nowhere").exists()


def test_text_is_escaped_everywhere(tmp_path: Path) -> None:
    evil = "</pre><script>alert('1')</script>\"><img src=http://x.example/a.png> Schuh-Größe 靴"
    _run(
        tmp_path,
        [_record(1, evil, problem=evil, strict=False)],
        instruction=evil,
        success=False,
        done=False,
        reason=evil,
        task=evil,
        seed=evil,
        versions={evil: evil},
        config={evil: {evil: evil}, "learner": evil},
    )
    _json(tmp_path / "outcome.json", {f"{evil}_top_m": 0.1, "objects": {evil: {"position_m": [0.1, 0.2, 0.3]}}})
    stage = _stage(tmp_path, 1, evil, strict=False)
    for name in ("prompt.md", "reply.md", "program.py"):
        text = f'# {evil}\nx = \'{evil}\'\n"""{evil}\n' + REPAIR.format(reason=evil)
        (stage / name).write_text(text, encoding="utf-8")
    page = _page(tmp_path)
    assert "<img src=http" not in page and "alert('1')" not in page
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;" in page and "Schuh-Größe 靴" in page


def test_lone_surrogates_do_not_stop_the_report(tmp_path: Path) -> None:
    _run(tmp_path, [], instruction="a \ud800 b")
    assert "a ? b" in _page(tmp_path)


def test_stages_are_ordered_by_number_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    _run(tmp_path, [_record(100), _record(9), _record(1, folder="../stage_05")])
    for number in (100, 9):
        _stage(tmp_path, number)
    (tmp_path / "stage_old").mkdir()
    words = _words(_page(tmp_path))
    assert words.index("Stage 9: ") < words.index("Stage 100: ")
    assert "stage_old" not in words and "Stage 5" not in words


def test_a_ready_policy_is_told_and_draws_no_curve(tmp_path: Path) -> None:
    _run(tmp_path, [_record(1)])
    stage = _stage(tmp_path, 1)
    write_metrics(stage / "metrics.csv", [dataclasses.replace(ROW, steps=0, eval_strict=0.96)])
    page = _page(tmp_path)
    assert "a policy that was there before reached 96 %" in " ".join(_words(page).split())
    assert "Learning</h3>" not in page


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    _run(tmp_path, [_record(1)])
    stage = _stage(tmp_path, 1)
    noise = np.random.default_rng(0).integers(0, 255, (900, 1600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stage / "marked.png")
    page = _page(tmp_path)
    assert (stage / "marked.png").stat().st_size > 2_000_000 > len(page)
    assert "data:image/jpeg;base64," in page


def test_a_video_brings_its_first_frame_as_poster(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _run(tmp_path, [_record(1)])
    stage = _stage(tmp_path, 1)
    imageio.mimwrite(stage / "rollout.mp4", [np.full((32, 48, 3), 120, np.uint8)] * 4, fps=4, macro_block_size=2)
    assert 'poster="data:image/jpeg;base64,' in _page(tmp_path)
    (stage / "rollout.mp4").write_bytes(b"no video")
    page = _page(tmp_path)
    assert "<video" in page and "poster=" not in page and "shown without its first picture" in caplog.text


def test_the_program_is_shown_letter_by_letter(tmp_path: Path) -> None:
    """Colours add tags and change nothing, also for what is not Python."""
    _run(tmp_path, [_record(1)])
    stage = _stage(tmp_path, 1)
    code = 'def f(x_1, é):\n    return 1e-3 + 0x1F, "\\"q", \'open\n    is_in = not x  # done\n'
    code += "$ {{ 1 }} {% x %} &amp; '''never closed\n<"
    (stage / "program.py").write_text(code, encoding="utf-8")
    shown = re.search(r"<pre><code>(.*?)</code></pre>", _page(tmp_path), re.DOTALL)[1]
    plain = re.sub(r"</?span[^>]*>", "", shown)
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&#34;", '"'), ("&amp;", "&")):
        plain = plain.replace(entity, letter)
    assert plain == code


@pytest.mark.parametrize("count", [0, 1, 40])
def test_the_learning_curve_is_a_picture(tmp_path: Path, count: int) -> None:
    nan = float("nan")
    rows = [
        dataclasses.replace(ROW, steps=512 * k, eval_strict=0.5 if k % 7 == 6 else nan, goal_error_m=0.1 if k else nan)
        for k in range(count)
    ]
    draw_curve(tmp_path / "curve.png", rows)
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG" and 600 <= image.width <= 1600 and 300 <= image.height <= 1200
        assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn
