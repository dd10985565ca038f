"""Colour and depth pictures of an object on the marker board, all around it, as a D435-like camera takes them."""

from pathlib import Path

import mujoco
import numpy as np
from board_pictures import picture_of

from iker_envs.optics import default_cameras, look_at
from iker_envs.perception.board import Board
from iker_envs.perception.rigid import inverse, matrix_of
from iker_envs.perception.scan_folder import ScanPictures, save_scan
from iker_envs.physics.mujoco_model import build_model
from iker_envs.pictures.camera import render
from iker_envs.pictures.sensor_noise import NoisyCameras, SensorNoise
from iker_envs.scene import ObjectModel, Scene, SceneObject, upright_pose

BOARD = Board(11, 8, 0.035)  # A3
MIDDLE = np.array([0.5, 0.0, 0.0])


def take(folder: Path, model: ObjectModel, num: int = 24, yaw_rad: float = 0.1, seed: int = 0) -> ScanPictures:
    """`num` pictures of the object standing on the board, its front to the board's right, a little askew."""
    thing = SceneObject(model, upright_pose(MIDDLE + np.array([0.005, -0.004, model.size_m[2] / 2]), yaw_rad))
    scene = Scene((thing,), default_cameras(), np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]]))
    physics = build_model(scene, visuals=True)
    data = mujoco.MjData(physics)
    mujoco.mj_kinematics(physics, data)
    rng = np.random.default_rng(seed)
    sensor = NoisyCameras(SensorNoise(), seed)
    board = np.eye(4)
    board[:3, 3] = MIDDLE
    pairs = []
    for index in range(num):
        around = 2 * np.pi * index / num + rng.normal(0, 0.05)
        rise = np.deg2rad((28, 45, 62)[index % 3])
        away = 0.52 * np.array([np.cos(around) * np.cos(rise), np.sin(around) * np.cos(rise), np.sin(rise)])
        camera = look_at("scanner", MIDDLE + away, MIDDLE + np.array([0, 0, 0.03]), up=(0.0, 0.0, 1.0))
        exact = render(physics, data, scene, camera, gripper=False, shadows=False)
        page = picture_of(BOARD, inverse(matrix_of(camera.pose_world)) @ board, exact.K, (camera.width, camera.height))
        rgb = np.where((exact.segmentation == 0)[..., None], exact.rgb, page)
        exact = type(exact)(rgb, exact.depth_m, exact.K, exact.T_world_cam, 0.0, exact.segmentation)
        noisy = sensor.pictures({"scanner": exact})["scanner"]
        pairs.append((np.asarray(noisy.rgb), np.asarray(noisy.depth_m)))
    return save_scan(folder, pairs, np.asarray(exact.K), BOARD)
