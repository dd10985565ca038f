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
# The floors of each package, from the roof down: a module imports from its own floor or from lower ones, nothing else.
# A name is a module of the package, or a room with all its modules.
FLOORS = {
    "iker_envs": (
        ("vec_task",),
        ("env", "vector_env", "user_tasks"),
        ("stage",),
        ("pictures",),
        ("physics",),
        ("perception",),
        ("world", "task"),
        ("judging",),
        ("planning",),
        ("task_file",),
        ("objects",),
        ("sim", "spec", "measure", "optics"),
        ("randomisation", "rewards", "scene", "events", "reach"),
        ("contract", "geometry"),
        ("documents", "components", "priority"),
    ),
    "iker_agent": (
        ("__main__",),
        ("cli",),
        ("commands",),
        ("reproduce",),
        ("voxposer",),
        ("loop", "authoring", "experiments", "sweep"),
        ("acting", "preparing"),
        ("asking",),
        ("seeing",),
        ("records",),
        ("plan", "worlds", "disturb", "learners", "backends"),
        ("execute", "config", "prompt_kinds", "rehearsal"),
        ("learning", "vlm", "program"),
        ("atomic", "limits", "plain_text", "robots"),
    ),
    "real_env": (
        ("entry", "doctor", "calibrating", "scanning"),
        ("world",),
        ("robot", "making"),
        ("planned", "operators", "poses", "sight", "touch"),
        ("stream",),
        ("arm", "cameras", "episode", "requests"),
        ("ik", "recorder", "safety", "self_filter"),
        ("calibration", "config"),
        ("faults",),
        ("lab",),
        ("arm_model",),
        ("kinematics",),
        ("xarm7", "realsense"),
    ),
}
# What a robot machine may use: contracts, numbers, formulas and plans; no engine, no environment, no trainer.
HEAVY = (
    "iker_envs.env",
    "iker_envs.vec_task",
    "iker_envs.vector_env",
    "iker_envs.stage",
    "iker_envs.pictures",
    "iker_envs.physics",
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


def is_light(name: str) -> bool:
    """Is it a module of iker_envs that loads no engine, environment or stage?"""
    return name.split(".")[0] == "iker_envs" and not any(f"{name}.".startswith(f"{room}.") for room in HEAVY)


def light_modules() -> list[str]:
    return [name for name in map(module_name, sources("iker_envs")) if is_light(name)]


def test_the_robot_sees_only_light_modules_of_the_world():
    """The emulated laboratory stands in for metal: it needs the world's physics and pictures, a robot does not."""
    assert imported_from("real_env", "iker_agent") == {}
    robot = [p for p in sources("real_env") if "lab" not in p.relative_to(ROOT).parts]
    used = {module_name(p): n for p in robot for n in imports(p) if n.split(".")[0] == "iker_envs"}
    assert {module: name for module, name in used.items() if not is_light(name)} == {}


def test_light_modules_import_light_modules_only():
    light = [p for p in sources("iker_envs") if is_light(module_name(p))]
    heavy = {module_name(p): n for p in light for n in imports(p) if n.startswith("iker_envs.") and not is_light(n)}
    assert heavy == {}


def floor_of(name: str) -> int:
    """Which floor of its package a module is on, 0 the roof; KeyError if it has none."""
    package, part = name.split(".")[:2]
    return next(i for i, floor in enumerate(FLOORS[package]) if part in floor)


def modules(package: str) -> dict[str, set[str]]:
    """Module -> modules of the same package that it imports, late and TYPE_CHECKING imports included."""
    paths = {module_name(p): p for p in sources(package)}
    return {name: {n for n in imports(path) if n in paths and n != package} for name, path in paths.items()}


@pytest.mark.parametrize("package", FLOORS)
def test_every_module_has_a_floor(package):
    parts = {name.split(".")[1] for name in modules(package) if "." in name}
    planned = [part for floor in FLOORS[package] for part in floor]
    assert sorted(planned) == sorted(set(planned)), "a name stands on one floor"
    assert parts - set(planned) == set()


@pytest.mark.parametrize("package", FLOORS)
def test_imports_run_downwards(package):
    upward = {
        f"{name} -> {other}"
        for name, used in modules(package).items()
        for other in used
        if "." in name and floor_of(other) < floor_of(name)
    }
    assert upward == set()


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a loop."""
    reached = {name: set(used) for name, used in arrows.items()}
    for middle in arrows:
        for name in arrows:
            if middle in reached[name]:
                reached[name] |= reached[middle]
    looping = [name for name in arrows if name in reached[name]]
    return sorted({tuple(sorted(n for n in looping if n in reached[m] and m in reached[n])) for m in looping})


def test_the_finder_of_circles_finds_one():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [("b", "c")]


@pytest.mark.parametrize("package", FLOORS)
def test_no_modules_import_each_other_in_a_circle(package):
    assert circles(modules(package)) == []


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_of_a_package_do_not_import_each_other_in_a_circle(package):
    rooms: dict[str, set[str]] = {}
    for name, used in modules(package).items():
        if "." in name:
            room = name.split(".")[1]
            rooms.setdefault(room, set()).update(other.split(".")[1] for other in used)
    assert circles({room: used - {room} for room, used in rooms.items()}) == []


def loaded_after(statement: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("statement", "banned"),
    [
        ("import iker_envs", {"torch", "mujoco", "iker_envs.env", "iker_envs.scene", "scipy"}),
        ("\n".join(f"import {name}" for name in light_modules()), {"torch", "mujoco", "iker_envs.env", "iker_agent"}),
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
