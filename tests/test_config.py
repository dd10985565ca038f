"""Settings: defaults, then a preset, then the command line; whatever is wrong is said in one sentence."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from iker_agent.config import BACKENDS, CONTRACTS, LEARNERS, WORLDS, RunConfig, make_config, presets
from iker_envs.perception import SOURCES

DEFAULTS = RunConfig()


def test_without_anything_the_defaults_hold():
    assert make_config() == DEFAULTS
    assert (DEFAULTS.task, DEFAULTS.learner, DEFAULTS.vlm, DEFAULTS.seed) == ("shoe_rack", "ppo", "annotated", 0)
    assert (DEFAULTS.run.retries, DEFAULTS.run.repairs, DEFAULTS.goal.project) == (2, 4, True)
    assert (DEFAULTS.perception.position_m, DEFAULTS.perception.rotation_deg) == (0.005, 2.0)


def test_the_paper_preset_switches_off_what_is_not_the_papers():
    paper = make_config(preset="paper")
    assert (paper.run.retries, paper.run.repairs, paper.run.outcomes_in_history) == (0, 0, False)
    assert paper.goal.project is False
    assert paper.learn == DEFAULTS.learn and paper.task == DEFAULTS.task

    assert (paper.prompt.limits, paper.prompt.refusals, paper.prompt.coordinates) == (False, False, False)
    assert (paper.prompt.views, paper.prompt.size) == ("query", "640x480")


@pytest.mark.parametrize("given", [("prompt=poses", "run.contract=poses"), ("prompt.name=poses", "run.contract=poses")])
def test_a_prompt_is_named_by_itself_or_in_its_group(given):
    assert make_config(given).prompt.name == "poses"
    assert make_config(("run.contract=poses",), prompt="poses").prompt.name == "poses", "as records of old runs say it"


@pytest.mark.parametrize("override", ["prompt.views=top", "prompt.size=4000x3000"])
def test_views_and_sizes_are_told(override):
    with pytest.raises(ValueError, match=f"{override.split('=')[0]} '.*' is unknown; known: "):
        make_config((override,))


def test_every_preset_is_valid_and_changes_something():
    assert "paper" in presets()
    for name in presets():
        assert make_config(preset=name) != DEFAULTS


def test_the_command_line_beats_the_preset_and_keywords_beat_both():
    config = make_config(["run.retries=1", "learn.budget_s=120", "seed=5"], preset="paper", seed=7, task=None)
    assert (config.run.retries, config.run.repairs) == (1, 0)
    assert config.learn.budget_s == 120.0 and type(config.learn.budget_s) is float
    assert (config.seed, config.task) == (7, "shoe_rack")


def test_the_last_of_two_overrides_holds():
    assert make_config(["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("task=shoe_push", "task", "shoe_push"),
        ("instruction=Put it there, please", "instruction", "Put it there, please"),
        ("run.video=false", "run.video", False),
        ("learn.learning_rate=1e-3", "learn.learning_rate", 1e-3),
        ("perception.position_m=0", "perception.position_m", 0.0),
        ("instruction=a=b", "instruction", "a=b"),
    ],
)
def test_an_override_sets_one_value(override, path, value):
    changed = make_config([override]).to_dict()
    default = DEFAULTS.to_dict()
    *way, last = path.split(".")
    for key in way:
        changed = changed[key]
        default = default[key]
    assert changed.pop(last) == value and default.pop(last) != value
    assert changed == default


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sed=1", "'sed' is unknown; did you mean 'seed'"),
        ("learn.bugdet_s=3", r"'learn\.bugdet_s' is unknown; did you mean 'learn\.budget_s'"),
        ("run.retrys=3", r"did you mean 'run\.retries'"),
        ("lern.budget_s=3", "'lern' is unknown; did you mean 'learn'"),
        ("zzz=3", "'zzz' is unknown; known: task, instruction"),
        ("run.zzz.deeper=3", r"'run\.zzz' is unknown"),
        ("learn.budget_s", r"key=value, such as learn\.budget_s=120, not 'learn\.budget_s'"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(override, words):
    with pytest.raises(ValueError, match=words) as caught:
        make_config([override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("run.retries=often", "retries", "often"),
        ("seed=1.5", "seed", r"1\.5"),
        ("seed=null", "seed", "None|null"),
        ("learn.budget_s=long", "budget_s", "long"),
        ("run.video=maybe", "video", "maybe"),
        ("learn=5", "learn", "5"),
        ("seed.x=3", "seed", "x|3"),
    ],
)
def test_a_wrong_type_is_one_sentence_with_key_and_value(override, key, value):
    with pytest.raises(ValueError, match=value) as caught:
        make_config([override])
    assert "\n" not in str(caught.value) and key in str(caught.value)


@pytest.mark.parametrize(
    ("override", "known"),
    [
        ("learner=sac", LEARNERS),
        ("vlm=oracle", BACKENDS),
        ("world=mars", WORLDS),
        ("run.contract=joints", CONTRACTS),
        ("perception.source=guess", SOURCES),
    ],
    ids=["learner", "vlm", "world", "contract", "perception"],
)
def test_an_unknown_name_is_told_with_the_known_ones(override, known):
    with pytest.raises(ValueError, match=f"'{override.split('=')[1]}' is unknown; known: {', '.join(known)}"):
        make_config([override])


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ValueError, match=r"preset 'papper' does not exist; known: .*paper"):
        make_config(preset="papper")


def test_a_setting_can_neither_be_changed_nor_lost():
    with pytest.raises(FrozenInstanceError):
        DEFAULTS.run.retries = 5
    config = make_config(["learn.budget_s=1", "goal.project=false"])
    again = json.loads(json.dumps(config.to_dict()))
    overrides = [f"{a}.{b}={v}" for a in ("run", "goal", "perception", "learn") for b, v in again[a].items()]
    top = {k: v for k, v in again.items() if not isinstance(v, dict)}
    assert make_config(overrides, **top) == config


def test_other_defaults_may_lie_below_everything_else():
    base = RunConfig(learn=replace(DEFAULTS.learn, budget_s=float("inf"), num_envs=512))
    config = make_config(["learn.num_envs=8"], defaults=base)
    assert (config.learn.budget_s, config.learn.num_envs) == (float("inf"), 8)


@pytest.mark.parametrize("name", ["position_m", "rotation_deg"])
def test_noise_without_end_is_refused(name):
    with pytest.raises(ValueError, match="are finite, not inf"):
        make_config([f"perception.{name}=.inf"])
