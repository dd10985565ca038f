"""One reader for all YAML and JSON files: limits before anything is built, and the values of YAML 1.2."""

import json
import math
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from iker_envs.documents import FILE_LIMITS, Limits, read_document, read_value, yaml_text

# Nine lists of nine aliases of the list before: 9 ** 9 values from 500 characters.
LAUGHS = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}], k{i}: 1}}\n" for i in range(1, 9)
)
TALL = "a0: &a0 " + "[" * 30 + "]" * 30 + "\na1: " + "[" * 30 + "*a0" + "]" * 30 + "\n"


def _read(tmp_path: Path, content: str | bytes, name: str = "file.yaml") -> object:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_document(path)


def _refusal(tmp_path: Path, content: str | bytes, name: str = "file.yaml") -> str:
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, content, name)
    sentence = str(caught.value)
    assert name in sentence and "\n" not in sentence and len(sentence) < 800
    return sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "line 5: more than 20000 keys and values"),
        (MERGES, "line 5: more than 20000 keys and values"),
        ("- &a " + "[1]\n" + "- *a\n" * 201, "line 202: more than 200 aliases"),
        ("a: &a [1, *a]", "line 1: the alias 'a' stands within what it refers to"),
        ("a: &a {b: {c: *a}}", "line 1: the alias 'a' stands within what it refers to"),
        ("a: &a {<<: *a}", "line 1: the alias 'a' stands within what it refers to"),
        (TALL, "line 2: lists and mappings nested more than 50 deep"),
        ("[" * 500 + "]" * 500, "line 1: lists and mappings nested more than 50 deep"),
        ("{a: " * 500 + "1" + "}" * 500, "nested more than 50 deep"),
        ("".join("  " * i + "a:\n" for i in range(400)), "line 51: lists and mappings nested more than 50 deep"),
        ("".join(f"k{i}: 1\n" for i in range(80_000)), "line 10000: more than 20000 keys and values"),
        ("- - - - x\n" * 50_000, "more than 20000 keys and values"),
        ("a: " + "x" * 30_000_000, "is larger than 1 MB, the limit for such a file"),
        ("#" * 1_000_001, "is larger than 1 MB"),
    ],
    ids=range(14),
)
def test_a_file_that_would_grow_is_told_by_its_line(tmp_path, text, words):
    assert words in _refusal(tmp_path, text)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path):
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 1 << 36)  # 64 GB of nothing: reading it would not end
    with pytest.raises(ValueError, match=r"huge\.yaml' is larger than 1 MB"):
        read_document(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 5000, "line 1: lists and mappings nested more than 50 deep"),
        ('{"a": ' * 500, "nested more than 50 deep"),
        ("[" + "[],\n" * 40_000 + "1]", "line 10000: more than 20000 values"),
        ('{"a": {"b": 1},\n "b": 2,\n "\\u0061": 3}', "line 3: 'a' stands twice in one mapping"),
        ('{"a": 1e999}', "line 1: the number '1e999' is too large"),
        ("[" + "9" * 5000 + "]", "has more than 64 bits"),
        ('["\\ud800"]', "holds the character U+D800"),
        ('["\\u0000"]', "holds the character U+0000"),
        ('"' + '\\"' * 400_000, "is not JSON: line 1: Unterminated string"),
        ("{'a': 1}", "is not JSON: line 1"),
        ("[1,\n 2,\n]", "is not JSON: line "),
        ("[1] [2]", "is not JSON: line 1: Extra data"),
        ("", "is not JSON"),
        ("null", "is empty"),
    ],
    ids=range(14),
)
def test_json_has_the_same_limits(tmp_path, text, words):
    assert words in _refusal(tmp_path, text, "file.json")


def test_json_keeps_what_it_says(tmp_path):
    content = {"a": [1, 1.5, -2e-3, True, None, "010", "\U0001f600", 'q"\\'], "b": {"a": {}}}
    assert _read(tmp_path, json.dumps(content), "file.json") == content


# Plain values of the core schema (YAML 1.2.2, section 10.3.2).
VALUES = {
    "-5e-2": -0.05,
    "1e-3": 0.001,
    "1E5": 100000.0,
    "-.5": -0.5,
    "5.": 5.0,
    "+7": 7,
    "010": 10,
    "-010": -10,
    "0o10": 8,
    "0x1F": 31,
    "true": True,
    "FALSE": False,
    "~": None,
    "": None,
    "null": None,
    "1:30": "1:30",
    "-0,05": "-0,05",
    "1_000": "1_000",
    "0b11": "0b11",
    "08:15:00": "08:15:00",
    "2024-01-01": "2024-01-01",
    "no": "no",
    "No": "No",
    "off": "off",
    "yes": "yes",
    "on": "on",
    "y": "y",
    "tRUE": "tRUE",
    "=": "=",
    "<<": "<<",
    "'1e-3'": "1e-3",
    '"true"': "true",
    "!!str 5": "5",
    "!!float 5": 5.0,
}


@pytest.mark.parametrize(("written", "meant"), VALUES.items(), ids=VALUES)
def test_values_are_those_of_yaml_1_2_in_files_and_alone(tmp_path, written, meant):
    for read in (_read(tmp_path, f"a: {written}\n")["a"], read_value(written, "it")):
        assert read == meant and type(read) is type(meant)


def test_infinity_and_no_number_are_read_as_what_they_are(tmp_path):
    read = _read(tmp_path, "[.inf, -.INF, .nan]")
    assert read[:2] == [math.inf, -math.inf] and math.isnan(read[2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' stands twice in one mapping, first in line 1"),
        ("{a: 1, 'a': 2}", "'a' stands twice in one mapping"),
        ("x:\n  1: a\n  '1': b\n", "line 3: '1' stands twice in one mapping, first in line 2"),
        ("a: {<<: {b: 1}, <<: {c: 1}}", "'<<' stands twice"),
        ("a: {<<: 5}", "<< takes over the fields of mappings"),
        ("a: {<<: [5]}", "<< takes over the fields of mappings"),
        ("a:\n\tb: 1\n", "line 2: found character '\\t' that cannot start any token"),
        ("a: 1\n---\na: 2\n", "line 2: a second document begins"),
        ("a: 1\n...\n---\nb: 1\n", "a second document begins"),
        (
            "a: !!python/object/apply:os.system [x]",
            "the tag 'tag:yaml.org,2002:python/object/apply:os.system' does not",
        ),
        ("a: !thing {b: 1}", "the tag '!thing' does not fit here"),
        ("a: !!binary aGk=", "binary' does not fit here"),
        ("a: !!int one", "int' does not fit here"),
        ("a: !!map 5", "map' does not fit here"),
        ("? [1]\n: 2", "line 1: a key is a text"),
        ("a: 1e999", "line 1: the number '1e999' is too large"),
        ("a: " + "9" * 5000, "has more than 64 bits"),
        ("a: 0x" + "f" * 5000, "has more than 64 bits"),
        ('a: "\\0"', "holds the character U+0000"),
        ('a: "\\ud800"', "holds the character U+D800"),
        ('a: "\\UFFFFFFFF"', "is not YAML: line 1"),
        ("a: 1\nb: \0\n", "line 2: the character U+0000 is not allowed"),
        (b"a: 1\nb: \xff\n", "is not a text file: line 2 has the byte 0xff"),
        ("a: 1".encode("utf-16"), "is not a text file"),
        ("a: [1, 2", "is not YAML: line 1"),
        ("a: *nothing", "found undefined alias 'nothing'"),
        ("", "is empty"),
        ("# nothing but this\n", "is empty"),
        ("~", "is empty"),
    ],
    ids=range(29),
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, text, words):
    assert words in _refusal(tmp_path, text)


def test_merge_keys_and_aliases_give_values_that_share_nothing(tmp_path):
    text = "a: &a {x: [1], y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{x: 0}, *a]}\nd: [*a, *a]\n"
    read = _read(tmp_path, text)
    assert read["b"] == {"x": [1], "y": 3} and read["c"] == {"x": 0, "y": 2}
    read["d"][0]["x"].append(5)
    assert read["d"][1] == read["a"] == {"x": [1], "y": 2}


def test_keys_are_texts_as_they_are_written(tmp_path):
    assert list(_read(tmp_path, "{no: 1, 010: 2, 1e3: 3, ~: 4, true: 5}")) == ["no", "010", "1e3", "~", "true"]


def test_a_byte_order_mark_is_passed_over(tmp_path):
    assert _read(tmp_path, b"\xef\xbb\xbfa: 1") == _read(tmp_path, b'\xef\xbb\xbf{"a": 1}', "file.json") == {"a": 1}


def test_what_is_no_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, words in {
        tmp_path: "Is a directory",
        tmp_path / "none.yaml": "No such file",
        tmp_path / "pipe.yaml": "it is a device or a pipe",
        Path("/dev/zero"): "it is a device or a pipe",
        Path("a\0b.yaml"): "null byte",
        Path("x" * 5000): "File name too long",
    }.items():
        with pytest.raises(ValueError, match=f"cannot be read: .*{words}") as caught:
            read_document(path)
        assert len(str(caught.value)) < 800


def test_a_file_without_permission_is_told(unreadable):
    path = unreadable("secret.yaml", "a: 1")
    with pytest.raises(ValueError, match=r"secret\.yaml' cannot be read: Permission denied"):
        read_document(path)


def test_other_limits_can_be_asked_for(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("[[1, 2, 3]]")
    assert read_document(path, Limits(depth=2, nodes=5)) == [[1, 2, 3]]
    for limits in (Limits(depth=1), Limits(nodes=4), Limits(num_bytes=10)):
        with pytest.raises(ValueError):
            read_document(path, limits)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(_PLAIN | st.sampled_from(list(VALUES)).map(lambda text: {text: text}))
def test_what_is_written_reads_back_the_same_in_both_versions_of_yaml(content):
    text = yaml_text({"it": content})
    assert read_value(text, "it") == yaml.safe_load(text) == {"it": content}


_BITS = [
    *"[]{}:,&*!?|>-'\"%@`#\\ \n\t~<=ax0",
    "&a",
    "*a",
    "<<: ",
    "- ",
    "---\n",
    "...\n",
    "\\x",
    "\\u",
    "%YAML 1.2\n",
    "|9",
]


@given(st.lists(st.sampled_from(_BITS), max_size=30).map("".join) | st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_sentence(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    for file in (path, path.with_suffix(".json")):
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            read_document(file)
        except ValueError as error:
            assert "\n" not in str(error) and str(error).startswith(repr(str(file)))


def test_a_task_of_this_package_is_far_from_the_limits():
    largest = max(Path(__file__).parents[1].joinpath("cfg").rglob("*.yaml"), key=lambda path: path.stat().st_size)
    assert largest.stat().st_size < FILE_LIMITS.num_bytes / 40
