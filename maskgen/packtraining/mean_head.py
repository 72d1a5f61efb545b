"""The mean head that masks are rendered on, measured from the mesh teacher's output on LFW.

``python -m maskgen.packtraining head --data DATA`` writes ``maskgen/face/head.npz``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from maskgen.arrays import Float32Array, Float64Array
from maskgen.face.landmarks import MIRROR_68
from maskgen.packtraining.data import points_of_mesh

OUTER_EYE_DISTANCE_MM = 90.0
"""Distance between the outer eye corners of an adult, about (Farkas 1994: 84 to 98 mm)."""


def mean_head(data: Path, mean_shape: Float32Array) -> dict[str, npt.NDArray[np.generic]]:
    """The symmetric mean of all LFW meshes, in InsightFace's pose frame, millimetres.

    Parameters
    ----------
    data : Path
        The training folder.
    mean_shape : (68, 3) array
        InsightFace's ``meanshape_68.pkl``, whose frame decides what "frontal" is.

    Returns
    -------
    dict
        ``vertices`` (V, 3) x right, y down, z towards the viewer, origin between the outer eye corners;
        ``vertex_ids`` (V,); ``points_68`` (68, 3); ``points_106`` (106, 3).
    """
    with np.load(data / "lfw_mesh.npz") as mesh:
        ids = mesh["vertex_ids"]
        xyz = mesh["xyz"].astype(np.float64)
    xyz[..., 2] *= -1
    p68 = points_of_mesh(xyz.astype(np.float32) * np.array([1, 1, -1], np.float32), ids)[0].astype(np.float64)
    yaw = np.array([_pose(mean_shape, p)[1] for p in p68])
    frontal = np.abs(yaw) < 20
    xyz, p68 = xyz[frontal], p68[frontal]
    centre = p68.mean(axis=1, keepdims=True)
    size = np.linalg.norm(p68 - centre, axis=(1, 2))[:, None, None]
    xyz, p68 = (xyz - centre) / size, (p68 - centre) / size
    # InsightFace's mean shape is a little askew; a face and its mirror image together are not.
    target = mean_shape - mean_shape.mean(axis=0)
    target = (target + (target * [-1, 1, 1])[list(MIRROR_68)]) / 2
    for _ in range(8):  # generalised Procrustes analysis, rotations only
        for i in range(len(xyz)):
            turn, _ = Rotation.align_vectors(target, p68[i])
            xyz[i], p68[i] = turn.apply(xyz[i]), turn.apply(p68[i])
        target = p68.mean(axis=0)
        target = (target + (target * [-1, 1, 1])[list(MIRROR_68)]) / 2
    vertices = xyz.mean(axis=0)
    mirrored = vertices * [-1, 1, 1]
    partner = cKDTree(vertices).query(mirrored)[1]
    vertices = (vertices + mirrored[partner]) / 2
    # Generalised Procrustes leaves the frame free: turn the mean so that InsightFace reads it as frontal.
    for _ in range(6):
        mean_68 = points_of_mesh((vertices * [1, 1, -1]).astype(np.float32)[None], ids)[0][0]
        pitch, _, _ = _pose(mean_shape, mean_68.astype(np.float64))
        vertices = Rotation.from_euler("x", -pitch, degrees=True).apply(vertices)
    mean_68 = points_of_mesh((vertices * [1, 1, -1]).astype(np.float32)[None], ids)[0][0]
    vertices = vertices - (mean_68[36] + mean_68[45]) / 2
    vertices *= OUTER_EYE_DISTANCE_MM / float(np.linalg.norm(mean_68[36] - mean_68[45]))
    flipped = (vertices * [1, 1, -1]).astype(np.float32)[None]
    p68_mean, p106 = points_of_mesh(flipped, ids)
    z106 = points_of_mesh(np.stack([flipped[..., 2], flipped[..., 1], flipped[..., 0]], axis=-1), ids)[1][0][:, 0]
    points_106 = np.concatenate([p106[0], -z106[:, None]], axis=1)
    return {
        "vertices": vertices.astype(np.float32),
        "vertex_ids": ids,
        "points_68": p68_mean[0],
        "points_106": points_106.astype(np.float32),
    }


def _pose(mean_shape: npt.NDArray[np.floating], points: Float64Array) -> tuple[float, float, float]:
    from insightface.utils import transform

    _, rotation, _ = transform.P2sRt(transform.estimate_affine_matrix_3d23d(mean_shape, points))
    pitch, yaw, roll = transform.matrix2angle(rotation)
    return float(pitch), float(yaw), float(roll)
