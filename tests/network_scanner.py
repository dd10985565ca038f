"""A network camera, a process of its own, that shows a scan's pictures one after the other: as if carried around it.

`python -m tests.network_scanner FOLDER SERIAL SECONDS` prints a line when it can be found; ends with its input.
"""

import sys
import threading
import time

from iker_envs.perception.scan_folder import load_scan
from real_env.lab.network_camera import NetworkCamera
from real_env.realsense import LAB_CONTEXT, LAB_DOMAIN, load_realsense

RATE_HZ = 10


def main(folder: str, serial: str, seconds: float) -> None:
    pictures = load_scan(folder)
    shown = [pictures.picture(k) for k in range(len(pictures.files))]
    height, width = shown[0].depth_m.shape
    K = pictures.K.copy()
    K[:2, 2] -= 0.5  # the vendor's pixel centres are at integers
    load_realsense()
    import pyrealsense2.pyrealdds as dds

    participant = dds.participant()
    participant.init(LAB_DOMAIN, "iker-scanner", {"udp": LAB_CONTEXT["dds"]["udp"]})
    device = NetworkCamera(dds, participant, {"serial": serial, "width": width, "height": height, "K": K.tolist()})
    closed = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), closed.set()), daemon=True).start()
    device.broadcast()
    print("ready", flush=True)
    began_s = None
    while not closed.wait(1 / RATE_HZ):
        if not device.wanted:
            continue
        began_s = began_s or time.monotonic()
        index = int((time.monotonic() - began_s) / seconds * len(shown)) % len(shown)
        device.take(shown[index].rgb, shown[index].depth_m)
        device.publish()
    device.disconnect()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
