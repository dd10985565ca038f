"""Perception: from a view to object poses. No physics engine, no learning: a robot uses it as a simulation does.

make_estimator(source, noise, rng)  ->  Estimator.estimate(view, models)  ->  {object: Estimate}, or EstimateRefused
"""

from iker_envs.perception.estimator import Estimate, EstimateRefused, Estimator, Segmenter
from iker_envs.perception.fusing import FusedEstimate, FusingEstimator
from iker_envs.perception.making import RGBD_NOISE, SERVER, SOURCES, make_estimator
from iker_envs.perception.truth import PoseNoise, TruthEstimator

__all__ = [
    "RGBD_NOISE",
    "SERVER",
    "SOURCES",
    "Estimate",
    "EstimateRefused",
    "Estimator",
    "FusedEstimate",
    "FusingEstimator",
    "PoseNoise",
    "Segmenter",
    "TruthEstimator",
    "make_estimator",
]
