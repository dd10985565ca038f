"""The vendor's own, unmodified SDK as a host of an emulated laboratory, for tests."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from real_env.lab.client import LabProcess

MISSING = "this test needs the vendor's SDK: pip install 'iker[real]'"
PATIENCE_S = 20.0


def wait_for(what: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Has it become true within a time?"""
    deadline = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def connected(lab: LabProcess, **options) -> Iterator:
    """An XArmAPI on a lab; what the SDK changes for the whole process is put back."""
    pytest.importorskip("xarm", reason=MISSING)
    from xarm.core.config.x_config import XCONF
    from xarm.core.utils.log import logger
    from xarm.wrapper import XArmAPI

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(XCONF.SocketConf, "TCP_CONTROL_PORT", lab.card["command_port"])
        logger.setLevel("CRITICAL")
        arm = XArmAPI(lab.card["ip"], forbid_uds=True, **options)
        socket.setdefaulttimeout(None)
        try:
            assert arm.connected
            yield arm
        finally:
            arm.disconnect()
            socket.setdefaulttimeout(None)


def make_ready(arm, mode: int = 0) -> None:
    """Clean, switch on, take a mode, start."""
    arm.clean_error()
    arm.motion_enable(True)
    assert arm.set_mode(mode) == 0
    assert arm.set_state(0) == 0
    assert wait_for(lambda: arm.get_state() == (0, 2) and arm.mode == mode and arm.error_code == 0)
