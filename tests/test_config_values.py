"""Values on the command line are read as in files and are of their setting's kind; a text is kept as it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iker_agent.config import make_config
from iker_agent.learning.ppo_config import PPOConfig
from iker_agent.learning.training_folder import TrainSettings, read_settings, write_settings


def _value(override: str):
    content = make_config([override]).to_dict()
    for key in override.split("=")[0].split("."):
        content = content[key]
    return content


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("learn.budget_s=1e2", 100.0),
        ("learn.learning_rate=5e-4", 5e-4),
        ("learn.budget_s=010", 10.0),
        ("run.retries=010", 10),
        ("run.retries=0o10", 8),
        ("seed=0x10", 16),
        ("run.video=FALSE", False),
        ("instruction=no", "no"),
        ("instruction=1e3", "1e3"),
        ("instruction=1:30", "1:30"),
        ("instruction=null", "null"),
        ("instruction=", ""),
        ("instruction=Put it: there", "Put it: there"),
        ("instruction='no'", "no"),
        ("instruction=it's his'", "it's his'"),
        ("instruction=pay ${oc.env:HOME} $$ ${x}", "pay ${oc.env:HOME} $$ ${x}"),
        ("task=010", "010"),
    ],
)
def test_a_value_is_read_as_in_a_file(override, value):
    assert _value(override) == value and type(_value(override)) is type(value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("run.video=no", "setting 'run.video' is true or false, not 'no'"),
        ("run.video=off", "is true or false, not 'off'"),
        ("run.video=0", "is true or false, not 0"),
        ("learn.budget_s=1:30", "setting 'learn.budget_s' is a number, not '1:30'"),
        ("learn.budget_s=-0,05", "is a number, not '-0,05'"),
        ("learn.budget_s=true", "is a number, not True"),
        ("learn.budget_s=", "is a number, not None"),
        ("learn.budget_s=-5e-2", "learn.budget_s is at least"),
        ("learn.budget_s=1e999", "the number '1e999' is too large"),
        ("learn.budget_s=.nan", "learn.budget_s is at least"),
        ("learn.num_envs=1_000", "is a whole number, not '1_000'"),
        ("run.retries=2.0", "is a whole number, not 2.0"),
        ("seed=" + "9" * 5000, "has more than 64 bits"),
        ("seed=" + "[" * 500, "nested more than 50 deep"),
        ("seed=!!python/object:x {}", "does not fit here"),
        ("seed=[1", "setting 'seed=[1' cannot be used: its value is not YAML"),
        ("run={retries: 1, retries: 2}", "'retries' stands twice in one mapping"),
        ("run={retries: no}", "setting 'run.retries' is a whole number, not 'no'"),
        ("run=5", "setting 'run' is a group of settings, not 5"),
    ],
    ids=range(19),
)
def test_a_value_of_another_kind_is_told(override, words):
    with pytest.raises(ValueError) as caught:
        make_config([override])
    assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 600


@given(st.text(max_size=20) | st.text("${}\\\\a:.", max_size=8))
def test_a_text_is_kept_letter_by_letter(text):
    assert make_config(instruction=text).instruction == text
    if text[:1] not in ("'", '"'):
        assert make_config([f"instruction={text}"]).instruction == text


@pytest.mark.parametrize("task", ["1e3", "no", "0o7", "~", "010"])
def test_settings_that_are_written_down_are_read_back(tmp_path, monkeypatch, task):
    facts = {"model": task, "task_hash": "1e3", "spec_hash": "010"}
    monkeypatch.setattr("iker_agent.learning.training_folder.stages_of", lambda task: ())
    monkeypatch.setattr("iker_agent.learning.training_folder.stages_facts", lambda stages, observation: facts)
    learn = PPOConfig(budget_s=float("inf"), learning_rate=2e-05)  # no budget is what `iker train` begins with
    settings = TrainSettings(task=task, randomisation={"mass": [1e-1, 0.5]}, learn=learn)
    write_settings(tmp_path, settings)
    assert read_settings(tmp_path) == (settings, facts)
