"""The language that programs may use: an allow-list over the syntax tree, decided before anything runs.

In: source text and the name of the function that it must define. Out: a syntax tree in which imports have become
assignments from facades, annotations are gone, and every node, attribute and name is one of the allowed ones; or
`Refused` with one sentence. Since no name that is not in `vocabulary` can stand behind a dot, no attribute chain
leads out. All walks are iterative: a deep tree cannot exhaust the stack.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from .vocabulary import ATTRIBUTES, BUILTINS, HINTS, MODULES, STANDARD, Vocabulary, words

MAX_CHARACTERS = 20_000
_MAX_NODES = 6_000
_MAX_DEPTH = 100

FILENAME = "<program>"
FACADE = "__facade__"  # the global through which rewritten imports reach `facades`; no program can write this name
FELL_OFF = "__fell_off__"  # behind the facade: what a function returns that ends without a return

_NODES = words("""
    Module FunctionDef Lambda arguments arg Return Assign AugAssign AnnAssign For While If Break Continue Pass Expr Try
    ExceptHandler Raise Assert Import ImportFrom alias Delete Nonlocal NamedExpr BoolOp BinOp UnaryOp IfExp Dict Set
    ListComp SetComp DictComp GeneratorExp Compare Call JoinedStr FormattedValue Constant Attribute Subscript Starred
    Name List Tuple Slice comprehension keyword Load Store Del And Or Add Sub Mult MatMult Div Mod Pow LShift RShift
    BitOr BitXor BitAnd FloorDiv Invert Not UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
    """)
_SPOKEN = {
    "ClassDef": "class",
    "AsyncFunctionDef": "async def",
    "Await": "await",
    "Yield": "yield",
    "YieldFrom": "yield from",
    "With": "with",
    "Match": "match",
    "Global": "global",
    "TryStar": "except*",
}
_CONSTANTS = (str, int, float, bool, type(None), type(...))
_FOREIGN = (frozenset(dir(builtins)) | {"exit", "quit", "help"}) - BUILTINS


class Refused(Exception):
    """The program is outside the language; the text is one sentence for model and user."""


@dataclass(frozen=True)
class Admitted:
    """A program that may run: its tree, ready to be compiled, and what was left out of it."""

    tree: ast.Module
    warnings: tuple[str, ...]


def admit(source: str, function: str, vocabulary: Vocabulary = STANDARD) -> Admitted:
    """Checks `source` and rewrites it to what may run; `Refused` otherwise."""
    tree = _parse(source)
    body, warnings = _without_demonstrations(tree.body, function)
    tree.body = body
    _check_definition(tree, function)
    _strip_annotations(tree)
    _check(tree, vocabulary)
    tree = _BindImports().visit(tree)
    _mark_the_end(tree, function)
    tree = ast.fix_missing_locations(tree)
    return Admitted(tree, tuple(warnings))


def _parse(source: str) -> ast.Module:
    if len(source) > MAX_CHARACTERS:
        raise Refused(f"the program has {len(source)} characters; at most {MAX_CHARACTERS} are allowed")
    try:
        tree = ast.parse(source.removeprefix("\ufeff"), FILENAME)
    except SyntaxError as error:
        raise Refused(f"line {error.lineno or 1}: syntax error: {error.msg}") from None
    except (ValueError, MemoryError, RecursionError) as error:  # null bytes, lone surrogates, absurd nesting
        raise Refused(f"the program cannot be parsed: {str(error) or type(error).__name__}") from None
    if any(i >= _MAX_NODES or depth > _MAX_DEPTH for i, (_, depth) in enumerate(_walk(tree))):
        raise Refused(f"the program is too large: at most {_MAX_NODES} nodes, {_MAX_DEPTH} deep")
    return tree


def _walk(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))


def _line(node: ast.AST) -> str:
    return f"line {getattr(node, 'lineno', 1)}"


# ------------------------------------------------------------------- what is left out


def _without_demonstrations(body: list[ast.stmt], function: str) -> tuple[list[ast.stmt], list[str]]:
    """Drops main guards, bare expressions, example calls of the function and what reads their results at top level."""
    kept = []
    warnings = []
    gone = set()  # names whose values only the dropped statements would have made
    for statement in body:
        nodes = [n for n, _ in _walk(statement)]
        bound = {name for n in nodes for name in _bound_names(n)}
        if not (_demonstrates(statement, function) or _reads(statement, nodes, gone)):
            kept.append(statement)
            gone -= bound
            continue
        gone |= bound
        if not _is_text(statement):
            warnings.append(f"{_line(statement)}: this statement outside {function} is ignored")
    return kept, warnings


def _reads(statement: ast.stmt, nodes: list[ast.AST], names: set[str]) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False  # it reads them when it is called, if ever
    return any(isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in names for n in nodes)


def _demonstrates(statement: ast.stmt, function: str) -> bool:
    if isinstance(statement, ast.Expr):
        return True
    if isinstance(statement, ast.If) and any(_is_name(n, "__name__") for n, _ in _walk(statement.test)):
        return True
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    return any(isinstance(n, ast.Call) and _is_name(n.func, function) for n, _ in _walk(statement))


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _strip_annotations(tree: ast.Module) -> None:
    """Annotations are not checked and must not run: they go, and `x: T = v` becomes `x = v`."""
    for node, _ in _walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.copy_location(ast.Constant(None), node)


# -------------------------------------------------------------------- what is checked


def _check_definition(tree: ast.Module, function: str) -> None:
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == function]
    if not found:
        raise Refused(f"the program does not define {function} at top level")
    arguments = found[-1].args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    if positional < 1 or required > 1 or None in arguments.kw_defaults:
        raise Refused(f"{_line(found[-1])}: {function} must take exactly one argument")


def _check(tree: ast.Module, vocabulary: Vocabulary) -> None:
    nodes = [node for node, _ in _walk(tree)][::-1]  # inner before outer: of np.random.rand the random is the reason
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", sys.maxsize)):
        _check_kind(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            _check_import(node, vocabulary)
    bound = {name for node in nodes for name in _bound_names(node)}
    for node in nodes:
        _check_names(node)
        if isinstance(node, ast.Attribute):
            _check_attribute(node)
        elif isinstance(node, ast.Constant):
            _check_constant(node)
        elif isinstance(node, ast.Name) and node.id in _FOREIGN and node.id not in bound:
            raise Refused(f"{_line(node)}: {node.id} is not available to programs{_hint(node.id)}")


def _check_kind(node: ast.AST) -> None:
    kind = type(node).__name__
    if kind not in _NODES:
        raise Refused(f"{_line(node)}: {_SPOKEN.get(kind, kind)} is not allowed in programs")
    if isinstance(node, ast.comprehension) and node.is_async:
        raise Refused(f"{_line(node.target)}: async for is not allowed in programs")
    if isinstance(node, ast.FunctionDef) and node.decorator_list:
        raise Refused(f"{_line(node)}: decorators are not allowed in programs")


def _check_names(node: ast.AST) -> None:
    """No identifier of any kind of node may look special; the parser has normalised Unicode look-alikes before."""
    if isinstance(node, ast.Constant | ast.Attribute | ast.ImportFrom):
        return  # text; names with a check of their own
    for _, value in ast.iter_fields(node):
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str) and (name.startswith("__") or name.endswith("__")):
                raise Refused(f"{_line(node)}: the name {name} is not allowed in programs")


def _check_attribute(node: ast.Attribute) -> None:
    if not isinstance(node.ctx, ast.Load):
        raise Refused(f"{_line(node)}: setting or deleting the attribute {node.attr} is not allowed in programs")
    if node.attr not in ATTRIBUTES:
        raise Refused(f"{_line(node)}: the attribute {node.attr} is not available to programs{_hint(node.attr)}")


def _check_constant(node: ast.Constant) -> None:
    if not isinstance(node.value, _CONSTANTS):
        raise Refused(f"{_line(node)}: {type(node.value).__name__} literals are not allowed in programs")


def _check_import(node: ast.Import | ast.ImportFrom, vocabulary: Vocabulary) -> None:
    if isinstance(node, ast.Import):
        wanted = {alias.name: None for alias in node.names}
    else:
        wanted = {"." * node.level + (node.module or ""): [alias.name for alias in node.names]}
    for module, names in wanted.items():
        if module not in vocabulary.modules:
            raise Refused(f"{_line(node)}: import of {module} is not allowed; numpy and math are{_hint(module)}")
        missing = [name for name in names or () if name not in MODULES[module]]
        if missing:
            raise Refused(f"{_line(node)}: {missing[0]} cannot be imported from {module}{_hint(missing[0])}")


def _bound_names(node: ast.AST) -> list[str]:
    """Names that a node binds somewhere in the program; such a name is not the builtin of the same name."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.FunctionDef | ast.ExceptHandler):
        return [node.name or ""]
    return [node.asname or node.name.split(".")[0]] if isinstance(node, ast.alias) else []


def _hint(name: str) -> str:
    return f"; {HINTS[name]}" if name in HINTS else ""


# ------------------------------------------------------------------ what is rewritten


def _mark_the_end(tree: ast.Module, function: str) -> None:
    """Falling off the end of the function must not look like the explicit None that says done."""
    for node, _ in _walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            node.body.append(ast.copy_location(ast.Return(_from_facade(FELL_OFF)), node.body[-1]))


class _BindImports(ast.NodeTransformer):
    """`import numpy as np` becomes `np = __facade__["numpy"]` in the same scope: no import ever runs.

    Recursion is safe here: the depth of the tree has been bounded.
    """

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        return [
            _assignment(node, alias.asname or alias.name.split(".")[0], alias.name if alias.asname else _root(alias))
            for alias in node.names
        ]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        return [_assignment(node, alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)


def _root(alias: ast.alias) -> str:
    return alias.name.split(".")[0]


def _assignment(node: ast.stmt, name: str, path: str) -> ast.stmt:
    return ast.copy_location(ast.Assign(targets=[ast.Name(name, ast.Store())], value=_from_facade(path)), node)


def _from_facade(path: str) -> ast.Subscript:
    return ast.Subscript(ast.Name(FACADE, ast.Load()), ast.Constant(path), ast.Load())
