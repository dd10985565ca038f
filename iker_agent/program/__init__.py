"""Programs that a vision-language model wrote: found in its reply, run in isolation, read as data.

In: the text of a reply, then the program in it together with the keypoints (or object poses) of the scene.
Out: a `ProgramResult` with targets, or one sentence saying what is wrong. Nothing that a program does raises
here, and nothing of it runs in this process.
"""

from iker_agent.program.extract import extract_program
from iker_agent.program.result import ProgramResult
from iker_agent.program.runner import run_program

__all__ = ["ProgramResult", "extract_program", "run_program"]
