"""Package metadata. Tool settings live in pyproject.toml, tested versions in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

AGENT = [
    "torch>=2.6",
    "skrl>=2.1,<3",
    "safetensors>=0.4",
    "omegaconf>=2.4.0",
    "typer>=0.15",
    "rich>=13",
    "jinja2>=3.1",
    "matplotlib>=3.9",
    "imageio[ffmpeg]>=2.36",
]
VLM = ["openai>=1.60,<4"]
MESH = ["trimesh>=4.5", "coacd>=1.0.5"]
EXAMPLES = ["stable-baselines3>=2.7", "torchrl>=0.14"]
TEST = [
    "pytest>=8",
    "hypothesis>=6.100",
    "array-api-strict>=2.2",
    "ruff>=0.12",
    "setuptools>=77",
    "wheel>=0.45",
    "pytest-xdist>=3.6",
]

setup(
    name="iker",
    version="0.1.0",
    description="Iterative keypoint rewards: Gymnasium environments and an agent for vision-language manipulation",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["iker_envs*", "iker_agent*", "real_env*"]),
        "iker_cfg",
        *(f"iker_cfg.{name}" for name in find_packages("cfg")),
    ],
    package_dir={"iker_cfg": "cfg"},
    package_data={
        "iker_cfg": ["*.yaml", "policies/*.safetensors"],
        "iker_cfg.disturbances": ["*.yaml"],
        "iker_cfg.presets": ["*.yaml"],
        "iker_cfg.prompts": ["*.md"],
        "iker_cfg.tasks": ["*.yaml"],
        "iker_agent.records": ["*.j2"],
    },
    install_requires=[
        "gymnasium>=1.1",
        "mujoco>=4.0",
        "numpy>=2.0",
        "scipy>=1.13",
        "array-api-compat>=1.11",
        "pyyaml>=6.0",
        "pillow>=10.1",
    ],
    extras_require={
        "agent": AGENT,
        "examples": [*AGENT, *EXAMPLES],
        "mesh": MESH,
        "vlm": [*AGENT, *VLM],
        "test": [*AGENT, *EXAMPLES, *MESH, *VLM, *TEST],
    },
    entry_points={"console_scripts": ["iker = iker_agent.cli:main"]},
)
