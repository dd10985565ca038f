"""What of Python is refused: one check per kind of node, each with a sentence that says what to write instead.

In: a syntax tree of bounded depth and the names of its own classes' attributes. Out: nothing, or `Refused`.
"""

from __future__ import annotations

import ast
import builtins
import string
import sys
from collections.abc import Iterator

from .vocabulary import (
    ATTRIBUTES,
    BUILTINS,
    CONTEXTS,
    DECORATORS,
    GUARDED,
    HINTS,
    MODULES,
    SPECIAL_METHODS,
    Vocabulary,
    words,
)

_NODES = words("""
    Module FunctionDef Lambda arguments arg Return Assign AugAssign AnnAssign For While If Break Continue Pass Expr Try
    ExceptHandler Raise Assert Import ImportFrom alias Delete Nonlocal Global NamedExpr BoolOp BinOp UnaryOp IfExp Dict
    Set ListComp SetComp DictComp GeneratorExp Compare Call JoinedStr FormattedValue Constant Attribute Subscript
    Starred Name List Tuple Slice comprehension keyword Load Store Del And Or Add Sub Mult MatMult Div Mod Pow LShift
    RShift BitOr BitXor BitAnd FloorDiv Invert Not UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
    ClassDef Yield YieldFrom With withitem Match match_case MatchValue MatchSingleton MatchSequence MatchMapping
    MatchClass MatchStar MatchAs MatchOr
    """)
_SPOKEN = {"AsyncFunctionDef": "async def", "Await": "await", "TryStar": "except*", "TypeAlias": "type"}
_CONSTANTS = (str, int, float, bool, type(None), type(...))
_FOREIGN = (frozenset(dir(builtins)) | {"exit", "quit", "help"}) - BUILTINS
_TUPLE_METHODS = frozenset({"_replace", "_asdict", "_fields"})


class Refused(Exception):
    """The program is outside the language; the text is one sentence for model and user."""


def walk(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """All nodes with their depth, without recursion."""
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))


def line_of(node: ast.AST) -> str:
    """ "line 14" """
    return f"line {getattr(node, 'lineno', 1)}"


def bound_names(node: ast.AST) -> list[str]:
    """Names that a node binds somewhere in the program; such a name is not the builtin of the same name."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return [node.name or ""]
    if isinstance(node, ast.MatchMapping):
        return [node.rest or ""]
    return [node.asname or node.name.split(".")[0]] if isinstance(node, ast.alias) else []


def own_names(tree: ast.Module) -> frozenset[str]:
    """Names of attributes that the program's own classes and named tuples have."""
    names: set[str] = set()
    for node, _ in walk(tree):
        if isinstance(node, ast.ClassDef):
            names |= {name for statement in node.body for name in _bound_in_class(statement)}
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            names.add(node.attr)
        elif isinstance(node, ast.Call) and len(node.args) > 1 and _last_name(node.func) == "namedtuple":
            constants = [n.value for n in ast.walk(node.args[1]) if isinstance(n, ast.Constant)]
            texts = [value for value in constants if isinstance(value, str)]
            names |= {name for text in texts for name in text.replace(",", " ").split()} | _TUPLE_METHODS
    return frozenset(name for name in names if not name.startswith("__"))


def _bound_in_class(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef):
        return [statement.name]
    return [name for node in ast.walk(statement) for name in bound_names(node)]


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _hint(name: str) -> str:
    return f"; {HINTS[name]}" if name in HINTS else ""


# ------------------------------------------------------------------------- the program


def check_definition(tree: ast.Module, function: str) -> None:
    """The function is there, takes one argument, and returns."""
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == function]
    if not found:
        raise Refused(f"the program does not define {function} at top level")
    arguments = found[-1].args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    if positional < 1 or required > 1 or None in arguments.kw_defaults:
        raise Refused(f"{line_of(found[-1])}: {function} must take exactly one argument")
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_scope(found[-1])):
        raise Refused(f"{line_of(found[-1])}: {function} must return its values, not yield them")


def _own_scope(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            stack.extend(ast.iter_child_nodes(node))


def check(tree: ast.Module, own: frozenset[str], vocabulary: Vocabulary) -> None:
    """Everything in the tree is allowed; `own` are the attributes of the program's classes."""
    nodes = [node for node, _ in walk(tree)][::-1]  # inner before outer: of np.random.rand the random is the reason
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", sys.maxsize)):
        _check_kind(node, functions)
        if isinstance(node, ast.Import | ast.ImportFrom):
            _check_import(node, vocabulary)
    special = {m for c in classes for m in c.body if isinstance(m, ast.FunctionDef) and m.name in SPECIAL_METHODS}
    bound = {name for node in nodes for name in bound_names(node)}
    for node in nodes:
        _check_names(node, allowed=node in special)
        if isinstance(node, ast.Attribute):
            _check_attribute(node, own, bool(classes))
        elif isinstance(node, ast.Constant):
            _check_constant(node)
        elif isinstance(node, ast.Name) and node.id in _FOREIGN and node.id not in bound:
            raise Refused(f"{line_of(node)}: {node.id} is not available to programs{_hint(node.id)}")


# ---------------------------------------------------------------------- kinds of nodes


def _check_kind(node: ast.AST, functions: set[str]) -> None:
    kind = type(node).__name__
    if kind not in _NODES:
        raise Refused(f"{line_of(node)}: {_SPOKEN.get(kind, kind)} is not allowed in programs")
    match node:
        case ast.comprehension(is_async=1):
            raise Refused(f"{line_of(node.target)}: async for is not allowed in programs")
        case ast.FunctionDef():
            _check_decorators(node, functions)
        case ast.ClassDef():
            _check_decorators(node, functions)
            _check_class(node)
        case ast.Lambda():
            if any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(node)):
                raise Refused(f"{line_of(node)}: yield is not allowed in a lambda; write a function")
        case ast.With():
            _check_with(node)
            _check_no_yield(node)
        case ast.Try():
            _check_no_yield(node)
        case ast.match_case():
            _check_pattern(node.pattern)


def _check_decorators(node: ast.FunctionDef | ast.ClassDef, functions: set[str]) -> None:
    for decorator in node.decorator_list:
        name = _last_name(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if name not in DECORATORS and not (isinstance(decorator, ast.Name | ast.Call) and name in functions):
            spoken = f"the decorator {name}" if name else "this decorator"
            raise Refused(f"{line_of(node)}: {spoken} is not available to programs{_hint(name)}")


def _check_class(node: ast.ClassDef) -> None:
    bases = [_last_name(base) for base in node.bases]
    if node.keywords:
        raise Refused(f"{line_of(node)}: the class {node.name} may have no keywords such as metaclass")
    other = [base for base in bases if base != "object"]
    trivial = all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in node.body
    )
    if other and not (trivial and len(other) == 1):
        raise Refused(
            f"{line_of(node)}: the class {node.name} may have no base class but object"
            f"{_hint(other[0]) or '; write a function, or a class that stands alone'}"
        )
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            _check_method(statement)
        elif not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Pass | ast.Expr):
            raise Refused(f"{line_of(statement)}: a class may hold fields and methods only")


def _check_method(method: ast.FunctionDef) -> None:
    if method.name.startswith("__") and method.name not in SPECIAL_METHODS:
        raise Refused(
            f"{line_of(method)}: the method {method.name} is not allowed in programs; use a method with a name"
        )


def _check_with(node: ast.With) -> None:
    for item in node.items:
        entered = item.context_expr
        if not (isinstance(entered, ast.Call) and _last_name(entered.func) in CONTEXTS) or item.optional_vars:
            raise Refused(f"{line_of(node)}: with is only for np.errstate and np.printoptions in programs")


def _check_no_yield(node: ast.With | ast.Try) -> None:
    """A generator that is given up would run its handlers inside whatever C code dropped it."""
    if any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(node)):
        raise Refused(f"{line_of(node)}: yield is not allowed inside try or with in programs; make a list")


def _check_pattern(pattern: ast.pattern) -> None:
    for node in ast.walk(pattern):
        if isinstance(node, ast.MatchClass) and node.kwd_attrs:
            raise Refused(f"{line_of(node)}: a case cannot look at attributes in programs; use if")
        if isinstance(node, ast.Attribute) and (node.attr not in ATTRIBUTES or node.attr in GUARDED):
            raise Refused(f"{line_of(node)}: a case cannot use {node.attr} in programs; use if")


# -------------------------------------------------------------------------------- names


def _check_names(node: ast.AST, allowed: bool) -> None:
    """No identifier of any kind of node may look special; the parser has normalised Unicode look-alikes before."""
    if isinstance(node, ast.Constant | ast.Attribute | ast.ImportFrom):
        return  # text; names with a check of their own
    for field, value in ast.iter_fields(node):
        if allowed and field == "name":
            continue
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str) and (name.startswith("__") or name.endswith("__")):
                raise Refused(f"{line_of(node)}: the name {name} is not allowed in programs")


def _check_attribute(node: ast.Attribute, own: frozenset[str], has_classes: bool) -> None:
    stored = not isinstance(node.ctx, ast.Load)
    if stored and not has_classes:
        raise Refused(f"{line_of(node)}: setting or deleting the attribute {node.attr} is not allowed in programs")
    if node.attr == "format" and not stored:
        _check_template(node)
    elif node.attr.startswith("__") or (node.attr not in ATTRIBUTES and node.attr not in own):
        raise Refused(f"{line_of(node)}: the attribute {node.attr} is not available to programs{_hint(node.attr)}")


def _check_template(node: ast.Attribute) -> None:
    if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
        raise Refused(f"{line_of(node)}: the attribute format is not available to programs; use an f-string")
    if fault := _template_fault(node.value.value):
        raise Refused(f"{line_of(node)}: format cannot read this text, {fault}; use an f-string")


def _template_fault(template: str) -> str:
    """Why a template of str.format is refused; empty when its fields are places and names only."""
    try:
        fields = [(name, spec) for _, name, spec, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        return str(error)
    for name, spec in fields:
        if name and not name.isdecimal() and (not name.isidentifier() or name.startswith("_")):
            return f"the field {name!r} looks into a value"
        if fault := _template_fault(spec or ""):
            return fault
    return ""


def _check_constant(node: ast.Constant) -> None:
    if not isinstance(node.value, _CONSTANTS):
        raise Refused(f"{line_of(node)}: {type(node.value).__name__} literals are not allowed in programs")


def _check_import(node: ast.Import | ast.ImportFrom, vocabulary: Vocabulary) -> None:
    if isinstance(node, ast.Import):
        wanted: dict[str, list[str]] = {alias.name: [] for alias in node.names}
    else:
        wanted = {"." * node.level + (node.module or ""): [alias.name for alias in node.names]}
    for module, names in wanted.items():
        if module not in vocabulary.modules:
            hint = _hint(module) or _hint(module.split(".")[0])
            raise Refused(f"{line_of(node)}: import of {module} is not allowed; numpy and math are{hint}")
        missing = [name for name in names if name not in MODULES[module]]
        if missing:
            raise Refused(f"{line_of(node)}: {missing[0]} cannot be imported from {module}{_hint(missing[0])}")


def imported_modules(node: ast.AST) -> list[str]:
    """The modules that a node imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
