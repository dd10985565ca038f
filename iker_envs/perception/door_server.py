"""The reference server behind the door, made of our own parts: what a server for a big model has to do, and no more.

    python -m iker_envs.perception.door_server --port 8765      over loopback HTTP
    python -m iker_envs.perception.door_server --pipes          over standard input and output

A server for FoundationPose, BundleSDF, AnyGrasp or a SAM runs in an environment of its own, needs only numpy of what is
used here, and replaces one function of HANDLERS; docs/perception-door.md shows each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from scipy.spatial import cKDTree

from iker_envs.perception.board import Board
from iker_envs.perception.door import LENGTH, MAX_BYTES, VERBS, Message, packed, unpacked
from iker_envs.perception.estimator import EstimateRefused
from iker_envs.perception.grasp_cloud import propose_cloud_grasps
from iker_envs.perception.rgbd import RgbdEstimator
from iker_envs.perception.rigid import matrix_of
from iker_envs.perception.scan import scan_object
from iker_envs.perception.scan_folder import save_scan
from iker_envs.perception.shots import shot_of
from iker_envs.perception.surfaces import surface_model
from iker_envs.perception.views import DEPTH_UNIT_M
from iker_envs.scene import Image, Scene, View

Handler = Callable[[Message], Message]
_ON_SURFACE_M = 0.010
_SCAN_BOARD = Board(11, 8, 0.035)


def view_of(question: Message) -> View:
    """The view in a question; ValueError says what is missing."""
    names = question.content.get("cameras")
    if not isinstance(names, list) or not names:
        raise ValueError("the question names no cameras")
    images = {}
    for index, name in enumerate(names):
        rgb = question.array(f"rgb_{index}", (None, None, 3), "u")
        depth = question.array(f"depth_{index}", rgb.shape[:2], "u")
        K = question.array(f"K_{index}", (3, 3))
        pose = question.array(f"T_{index}", (7,))
        images[str(name)] = Image(rgb, depth.astype(float) * DEPTH_UNIT_M, K, pose)
    return View(images, str(names[0]))


def poses(question: Message) -> Message:
    """Poses of the scene's movable objects by `RgbdEstimator`."""
    scene = Scene.from_dict(question.content["scene"])
    estimator = RgbdEstimator()
    last = question.content.get("last") or {}
    estimator.remember({name: np.array(pose, dtype=float) for name, pose in last.items()})
    try:
        found = estimator.estimate(view_of(question), scene)
    except EstimateRefused as refusal:
        found = refusal.estimates
        missing = {name: str(refusal) for name in scene.movable if name not in found}
        doubted = {name: e.why for name, e in found.items() if e.why}
        stranger = {} if missing or doubted else {name: str(refusal) for name in scene.movable}
        refused = {**missing, **doubted, **stranger}
    else:
        refused = {}
    told = {name: {"pose": e.pose.tolist(), "confidence": e.confidence} for name, e in found.items()}
    return Message({"poses": told, "refused": refused})


def masks(question: Message) -> Message:
    """For every pixel the object on whose surface its point lies, as far as an object is found beyond doubt.

    It tells objects apart by their models, which a SAM would not need; ValueError asks for the scene.
    """
    view = view_of(question)
    if "scene" not in question.content:
        raise ValueError("the reference server tells objects apart by their models: send the scene")
    scene = Scene.from_dict(question.content["scene"])
    names = question.content["objects"]
    if unknown := sorted(set(names) - set(scene.movable)):
        raise ValueError(f"the scene has no movable object {unknown[0]!r}, only: {', '.join(scene.movable)}")
    try:
        found = RgbdEstimator().estimate(view, scene)
    except EstimateRefused as refusal:  # who asked judges for itself; what is doubted stays unknown
        found = {name: e for name, e in refusal.estimates.items() if not e.why}
    arrays = {}
    for index, (name, image) in enumerate(view.cameras.items()):
        shot = shot_of(name, image, image.depth_m.shape[1])
        seen = shot.depth > 0
        points = shot.points(seen)
        distance = np.full((len(names), len(points)), np.inf)
        for k, obj in enumerate(names):
            if obj not in found:
                continue
            model = surface_model(scene.object(obj).model)
            pose = matrix_of(found[obj].pose)
            body = (points - pose[:3, 3]) @ pose[:3, :3]
            near = (np.abs(body) < scene.object(obj).model.size_m / 2 + _ON_SURFACE_M).all(axis=1)
            distance[k, near] = cKDTree(model.points).query(body[near])[0]
        mask = np.full(seen.shape, -1, np.int16)
        mask[seen] = np.where(distance.min(axis=0) < 2 * _ON_SURFACE_M, distance.argmin(axis=0), -1)
        arrays[f"mask_{index}"] = mask
    return Message({}, arrays)


def grasps(question: Message) -> Message:
    """Antipodal grasps of a cloud."""
    points = question.array("points", (None, 3), "f").astype(float)
    normals = question.array("normals", (len(points), 3), "f").astype(float)
    others = question.array("others", (None, 3), "f").astype(float)
    found = propose_cloud_grasps(points, normals, others, Scene.from_dict(question.content["scene"]))
    told = [{"tcp_pose": g.tcp_pose.tolist(), "width_m": g.width_m, "score": g.score} for g in found.grasps]
    return Message({"grasps": told, "reason": found.reason})


def mesh(question: Message) -> Message:
    """A mesh of what stands on the marker board (A3: 11 x 8 squares of 35 mm), from pictures around it."""
    count = question.content.get("num_pictures")
    if not isinstance(count, int) or not 0 < count <= 500:
        raise ValueError("num_pictures is 1 to 500")
    pairs = []
    for index in range(count):
        rgb = question.array(f"rgb_{index}", (None, None, 3), "u")
        pairs.append((rgb, question.array(f"depth_{index}", rgb.shape[:2], "u") * DEPTH_UNIT_M))
    with tempfile.TemporaryDirectory(prefix="iker-scan-") as folder:
        made = scan_object(save_scan(folder, pairs, question.array("K", (3, 3)), _SCAN_BOARD))
    arrays = {"vertices": made.vertices, "faces": made.faces.astype(np.int32), "colours": made.colours}
    return Message({}, {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in arrays.items()})


HANDLERS: Mapping[str, Handler] = {"poses": poses, "masks": masks, "grasps": grasps, "mesh": mesh}


def answer(body: bytes, handlers: Mapping[str, Handler] = HANDLERS) -> tuple[bytes, bool]:
    """The answer to the bytes of a question, and whether it is one; what goes wrong is told, a server goes on."""
    try:
        question = unpacked(body)
        verb = question.content.get("verb")
        if not isinstance(verb, str) or verb not in handlers:
            raise ValueError(f"this server answers {', '.join(handlers)}, not {verb!r}")
        return packed(handlers[verb](question)), True
    except (ValueError, KeyError, TypeError, ImportError) as error:
        told = f"{type(error).__name__} {error}" if isinstance(error, (KeyError, TypeError)) else str(error)
        return packed(Message({"error": told})), False


def make_server(port: int = 0, handlers: Mapping[str, Handler] = HANDLERS) -> ThreadingHTTPServer:
    """A server on 127.0.0.1; port 0 takes a free one."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if length > MAX_BYTES or self.path.rsplit("/v1/", 1)[-1] not in VERBS:
                self.send_error(404 if length <= MAX_BYTES else 413)
                return
            told, is_good = answer(self.rfile.read(length), handlers)
            self.send_response(200 if is_good else 400)
            self.send_header("Content-Type", "application/x-npz")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: object) -> None:
            """Questions come many times a second: nothing is printed of each."""

    return ThreadingHTTPServer(("127.0.0.1", port), Answers)


def serve_pipes(handlers: Mapping[str, Handler] = HANDLERS) -> None:
    """Answer what comes on standard input until it ends; only answers go to standard output."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        told, _ = answer(source.read(LENGTH.unpack(head)[0]), handlers)
        target.write(LENGTH.pack(len(told)) + told)
        target.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C, or until the pipe ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--pipes", action="store_true")
    options = parser.parse_args(arguments)
    if options.pipes:
        serve_pipes()
        return
    server = make_server(options.port)
    print(f"answers at http://127.0.0.1:{server.server_port} until Ctrl-C", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
