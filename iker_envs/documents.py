"""The one reader and writer of YAML and JSON files, and of single values written as YAML.

    file                        ->  read_document  ->  dictionaries, lists, numbers, text, truth values, None
    the 1e-3 of `key=1e-3`      ->  read_value     ->  the same
    dictionaries, lists, ...    ->  yaml_text      ->  YAML that reads back as it was

Plain values follow the core schema of YAML 1.2.2 (section 10.3.2): `1e-3` is a number, `010` is ten, and `no`, `1:30`
and `2024-01-01` are texts. Keys are texts as they are written. Bytes, nesting, values and aliases are counted while a
file is read and before anything is made of it, so that a hostile file costs no memory. Every fault is a ValueError of
one sentence with file and line.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_MAX_SHOWN = 100  # characters of a bad value in a sentence
_MAX_PATH = 500  # characters of a path in a sentence
_MAX_LISTED = 40  # names in a sentence
_MAX_WORDS = 200  # characters of a parser's own message


@dataclass(frozen=True)
class Limits:
    """How large a document may be."""

    num_bytes: int = 1_000_000  # about 80 times the largest task of this package
    nodes: int = 20_000  # keys, values and collections; what an alias stands for counts each time
    depth: int = 50  # collections within each other
    aliases: int = 200


FILE_LIMITS = Limits()
RECORD_LIMITS = Limits(num_bytes=20_000_000, nodes=1_000_000)  # of what a run writes down
_VALUE_LIMITS = Limits(num_bytes=100_000, nodes=1_000)


def shown(value: Any, most: int = _MAX_SHOWN) -> str:
    """A bad value as a sentence names it: on one line, printable, and cut after `most` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def listed(names: Iterable[object]) -> str:
    """Names as a sentence lists them: with commas, and cut where there are many."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - _MAX_LISTED} more" if len(texts) > _MAX_LISTED else ""
    return ", ".join(texts[:_MAX_LISTED]) + more


def read_document(path: str | Path, limits: Limits = FILE_LIMITS) -> Any:
    """What a JSON file (named .json) or a YAML file (any other) holds; ValueError if it cannot be read."""
    path = Path(path)
    where = shown(str(path), _MAX_PATH)
    text = _file_text(path, where, limits.num_bytes)
    content = _json(text, where, limits) if path.suffix == ".json" else _yaml(text, where, limits)
    if content is None:
        raise ValueError(f"{where} is empty")
    return content


def read_value(text: str, where: str) -> Any:
    """What one value written as YAML stands for, None if the text is empty; ValueError begins with `where`."""
    if len(text) > _VALUE_LIMITS.num_bytes:
        raise ValueError(f"{where} is longer than {_VALUE_LIMITS.num_bytes} characters")
    return _yaml(text, where, _VALUE_LIMITS)


def yaml_text(content: Any) -> str:
    """YAML of dictionaries, lists, numbers and text, keys in their order, for readers of YAML 1.1 and 1.2."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, default_flow_style=None)


def _file_text(path: Path, where: str, num_bytes: int) -> str:
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # reading a pipe may wait for ever
            raise ValueError("it is a device or a pipe; give a file")
        with path.open("rb") as file:
            data = file.read(num_bytes + 1)
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        raise ValueError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > num_bytes:
        raise ValueError(f"{where} is larger than {num_bytes / 1e6:g} MB, the limit for such a file; make it smaller")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        told = f"line {line} has the byte {data[error.start]:#04x}, which is no UTF-8"
        raise ValueError(f"{where} is not a text file: {told}") from None


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


class _Fault(ValueError):
    """What is wrong with a document, "line 3: ..."; the caller puts the file before it."""


def _fault(at: yaml.Event | yaml.Node, what: str) -> _Fault:
    line = at.start_mark.line + 1 if at.start_mark else 1
    return _Fault(f"line {line}: {what}")


def _whole(text: str) -> int:
    digits = text.lstrip("-+0")
    number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(digits) < 64 else 2**64
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"the whole number {shown(text)} has more than 64 bits")
    return number


def _real(text: str) -> float:
    plain = text.lower()
    named = plain.endswith((".inf", ".nan"))
    number = float(plain.replace(".", "", 1) if named else plain)
    if math.isinf(number) and not named:
        raise ValueError(f"the number {shown(text)} is too large")
    return number


def _text(text: str) -> str:
    """The text; ValueError for what neither a path nor a UTF-8 file can hold."""
    if bad := re.search("[\0\ud800-\udfff]", text):
        raise ValueError(f"the text {shown(text)} holds the character U+{ord(bad[0]):04X}, which no file can hold")
    return text


@dataclass(frozen=True)
class _Kind:
    """A kind of plain value: how it is written, what it may begin with, and what it means."""

    pattern: re.Pattern[str]
    first: tuple[str, ...]
    meaning: Callable[[str], Any]


_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_KINDS = {
    "null": _Kind(re.compile(r"(~|null|Null|NULL|)\Z"), ("~", "n", "N", ""), lambda text: None),
    "bool": _Kind(re.compile(r"(true|True|TRUE|false|False|FALSE)\Z"), tuple("tTfF"), lambda t: t.lower() == "true"),
    "int": _Kind(re.compile(r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), tuple("-+0123456789"), _whole),
    "float": _Kind(re.compile(rf"({_FLOAT})\Z"), tuple("-+.0123456789"), _real),
    "str": _Kind(re.compile(r"(?s:.*)\Z"), (), _text),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the core schema, and with limits that hold while nodes are composed."""

    # those of YAML 1.1 are left out
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 (PyYAML's own form)

    def __init__(self, text: str, limits: Limits) -> None:
        self._limits = limits
        self._size = 0  # nodes so far, with those that aliases stand for
        self._depth = 0  # collections around the present node
        self._deepest = 0  # collections within each other in the present node, with those around it
        self._aliases = 0
        self._finished: dict[str, tuple[int, int]] = {}  # anchor -> size and depth of its node
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node; ValueError where it goes beyond a limit or stands within itself."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._count_alias(event)
            return super().compose_node(parent, index)
        size = self._size
        deepest = self._deepest
        nested = not isinstance(event, yaml.ScalarEvent)
        self._deepest = self._depth
        self._depth += nested
        self._count(event, size=1, depth=0)
        node = super().compose_node(parent, index)
        self._depth -= nested
        if event.anchor is not None:
            self._finished[event.anchor] = (self._size - size, self._deepest - self._depth)
        self._deepest = max(deepest, self._deepest)
        return node

    def _count_alias(self, event: yaml.AliasEvent) -> None:
        self._aliases += 1
        if self._aliases > self._limits.aliases:
            raise _fault(event, f"more than {self._limits.aliases} aliases")
        anchor = event.anchor or ""  # no alias is without one
        if anchor in self.anchors and anchor not in self._finished:
            raise _fault(event, f"the alias {shown(anchor)} stands within what it refers to")
        size, depth = self._finished.get(anchor, (1, 0))
        self._count(event, size, depth)

    def _count(self, event: yaml.Event, size: int, depth: int) -> None:
        self._size += size
        self._deepest = max(self._deepest, self._depth + depth)
        if self._size > self._limits.nodes:
            raise _fault(event, f"more than {self._limits.nodes} keys and values, those behind aliases included")
        if self._deepest > self._limits.depth:
            raise _fault(event, f"lists and mappings nested more than {self._limits.depth} deep")


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer; it quotes texts that either version of YAML reads as something else, and uses no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _kind in _KINDS.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", _kind.pattern, _kind.first)
    _Dumper.add_implicit_resolver(f"{_TAG}{_name}", _kind.pattern, _kind.first)
_Loader.add_implicit_resolver(_MERGE, re.compile(r"<<\Z"), ("<",))


def _yaml(text: str, where: str, limits: Limits) -> Any:
    loader = None
    try:
        loader = _Loader(text, limits)
        node = loader.get_single_node()
        return None if node is None else _built(node)
    except _Fault as error:
        raise ValueError(f"{where}, {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ValueError(f"{where} is not YAML: line {line}: {_words(error)}") from None
    except yaml.reader.ReaderError as error:
        told = f"line {_line(text, error.position)}: the character U+{error.character:04X} is not allowed"
        raise ValueError(f"{where} is not YAML: {told}") from None
    except (ValueError, OverflowError) as error:  # of PyYAML: "\UFFFFFFFF", a version of 5000 digits
        line = loader.line + 1 if loader else 1
        raise ValueError(f"{where} is not YAML: line {line}: {error}") from None


def _words(error: yaml.MarkedYAMLError) -> str:
    if error.context and "single document" in error.context:
        return "a second document begins; put it into a file of its own"
    words = " ".join(f"{error.problem} {error.context or ''}".split())[:_MAX_WORDS]
    return f"{words} (indent with spaces)" if "'\\t'" in words else words


def _built(node: yaml.Node) -> Any:
    """Plain Python data of a node; what an alias stands for is made anew each time."""
    name = "str" if node.tag == _MERGE else node.tag.removeprefix(_TAG)  # << is a key of its own, and a text elsewhere
    if isinstance(node, yaml.MappingNode) and name == "map":
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode) and name == "seq":
        return [_built(item) for item in node.value]
    kind = _KINDS.get(name)
    if kind is None or not isinstance(node, yaml.ScalarNode) or not kind.pattern.match(node.value):
        raise _fault(node, f"the tag {shown(node.tag)} does not fit here; leave it out")
    try:
        return kind.meaning(node.value)
    except ValueError as error:
        raise _fault(node, str(error)) from None


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _fault(key, "a key is a text, not a list or a mapping")
        if key.value in lines:
            first = lines[key.value]
            raise _fault(key, f"{shown(key.value)} stands twice in one mapping, first in line {first}")
        lines[key.value] = key.start_mark.line + 1
        if key.tag == _MERGE:
            merged = _merged(value)
        else:
            own[key.value] = _built(value)
    return {**merged, **own}


def _merged(node: yaml.Node) -> dict[str, Any]:
    """What `<<` puts into a mapping: the fields of one mapping or of several, of which the first counts."""
    fields: dict[str, Any] = {}
    for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(part, yaml.MappingNode):
            raise _fault(part, "<< takes over the fields of mappings, such as *name; this is none")
        fields = {**_mapping(part), **fields}
    return fields


# A string (to the end of the text where it is not closed), whether it is a key, a bracket, comma or number of JSON.
_JSON_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*(?:"|\\?\Z))(\s*:)?|[][{},]|-?[0-9][-+.eE0-9]*', re.DOTALL)


def _json(text: str, where: str, limits: Limits) -> Any:
    try:
        _check_json(text, limits)
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON: line {error.lineno}: {error.msg}") from None
    except _Fault as error:
        raise ValueError(f"{where}, {error}") from None


def _check_json(text: str, limits: Limits) -> None:
    """ValueError where JSON goes beyond a limit or has a key twice; what is no JSON at all is left to the parser."""
    nodes = 1
    keys: list[set[str]] = []  # of the collections that are open
    for token in _JSON_TOKEN.finditer(text):
        nodes += token[0] in "[{,"
        if token[0] in "[{":
            keys.append(set())
        elif token[0] in "]}":
            del keys[-1:]
        try:
            if nodes > limits.nodes:
                raise ValueError(f"more than {limits.nodes} values")
            if len(keys) > limits.depth:
                raise ValueError(f"lists and mappings nested more than {limits.depth} deep")
            _check_json_value(token, keys[-1] if keys else set())
        except json.JSONDecodeError:
            return
        except ValueError as error:
            raise _Fault(f"line {_line(text, token.start())}: {error}") from None


def _check_json_value(token: re.Match[str], keys: set[str]) -> None:
    """ValueError for a number that does not fit, a text that no file can hold, or a key that is among `keys`."""
    string, is_key = token.groups()
    if string and (is_key or "\\" in string):
        text = _text(json.loads(string))
        if is_key and text in keys:
            raise ValueError(f"{shown(text)} stands twice in one mapping")
        if is_key:
            keys.add(text)
    elif _KINDS["int"].pattern.match(token[0]):
        _whole(token[0])
    elif _KINDS["float"].pattern.match(token[0]):
        _real(token[0])
