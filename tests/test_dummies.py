"""What the benchmark gives to who does not look: no constant answer and no random one does for the hard items."""

from __future__ import annotations

import pytest

from iker_agent.commands.bench import bench_dummies
from iker_agent.experiments import dummies, stills
from iker_agent.experiments.dummies import DUMMIES, DummyScore, scores_of, table
from iker_agent.experiments.items import EXPECTS, load_items


@pytest.fixture(autouse=True)
def quick(monkeypatch, blank_view, warm_programs):
    monkeypatch.setattr(stills, "still_view", lambda scene, cameras, size: blank_view(scene))


def some(count: int):
    """So many items of each kind that an item can expect, spread over the tier."""
    for kind in EXPECTS:
        of_kind = [item for item in load_items("hard") if item.expects == kind]
        yield from of_kind[:: max(len(of_kind) // count, 1)][:count]


def test_no_dummy_does_for_hard_and_a_folder_goes_on(tmp_path, monkeypatch):
    items, heard = list(some(4)), []
    scores = list(scores_of(items, tmp_path, lambda name, row: heard.append((name, row))))
    assert [score.name for score in scores] == list(DUMMIES) and len(heard) == len(items) * len(DUMMIES)
    by_name = {score.name: score for score in scores}
    for kind in ("done", "impossible"):
        assert by_name[f"always {kind}"].right == {k: 4 * (k == kind) for k in EXPECTS}
    assert all(score.right["goal"] == 0 and score.skill <= 0.25 for score in scores), table(scores)
    moved = [row for name, row in heard if name == "at random" and row.said == "goal"]
    assert moved, "its programs are legal"
    again = list(scores_of(items, tmp_path, lambda name, row: pytest.fail("it was asked before")))
    assert again == scores


@pytest.mark.parametrize(
    ("right", "skill"),
    [((40, 10, 10), 1.0), ((0, 10, 0), 0.0), ((0, 0, 10), 0.0), ((40, 0, 0), 0.0), ((20, 5, 5), 0.25)],
)
def test_a_constant_answer_has_no_skill(right, skill):
    score = DummyScore("x", dict(zip(EXPECTS, right, strict=True)), dict(zip(EXPECTS, (40, 10, 10), strict=True)))
    assert score.skill == pytest.approx(skill)
    assert f"| {100 * sum(right) / 60:.0f} % | {skill:.2f} |" in table([score])


def test_the_command_writes_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("iker_agent.commands.bench.load_items", lambda tier: tuple(some(1)))
    monkeypatch.setattr(dummies, "DUMMIES", {"always done": DUMMIES["always done"]})
    bench_dummies("hard", tmp_path / "out")
    assert "| always done | 0 of 1 | 1 of 1 | 0 of 1 | 33 % | 0.00 |" in (tmp_path / "out" / "dummies.md").read_text()
    assert "always done" in capsys.readouterr().out
    with pytest.raises(ValueError, match="tier 'precise' has no dummies; known: natural, hard"):
        bench_dummies("precise", None)


@pytest.mark.slow
def test_no_dummy_does_for_all_of_hard(tmp_path):
    for score in scores_of(load_items("hard"), tmp_path):
        assert score.right["goal"] <= 0.1 * score.asked["goal"] and score.skill <= 0.1, table([score])
