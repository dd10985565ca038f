"""The language that programs may use: an allow-list over the syntax tree, decided before anything runs.

In: source text, the name of the function that it must define, the contract's vocabulary. Out: a syntax tree in which
imports have become assignments from facades, annotations are gone, and every node, attribute and name is one of the
allowed ones; or `Refused` with one sentence. Since no name that is not in `vocabulary` can stand behind a dot, except
the names of the program's own classes on objects of these classes, no attribute chain leads out. The walks that come
before the depth of the tree is known are iterative: a deep tree cannot exhaust the stack.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from .checks import Refused, bound_names, check, check_definition, imported_modules, line_of, own_names, walk
from .examples import example_places, loaded_names, touch_nothing, without_guards
from .rewriting import Rewriter, UnusedImports, mark_the_end
from .typography import straightened
from .vocabulary import STANDARD, Vocabulary

MAX_CHARACTERS = 20_000
_MAX_NODES = 6_000
_MAX_DEPTH = 100

FILENAME = "<program>"


@dataclass(frozen=True)
class Admitted:
    """A program that may run.

    tree: ready to be compiled; warnings: what was left out or read generously; imported: the modules that it imports;
    bare: the same program without its examples, if it has any, with warnings that say so; examples: their first and
    last lines.
    """

    tree: ast.Module
    warnings: tuple[str, ...]
    imported: frozenset[str] = frozenset()
    bare: Admitted | None = None
    examples: tuple[tuple[int, int], ...] = ()


def admit(source: str, function: str, vocabulary: Vocabulary = STANDARD) -> Admitted:
    """Checks `source` and rewrites it to what may run; `Refused` otherwise."""
    text, tree, notes = _parse(source)
    body, guards = without_guards(tree.body)
    notes += [_ignored(guard, function) for guard in guards]
    places = example_places(body, function)
    if not places:
        return _admit(body, function, vocabulary, notes)
    examples = [body[place] for place in places]
    again, _ = without_guards(ast.parse(text, FILENAME).body)  # a tree of its own: admitting changes it
    rest = [statement for place, statement in enumerate(again) if place not in places]
    independent = touch_nothing(examples, rest)
    ignored = [_ignored(statement, function) for statement in examples]
    bare = _admit(rest, function, vocabulary, [*notes, *ignored])
    bare = replace(bare, warnings=tuple(sorted(bare.warnings, key=_line_number)))
    try:
        whole = _admit(body, function, vocabulary, notes)
    except Refused:
        if independent:
            return bare
        raise
    lines = tuple((statement.lineno, statement.end_lineno or statement.lineno) for statement in examples)
    return replace(whole, bare=bare, examples=lines)


def _admit(body: list[ast.stmt], function: str, vocabulary: Vocabulary, notes: list[str]) -> Admitted:
    tree = ast.Module(body, [])
    check_definition(tree, function)
    fields = _strip_annotations(tree)
    imports = UnusedImports(loaded_names(tree.body), vocabulary)
    tree = imports.visit(tree)
    own = own_names(tree)
    check(tree, own, vocabulary)
    nodes = [node for node, _ in walk(tree)]
    imported = frozenset(module for node in nodes for module in imported_modules(node))
    bound = frozenset(name for node in nodes for name in bound_names(node))
    tree = Rewriter(own, bound, fields).visit(tree)
    mark_the_end(tree, function)
    return Admitted(ast.fix_missing_locations(tree), (*notes, *imports.notes), imported)


def _ignored(statement: ast.stmt, function: str) -> str:
    return f"{line_of(statement)}: this statement outside {function} is ignored"


def _line_number(note: str) -> int:
    start = note.split(":")[0].removeprefix("line ")
    return int(start) if start.isdecimal() else 0


# ------------------------------------------------------------------------------ parsing


def _parse(source: str) -> tuple[str, ast.Module, list[str]]:
    """The text that was parsed, its tree, and notes about characters that had to be changed."""
    if len(source) > MAX_CHARACTERS:
        raise Refused(f"the program has {len(source)} characters; at most {MAX_CHARACTERS} are allowed")
    text = source.removeprefix("\ufeff")
    notes: list[str] = []
    tree: ast.Module | None
    try:
        tree = ast.parse(text, FILENAME)
    except SyntaxError as error:
        try:
            text, notes = straightened(text)
            tree = ast.parse(text, FILENAME) if notes else None
        except (SyntaxError, ValueError, MemoryError, RecursionError):  # the first error is the one to tell
            tree = None
        if tree is None:
            raise Refused(_syntax_error(error)) from None
    except (ValueError, MemoryError, RecursionError) as error:  # null bytes, lone surrogates, absurd nesting
        raise Refused(f"the program cannot be parsed: {str(error) or type(error).__name__}") from None
    if any(i >= _MAX_NODES or depth > _MAX_DEPTH for i, (_, depth) in enumerate(walk(tree))):
        raise Refused(f"the program is too large: at most {_MAX_NODES} nodes, {_MAX_DEPTH} deep")
    return text, tree, notes


def _syntax_error(error: SyntaxError) -> str:
    way_out = "; compute it in a variable before the f-string" if "f-string" in (error.msg or "") else ""
    return f"line {error.lineno or 1}: syntax error: {error.msg}{way_out}"


def _strip_annotations(tree: ast.Module) -> frozenset[ast.AnnAssign]:
    """Annotations are not checked and must not run: they go. Returns the statements that stay, fields of classes."""
    fields: set[ast.AnnAssign] = set()
    for node, _ in walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.ClassDef):
            annotated = [statement for statement in node.body if isinstance(statement, ast.AnnAssign)]
            fields |= {statement for statement in annotated if "ClassVar" not in ast.dump(statement.annotation)}
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.copy_location(ast.Constant(None), node)
    return frozenset(fields)
