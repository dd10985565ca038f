"""One RealSense as a network camera of its maker's own library (DDS): other processes see it as a genuine device.

    NetworkCamera(dds, participant, card)  ->  broadcast  ->  wanted?  ->  take, publish  ->  disconnect

Colour goes as YUYV, which librealsense turns into rgb8 or bgr8 as a host asks; depth as 16-bit millimetres. A stream
may be published only after a reader is there; until then `wanted` is false and nothing need be drawn.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from PIL import Image

COLOUR = "Color"
DEPTH = "Depth"
_SENSORS = {COLOUR: "RGB Camera", DEPTH: "Stereo Module"}
_FIRMWARE = "5.16.0.1"
_DEPTH_UNIT_M = 0.001
_EXPOSURE = 156.0  # hundreds of microseconds, as the option has it; pictures look as they are at this
_RATES = (30, 15, 6)
# A host sends a request first and then notes that it waits for the answer (librealsense's write_control_message); an
# answer that comes before the note is dropped, and the host gives up. On loopback an answer can be that quick.
_ANSWER_S = 0.1
_LEVELS = np.arange(256)
_LUMA = np.round(16 + _LEVELS * 219 / 255).astype(np.uint8)  # full range to BT.601's
_CHROMA = np.round(128 + (_LEVELS - 128.0) * 224 / 255).astype(np.uint8)


class NetworkCamera:
    """One camera of the lab."""

    def __init__(self, dds: Any, participant: Any, card: dict[str, Any]) -> None:
        self._dds = dds
        self._size = card["width"], card["height"]
        serial = card["serial"]
        self._info = dds.message.device_info.from_json(
            {
                "name": "Intel RealSense D435",
                "serial": serial,
                "product-line": "D400",
                "fw-version": _FIRMWARE,
                "topic-root": f"realsense/D435_{serial}",
            }
        )
        self._server = dds.device_server(participant, self._info.topic_root)
        self._streams = {
            COLOUR: dds.color_stream_server(COLOUR, _SENSORS[COLOUR]),
            DEPTH: dds.depth_stream_server(DEPTH, _SENSORS[DEPTH]),
        }
        self._encodings = {COLOUR: dds.video_encoding.yuyv, DEPTH: dds.video_encoding.z16}
        self._num_readers = dict.fromkeys(self._streams, 0)
        self._lock = threading.Lock()  # callbacks come on the library's threads
        self._exposure = _EXPOSURE
        self.rate_hz = _RATES[0]  # that a host has asked for
        self.gain = 1.0  # of the lab's light on this camera
        self._light = 1.0  # by which the encoded picture is brighter than the taken one
        self._picture: tuple[np.ndarray, np.ndarray] | None = None
        self._encoded: dict[str, bytearray] = {}
        self._shown = False
        self._prepare(np.array(card["K"]))

    def _prepare(self, K: np.ndarray) -> None:
        dds = self._dds
        for name, stream in self._streams.items():
            profiles = [dds.video_stream_profile(rate, self._encodings[name], *self._size) for rate in _RATES]
            stream.init_profiles(profiles, 0)
            stream.init_options([dds.option.from_json(list(option)) for option in _options(name)])
            stream.set_intrinsics({self._intrinsics(K)})
            stream.on_readers_changed(self._note_readers)
        same = dds.extrinsics()
        same.rotation = tuple(map(float, np.eye(3).ravel()))
        same.translation = (0.0, 0.0, 0.0)
        self._server.on_set_option(self._set_option)
        self._server.on_control(self._control)
        places = {(DEPTH, COLOUR): same, (COLOUR, DEPTH): same}
        self._server.init(list(self._streams.values()), [], places)

    def _intrinsics(self, K: np.ndarray) -> Any:
        found = self._dds.video_intrinsics()
        found.width, found.height = self._size
        found.principal_point.x, found.principal_point.y = float(K[0, 2]), float(K[1, 2])
        found.focal_length.x, found.focal_length.y = float(K[0, 0]), float(K[1, 1])
        found.distortion.model = self._dds.distortion_model.none
        found.distortion.coeffs = [0.0] * 5
        return found

    def _note_readers(self, stream: Any, count: int) -> None:
        with self._lock:
            self._num_readers[stream.name()] = count

    def _control(self, server: Any, control_id: str, control: dict[str, Any], answer: Any) -> bool:
        """Streams may be opened, at one of the offered rates, and closed."""
        time.sleep(_ANSWER_S)
        if control_id == "open-streams":
            rates = [int(profile[0]) for profile in control.get("stream-profiles", {}).values()]
            self.rate_hz = max(rates, default=self.rate_hz)
        return True

    def _set_option(self, stream: Any, option: Any, value: Any) -> None:
        time.sleep(_ANSWER_S)
        if option.get_name() == "Exposure":
            self._exposure = float(value)

    def broadcast(self) -> None:
        """Let hosts find it."""
        if not self._shown:
            self._server.broadcast(self._info)
            self._shown = True

    def disconnect(self) -> None:
        """Vanish, as a camera does whose cable is pulled."""
        if self._shown:
            self._server.broadcast_disconnect()
            self._shown = False

    @property
    def wanted(self) -> bool:
        """Is anybody listening?"""
        with self._lock:
            return self._shown and any(self._num_readers.values())

    def take(self, rgb: np.ndarray, depth_m: np.ndarray) -> None:
        """Another picture: colour (H, W, 3) uint8 and depth (H, W) in metres."""
        self._picture = rgb, depth_m
        self._encoded = {}

    def publish(self) -> None:
        """Send the picture that was taken last, with one new time stamp for colour and depth."""
        stamp = self._dds.now()
        for name, stream in self._streams.items():
            with self._lock:
                is_read = self._num_readers[name] > 0
            if not is_read:
                continue
            if not stream.is_streaming():
                stream.start_streaming(self._encodings[name], *self._size)
            message = self._dds.message.image()
            message.width, message.height = self._size
            message.data = self._data(name)
            message.timestamp = stamp
            stream.publish_image(message)

    def _data(self, stream: str) -> bytearray:
        """The picture as a stream sends it, encoded once."""
        light = self.gain * self._exposure / _EXPOSURE
        if light != self._light:
            self._light = light
            self._encoded = {}
        if stream not in self._encoded:
            assert self._picture is not None, "publish comes after take"
            rgb, depth_m = self._picture
            if stream == COLOUR:
                lit = rgb if light == 1.0 else np.clip(rgb * light, 0, 255).astype(np.uint8)
                image = yuyv(lit)
            else:
                image = np.round(depth_m / _DEPTH_UNIT_M).astype(np.uint16)
            self._encoded[stream] = bytearray(image.tobytes())
        return self._encoded[stream]


def yuyv(rgb: np.ndarray) -> np.ndarray:
    """Colour (H, W, 3) uint8 as YUYV (H, W, 2), BT.601; two neighbours share their chroma."""
    y, cb, cr = (np.asarray(band) for band in Image.fromarray(rgb).convert("YCbCr").split())
    packed = np.empty((*rgb.shape[:2], 2), np.uint8)
    packed[..., 0] = _LUMA[y]
    packed[:, 0::2, 1] = _CHROMA[cb[:, 0::2]]
    packed[:, 1::2, 1] = _CHROMA[cr[:, 1::2]]
    return packed


def _options(stream: str) -> tuple[tuple, ...]:
    """Name, value, least, most, step, default, description."""
    automatic = ("Enable Auto Exposure", 1, 0, 1, 1, 1, "0: the exposure is fixed")
    if stream == DEPTH:
        units = ("Depth Units", _DEPTH_UNIT_M, 1e-06, 0.01, 1e-06, _DEPTH_UNIT_M, "metres of one unit of depth")
        return units, ("Emitter Enabled", 1, 0, 2, 1, 1, "the projector"), automatic
    exposure = ("Exposure", _EXPOSURE, 1, 10000, 1, _EXPOSURE, "hundreds of microseconds")
    return exposure, automatic, ("White Balance", 4600, 2800, 6500, 10, 4600, "kelvin")
