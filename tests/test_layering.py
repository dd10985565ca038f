"""The one rule of imports, and the size of files and functions (read from the source, nothing is run but imports)."""

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("iker_envs", "iker_agent", "real_env", "cfg")
# What a robot machine may use: contracts, numbers and formulas, no physics engine, no environment, no trainer.
LIGHT = frozenset(
    f"iker_envs.{name}"
    for name in (
        *("contract", "geometry", "measure", "observation_docs", "optics", "perception", "randomisation"),
        *("reach", "rewards", "scene", "sim", "spec"),
    )
)
MAX_FILE = 400
MAX_FUNCTION = 60
MEDIAN_FILE = 150
MEDIAN_FUNCTION = 10


def sources(*folders: str) -> list[Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports anywhere in it, also by importlib and inside functions."""
    package = module_name(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(
                [*package[: len(package) - node.level + 1], node.module or ""] if node.level else [node.module]
            )
            base = base.strip(".")
            for name in (f"{base}.{alias.name}" for alias in node.names):
                yield name if is_module(name) else base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str))


def imported_from(folder: str, *packages: str) -> dict[str, str]:
    """Module of the folder -> a module of the packages that it imports."""
    return {
        module_name(path): name for path in sources(folder) for name in imports(path) if name.split(".")[0] in packages
    }


def test_the_reader_of_imports_sees_every_form(tmp_path, monkeypatch):
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "b.py").touch()
    (folder / "a.py").write_text(
        "import x.y as z\nfrom pack import b\nfrom . import b as c\nfrom .b import d\nfrom p.q import r\n"
        "def f():\n    import late\n    importlib.import_module('named')\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert sorted(imports(folder / "a.py")) == ["late", "named", "p.q", "pack.b", "pack.b", "pack.b", "x.y"]


def test_the_world_knows_nothing_of_the_mind_or_the_robot():
    assert imported_from("iker_envs", "iker_agent", "real_env") == {}


def test_the_mind_reaches_a_robot_only_by_environment_id():
    assert imported_from("iker_agent", "real_env") == {}


def test_data_imports_nothing_of_ours():
    assert imported_from("cfg", "iker_envs", "iker_agent", "real_env", "iker_cfg") == {}


def test_the_robot_sees_only_light_modules_of_the_world():
    assert imported_from("real_env", "iker_agent") == {}
    used = {module_name(p): n for p in sources("real_env") for n in imports(p) if n.split(".")[0] == "iker_envs"}
    assert {module: name for module, name in used.items() if name not in LIGHT} == {}


def test_light_modules_import_light_modules_only():
    heavy = {
        name: other
        for name in sorted(LIGHT)
        for other in imports(ROOT.joinpath(*name.split(".")).with_suffix(".py"))
        if other.split(".")[0] == "iker_envs" and other not in LIGHT
    }
    assert heavy == {}


def loaded_after(statement: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("statement", "banned"),
    [
        ("import iker_envs", {"torch", "mujoco", "iker_envs.env", "iker_envs.scene", "scipy"}),
        ("\n".join(f"import {name}" for name in sorted(LIGHT)), {"torch", "mujoco", "iker_envs.env", "iker_agent"}),
        ("import iker_envs.env, iker_envs.vector_env", {"torch", "skrl", "omegaconf", "iker_agent", "real_env"}),
        ("import real_env", {"torch", "mujoco", "iker_agent"}),
        ("import iker_agent", {"torch", "mujoco"}),
        ("import iker_agent.config, iker_agent.program", {"torch", "mujoco", "skrl"}),
    ],
    ids=["iker_envs", "light modules", "environments", "real_env", "iker_agent", "configuration and programs"],
)
def test_imports_stay_small(statement, banned):
    assert banned & loaded_after(statement) == set()


def test_no_module_is_a_drawer_for_everything():
    names = {p.stem for p in sources(*PACKAGES, "tests", "benchmarks", "examples")}
    assert names & {"utils", "util", "helpers", "helper", "misc", "common"} == set()


def test_every_folder_of_modules_is_a_package():
    folders = {p.parent for p in sources(*PACKAGES)}
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_files_are_short():
    lengths = {
        p: len(p.read_text(encoding="utf-8").splitlines())
        for p in sources(*PACKAGES, "tests", "benchmarks", "examples")
    }
    assert {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > MAX_FILE} == {}
    assert statistics.median(lengths[p] for p in sources(*PACKAGES) if lengths[p] > 1) <= MEDIAN_FILE


def function_lengths(path: Path) -> dict[str, int]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return {f"{path.relative_to(ROOT)}:{f.lineno} {f.name}": f.end_lineno - f.lineno + 1 for f in functions}


def test_functions_are_short():
    ours = {k: n for p in sources(*PACKAGES) for k, n in function_lengths(p).items()}
    others = {k: n for p in sources("tests", "benchmarks", "examples") for k, n in function_lengths(p).items()}
    assert {k: n for k, n in {**ours, **others}.items() if n > MAX_FUNCTION} == {}
    assert statistics.median(ours.values()) <= MEDIAN_FUNCTION


def test_every_module_says_what_it_is_for():
    silent = [
        module_name(p) for p in sources(*PACKAGES) if not (ast.get_docstring(ast.parse(p.read_text("utf-8"))) or "")
    ]
    assert silent == []
