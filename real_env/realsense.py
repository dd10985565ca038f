"""The vendor's camera library, loaded with what its wheel leaves out, and where the lab's network cameras are found.

    load_realsense()  ->  the module pyrealsense2           lab_context(rs)  ->  rs.context that sees the lab's cameras
    frames of a pipeline  ->  NewPairs.has  ->  are both pictures new?

The wheel needs libusb-1.0, which many machines lack; the package libusb-package brings one along. The lab's cameras are
the library's own network cameras (DDS) on loopback: a program that knows nothing of the lab sees them, too, once
~/.realsense-config.json holds {"context": <LAB_CONTEXT>}.
"""

from __future__ import annotations

import ctypes
import json
from functools import cache
from importlib import import_module
from typing import Any

LAB_DOMAIN = 77  # of DDS; a number between 0 and 232 that nobody else on this machine uses
_REPLY_MS = 8000  # a camera that starts on a busy machine answers late; the library's own limit is 2000
LAB_CONTEXT = {
    "dds": {
        "enabled": True,
        "domain": LAB_DOMAIN,
        "udp": {"whitelist": ["127.0.0.1"]},
        "device": {"control": {"reply-timeout-ms": _REPLY_MS}},
    }
}
MENDING = "pip install 'iker[real]'"


@cache
def load_realsense() -> Any:
    """The module pyrealsense2; ModuleNotFoundError names the pip line that mends it."""
    try:
        return _imported()
    except ImportError as first:
        try:
            libusb = import_module("libusb_package")
        except ImportError:
            raise ModuleNotFoundError(
                f"pyrealsense2 cannot be loaded ({first}); {MENDING}", name="pyrealsense2"
            ) from None
        ctypes.CDLL(str(libusb.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    try:
        return _imported()
    except ImportError as error:
        raise ModuleNotFoundError(f"pyrealsense2 cannot be loaded ({error}); {MENDING}", name="pyrealsense2") from None


def _imported() -> Any:
    return import_module("pyrealsense2")


def lab_context(rs: Any) -> Any:
    """A context that sees the lab's cameras, some seconds after it was made."""
    return rs.context(json.dumps(LAB_CONTEXT))


class NewPairs:
    """Tells the sets of frames in which colour and depth are both new.

    On a busy machine a pipeline sets a new picture of one stream beside the previous one of the other (6 of 900 sets on
    two cores with four more busy processes), and may go on so where one stream has stopped.
    """

    def __init__(self) -> None:
        self._before: tuple[Any, Any] = (None, None)

    def has(self, frames: Any) -> bool:
        """Are both there, and both others than in the last set of which that was so?"""
        depth, colour = frames.get_depth_frame(), frames.get_color_frame()
        if not depth or not colour:
            return False
        now = _mark(depth), _mark(colour)
        if now[0] == self._before[0] or now[1] == self._before[1]:
            return False
        self._before = now
        return True


def _mark(frame: Any) -> tuple[int, float]:
    return frame.get_frame_number(), frame.get_timestamp()
