"""Runs a program in the process of the tests: the same language, facades and reading, without the isolation.

For tests whose claim is about what programs may say and how they are read. Whatever may not end, or may take all
memory, belongs into `run_program`, which pays for a process of its own.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from iker_agent.program import ProgramResult
from iker_agent.program.checks import Refused
from iker_agent.program.execution import perform
from iker_agent.program.facades import Facades
from iker_agent.program.language import admit
from iker_agent.program.rows import read_rows
from iker_agent.program.runner import job_for, read_report
from iker_agent.program.signatures import signature_named


def run_here(
    code: str, rows: Mapping[str, Any], contract: str = "keypoints", check_targets: bool = True
) -> ProgramResult:
    """What `run_program` gives for a program that ends by itself."""
    signature = signature_named(contract)
    originals = read_rows(rows, signature.rows, signature.argument)
    job = json.loads(json.dumps(job_for(code, signature, originals)))
    try:
        program = admit(code, signature.function, signature.vocabulary)
    except Refused as refusal:
        answer = {"status": "refused", "message": str(refusal)}
    else:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            facades = Facades(signature.vocabulary, program.imported)
            answer = json.loads(json.dumps(perform(program, facades, job, bytearray())))
    return read_report(answer, signature, originals, check_targets=check_targets)
