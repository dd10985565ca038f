"""Statements beside the function that only show it: example calls, what reads their results, printing.

In: the statements of a program. Out: which of them are such examples, and what a main guard leaves. Examples are never
just dropped: `execution` runs the program with and without them, and takes the program as it is written wherever the
two differ. A program for which that cannot be done, since an example is outside the language, loses its examples only
if they touch nothing that the rest of the program reads.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def without_guards(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The statements of an imported module, in which `if __name__ == "__main__":` is false; and the guards."""
    kept: list[ast.stmt] = []
    guards: list[ast.stmt] = []
    for statement in body:
        holds = _guard(statement.test) if isinstance(statement, ast.If) else None
        if not isinstance(statement, ast.If) or holds is None:
            kept.append(statement)
            continue
        guards.append(statement)
        kept += statement.body if holds else statement.orelse
    return kept, guards


def _guard(test: ast.expr) -> bool | None:
    """What a main guard's condition gives on import; None if it is no guard."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return False if False in map(_guard, test.values) else None
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1):
        return None
    sides = (test.left, test.comparators[0])
    names = [side for side in sides if isinstance(side, ast.Name) and side.id == "__name__"]
    texts = [side for side in sides if isinstance(side, ast.Constant) and side.value == "__main__"]
    if not names or not texts:
        return None
    return {ast.Eq: False, ast.NotEq: True}.get(type(test.ops[0]))


def example_places(body: list[ast.stmt], function: str) -> list[int]:
    """Places in `body` of the statements that only show the function."""
    places = []
    shown: set[str] = set()  # names whose values come from examples
    callers = _callers(body, function)
    for place, statement in enumerate(body):
        if isinstance(statement, _DEFINITIONS):
            continue
        if _shows(statement, callers) or loaded_names([statement]) & shown:
            places.append(place)
            shown |= _stored_names(statement)
        else:
            shown -= _stored_names(statement)
    return places


def _callers(body: list[ast.stmt], function: str) -> set[str]:
    """The function and every function of the program that uses it."""
    definitions = {n.name: loaded_names([n]) for n in body if isinstance(n, ast.FunctionDef)}
    callers = {function}
    while more := {name for name, used in definitions.items() if name not in callers and used & callers}:
        callers |= more
    return callers


def _shows(statement: ast.stmt, callers: set[str]) -> bool:
    if loaded_names([statement]) & callers:
        return True
    if not isinstance(statement, ast.Expr) or isinstance(statement.value, ast.Constant):
        return False
    call = statement.value
    is_print = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
    return is_print or not any(isinstance(node, ast.Call | ast.NamedExpr | ast.Yield) for node in ast.walk(call))


def loaded_names(statements: Iterable[ast.stmt]) -> set[str]:
    """Every name that is read anywhere in the statements."""
    return {
        n.id for s in statements for n in ast.walk(s) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Store)
    }


def _stored_names(statement: ast.stmt) -> set[str]:
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def touch_nothing(examples: list[ast.stmt], rest: list[ast.stmt]) -> bool:
    """Whether the examples surely change nothing for the rest: they share no variable, and calls leave none changed."""
    variables = {name for s in rest if not isinstance(s, _DEFINITIONS) for name in _stored_names(s)}
    variables |= {name for s in examples for name in _stored_names(s)}
    mentioned = {name for s in examples for name in loaded_names([s]) | _stored_names(s)}
    definitions = [s for s in rest if isinstance(s, ast.FunctionDef | ast.ClassDef)]
    replaced = {definition.name for definition in definitions} & {n for s in examples for n in _stored_names(s)}
    shared = mentioned & loaded_names(rest) & variables
    return not (replaced or shared or _changed_names(definitions) & variables)


def _changed_names(definitions: Iterable[ast.stmt]) -> set[str]:
    """Names whose objects the definitions may change when they are called."""
    changed = set()
    for node in (n for definition in definitions for n in ast.walk(definition)):
        if isinstance(node, ast.Global):
            changed |= set(node.names)
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)):
            changed |= {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
    return changed
