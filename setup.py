"""Which packages are installed: all folders of modules, and cfg/ as iker_cfg. Metadata is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["iker_envs*", "iker_agent*", "real_env*"]),
        "iker_cfg",
        *(f"iker_cfg.{name}" for name in find_packages("cfg")),
    ],
    package_dir={"iker_cfg": "cfg"},
    package_data={
        "iker_agent": ["py.typed"],
        "iker_agent.records": ["*.j2"],
        "iker_cfg": ["*.yaml", "policies/*.safetensors", "cassettes/*/calls.jsonl"],
        "iker_cfg.disturbances": ["*.yaml"],
        "iker_cfg.items": ["*.yaml"],
        "iker_cfg.presets": ["*.yaml"],
        "iker_cfg.prompts": ["*.md"],
        "iker_cfg.tasks": ["*.yaml"],
        "iker_envs": ["py.typed"],
        "real_env": ["py.typed"],
    },
)
