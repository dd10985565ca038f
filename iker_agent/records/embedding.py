"""Pictures and videos as data URIs, so that a page needs no other file.

bytes of a file  ->  image_uri, video_uri      path of a video  ->  poster_uri (its first frame)
"""

from __future__ import annotations

import base64
import io
import logging
from contextlib import closing
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
from PIL import Image

_LOG = logging.getLogger(__name__)
_MAX_IMAGE_BYTES = 1_000_000  # larger pictures are embedded as smaller JPEG
_SHRUNK_PX = 1280
_JPEG_QUALITY = 85


def image_uri(content: bytes) -> str:
    """A PNG as data URI, made smaller where it is large; nothing of nothing."""
    if len(content) > _MAX_IMAGE_BYTES and (smaller := _shrunk(content)):
        return _data_uri(smaller, "image/jpeg")
    return _data_uri(content, "image/png")


def video_uri(content: bytes) -> str:
    """An MP4 as data URI; nothing of nothing."""
    return _data_uri(content, "video/mp4")


def poster_uri(video: Path) -> str:
    """The first frame of a video as data URI; nothing if it cannot be read, the video is then shown without."""
    try:
        with closing(imageio.get_reader(video)) as reader:
            return _data_uri(_jpeg(Image.fromarray(np.asarray(reader.get_data(0)))), "image/jpeg")
    except Exception as error:  # a decoder raises whatever it likes over a broken file
        _LOG.warning("%s is shown without its first picture: %s", video, error)
        return ""


def _shrunk(content: bytes) -> bytes:
    """A large picture as smaller JPEG; nothing where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.thumbnail((_SHRUNK_PX, _SHRUNK_PX))
            return _jpeg(image)
    except (OSError, ValueError, Image.DecompressionBombError):
        return b""


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}" if content else ""
