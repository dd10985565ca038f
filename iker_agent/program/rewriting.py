"""The syntax tree that runs: imports become assignments, and some syntax becomes calls that are looked after.

In: a tree that `language` has checked. Out: the tree to compile. Everything that is put in is reached through one
global that no program can name: `import numpy as np` becomes `np = __facade__["numpy"]`, the field of an object
`point.x` becomes `__facade__["fields"](point)["x"]`. Recursion is safe here: the depth of the tree has been bounded.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from typing import TypeVar

from .vocabulary import ATTRIBUTES, GUARDED, MODULES, Vocabulary

Expression = TypeVar("Expression", bound=ast.expr)

FACADE = "__facade__"
FELL_OFF = "__fell_off__"  # behind the facade: what a function returns that ends without a return


class UnusedImports(ast.NodeTransformer):
    """Leaves out imports that programs cannot have and that the program never uses; `notes` says which."""

    def __init__(self, used: set[str], vocabulary: Vocabulary) -> None:
        self.used = used
        self.vocabulary = vocabulary
        self.notes: list[str] = []
        self.tries = 0

    def visit_Try(self, node: ast.Try) -> ast.AST:
        self.tries += 1
        self.generic_visit(node)
        self.tries -= 1
        return node

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        return self._without_unused(node, {alias: alias.name for alias in node.names})

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        if node.level:
            return node
        return self._without_unused(node, {alias: node.module or "" for alias in node.names})

    def _without_unused(self, node: ast.Import | ast.ImportFrom, modules: dict[ast.alias, str]) -> ast.stmt:
        unused = [alias for alias, module in modules.items() if self._is_unused(alias, module, node)]
        for module in dict.fromkeys(modules[alias] for alias in unused):
            self.notes.append(f"line {node.lineno}: import of {module} is not used and was left out")
        node.names = [alias for alias in node.names if alias not in unused]
        return node if node.names else ast.copy_location(ast.Pass(), node)

    def _is_unused(self, alias: ast.alias, module: str, node: ast.Import | ast.ImportFrom) -> bool:
        bound = alias.asname or alias.name.split(".")[0]
        if bound == "*" or bound.startswith("__") or bound in self.used:
            return False
        if module in self.vocabulary.modules and (isinstance(node, ast.Import) or alias.name in MODULES[module]):
            return False
        # Inside try, whether the import works decides what runs: only the standard library surely does.
        return not self.tries or module.split(".")[0] in sys.stdlib_module_names


class Rewriter(ast.NodeTransformer):
    """Turns a checked tree into the one that runs.

    own: attributes of the program's classes; bound: its names; fields: statements that declare fields of classes.
    """

    def __init__(self, own: frozenset[str], bound: frozenset[str], fields: frozenset[ast.AnnAssign]) -> None:
        self.own = own
        self.bound = bound
        self.fields = fields

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        return [
            _assignment(node, alias.asname or _root(alias), alias.name if alias.asname else _root(alias))
            for alias in node.names
        ]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        return [_assignment(node, alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        if node in self.fields:
            return node
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        template = node.value
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or node.attr not in ATTRIBUTES:
            return ast.copy_location(
                ast.Subscript(_call("fields", node.value), ast.Constant(node.attr), ctx=node.ctx), node
            )
        if node.attr == "format":
            return ast.copy_location(_call("formatter", template), node)
        return _call("guarded", node.value, ast.Constant(node.attr)) if node.attr in GUARDED else node

    def visit_match_case(self, node: ast.match_case) -> ast.match_case:
        node.guard = self.visit(node.guard) if node.guard else None
        node.body = _flat(self.visit(statement) for statement in node.body)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """`x in {1, 2}` needs no order."""
        for place, (operator, side) in enumerate(zip(node.ops, node.comparators, strict=True)):
            if isinstance(operator, ast.In | ast.NotIn) and isinstance(side, ast.Set):
                side.elts = [self.visit(item) for item in side.elts]
            else:
                node.comparators[place] = self.visit(side)
        node.left = self.visit(node.left)
        return node

    def visit_Set(self, node: ast.Set) -> ast.expr:
        self.generic_visit(node)
        return _call("set", node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.expr:
        self.generic_visit(node)
        return _call("set", node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        is_map = self._names(node.func, "map")
        node.args = [self._text(arg) if is_map and i == 0 else arg for i, arg in enumerate(node.args)]
        for keyword in node.keywords:
            keyword.value = self._text(keyword.value) if keyword.arg == "key" else keyword.value
        makes_set = self._names(node.func, "set", "frozenset")
        node.func = self._text(node.func)
        self.generic_visit(node)
        return _call("set", node) if makes_set else node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        self.generic_visit(node)
        if node.conversion == -1 and node.format_spec:
            return node  # only numbers, text and arrays take a format
        node.value = _call("part of text", node.value, ast.Constant(node.conversion))
        node.conversion = -1
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        return _call("percent", node.left, node.right) if isinstance(node.op, ast.Mod) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        self.generic_visit(node)
        if not (isinstance(node.op, ast.Mod) and isinstance(node.target, ast.Name)):
            return node
        old = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
        value = _call("percent in place", old, node.value)
        return ast.copy_location(ast.Assign(targets=[node.target], value=value), node)

    def _names(self, node: ast.expr, *names: str) -> bool:
        return isinstance(node, ast.Name) and node.id in names and node.id not in self.bound

    def _text(self, node: ast.expr) -> ast.expr:
        """`str` as a function; as a type it stays what it is."""
        return _at(node, _from_facade("text")) if self._names(node, "str") else node


def mark_the_end(tree: ast.Module, function: str) -> None:
    """Falling off the end of the function must not look like the explicit None that says done."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            node.body.append(ast.copy_location(ast.Return(_from_facade(FELL_OFF)), node.body[-1]))


def _root(alias: ast.alias) -> str:
    return alias.name.split(".")[0]


def _flat(statements: Iterable[ast.stmt | list[ast.stmt]]) -> list[ast.stmt]:
    return [s for item in statements for s in (item if isinstance(item, list) else [item])]


def _assignment(node: ast.stmt, name: str, path: str) -> ast.stmt:
    return ast.copy_location(ast.Assign(targets=[ast.Name(name, ast.Store())], value=_from_facade(path)), node)


def _from_facade(path: str) -> ast.Subscript:
    return ast.Subscript(ast.Name(FACADE, ast.Load()), ast.Constant(path), ast.Load())


def _call(path: str, *arguments: ast.expr) -> ast.Call:
    return _at(arguments[0], ast.Call(_from_facade(path), list(arguments), []))


def _at(place: ast.expr, node: Expression) -> Expression:
    """`node` and all that is new in it, at the place of another node."""
    ast.copy_location(node, place)
    return ast.fix_missing_locations(node)
