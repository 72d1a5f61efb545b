"""Train the network behind ``1k3d68.onnx`` and ``2d106det.onnx``: one backbone, 68 points in 3D and 106 in 2D.

The network takes InsightFace's 192x192 crop, averages it to 96x96 and regresses all points at once.
Coordinates are those of InsightFace's ``Landmark.get``: ``x = (output + 1) * 96``.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskgen.arrays import Float32Array, Float64Array, Image, IntArray
from maskgen.catalog.store import Catalog
from maskgen.face import Face
from maskgen.face.landmarks import INDEX_106_OF_68, MIRROR_68, MIRROR_106, bbox_of_points, keypoints_of
from maskgen.face.pose import pose_from_68
from maskgen.masking import blend, choose
from maskgen.masking.augment import worn
from maskgen.masking.light import appearance_of
from maskgen.masking.straps import Photograph
from maskgen.packtraining.data import CROP_OVER_BOX, CROP_SIDE, LandmarkSet
from maskgen.packtraining.trainer import Trainer

INPUT_SIDE: Final = 192
WORK_SIDE: Final = 96
HEAT_SIDE: Final = 12
CROP_FACTOR: Final = 1.5  # InsightFace crops 1.5 times the longer side of the box
# The points of the 106 that the 68 lack; the others share one output.
EXTRA_106: Final = tuple(sorted(set(range(106)) - set(INDEX_106_OF_68)))
OUTPUTS: Final = 68 * 3 + len(EXTRA_106) * 2


def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; the size stays, or is halved by a stride of 2."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity.

    Full convolutions, not depthwise ones: at these widths a CPU does four times the arithmetic in the same time, and
    trains more than twice as fast.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, channels, 3),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        nn.init.zeros_(self.layers[2].weight)  # type: ignore[arg-type]  # begins as the identity

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class LandmarkNet(nn.Module):
    """All landmarks of a 192x192 crop: (B, 3, 192, 192) in [-1, 1] -> (B, OUTPUTS).

    Where a point lies in the picture is the sum of two: its mean place under a heat map of 12x12 cells, the softmax of
    its scores [1]_, and an offset that is regressed from the whole crop. Its depth is regressed alone. The mean place
    is precise where the heat map is narrow, and the offset takes points beyond the edge of the crop.

    References
    ----------
    .. [1] X. Sun et al., "Integral Human Pose Regression", ECCV 2018.
    """

    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.to_12 = nn.Sequential(
            conv(3, 24, 3, 2), conv(24, 40, 3, 2), Residual(40), conv(40, 80, 3, 2), Residual(80), Residual(80)
        )
        self.to_6 = nn.Sequential(conv(80, 128, 3, 2), Residual(128), Residual(128))
        self.to_3 = nn.Sequential(conv(128, 192, 1), conv(192, 192, 3, 2, 192), conv(192, 160, 1))
        self.fine = conv(128, 16, 1)
        self.bottleneck = nn.Sequential(nn.Linear(160 * 9 + 16 * 36, 160, bias=False), nn.BatchNorm1d(160))
        self.points = nn.Linear(160, OUTPUTS)
        nn.init.normal_(self.points.weight, std=0.01)
        nn.init.zeros_(self.points.bias)
        self.lateral = nn.ModuleList(conv(channels, 80, 1) for channels in (80, 128, 160))
        self.smooth = conv(80, 80, 3)
        self.heat = nn.Conv2d(80, 68 + len(EXTRA_106), 1)
        cell = WORK_SIDE / HEAT_SIDE
        centres = (torch.arange(HEAT_SIDE) + 0.5) * cell * (2 / WORK_SIDE) - 1
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        self.register_buffer("grid", torch.stack([columns.flatten(), rows.flatten()], dim=1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 2)  # (B, 3, 96, 96)
        return self.from_96(x)

    def from_96(self, x: Tensor) -> Tensor:
        """The same from a picture already averaged to 96x96."""
        at_12 = self.to_12(x)  # (B, 80, 12, 12)
        at_6 = self.to_6(at_12)  # (B, 128, 6, 6)
        at_3 = self.to_3(at_6)  # (B, 160, 3, 3)
        features = torch.cat([at_3.flatten(1), self.fine(at_6).flatten(1)], dim=1)
        up = self.lateral[1](at_6) + F.interpolate(self.lateral[2](at_3), scale_factor=2.0, mode="nearest")
        up = self.lateral[0](at_12) + F.interpolate(up, scale_factor=2.0, mode="nearest")
        scores = self.heat(self.smooth(up)).flatten(2)  # (B, points, cells)
        # In bfloat16 a coordinate is rounded to a third of a pixel: the last steps are float32.
        with torch.autocast(x.device.type, enabled=False):
            places = scores.float().softmax(dim=2) @ self.grid  # (B, points, 2)
            moves = self.points(self.bottleneck(features.float()))
            in_space = moves[:, :204].unflatten(1, (68, 3)) + F.pad(places[:, :68], (0, 1))
            return torch.cat([in_space.flatten(1), moves[:, 204:] + places[:, 68:].flatten(1)], dim=1)


def targets_of(points_68: Float32Array, points_106: Float32Array) -> Float32Array:
    """Network outputs (OUTPUTS,) for points in pixels of the 96x96 picture."""
    # A pixel centre x of the 96 picture lies at 2 x + 0.5 of the 192 picture, whose outputs are x / 96 - 1.
    p68 = points_68.astype(np.float32) * np.float32(2 / 96)
    p68[:, :2] += 0.5 / 96 - 1
    extra = points_106[list(EXTRA_106)] * np.float32(2 / 96) + np.float32(0.5 / 96 - 1)
    return np.concatenate([p68.ravel(), extra.ravel()])


def paint_mask(crop: Image, points: Float32Array, rng: np.random.Generator) -> Image:
    """A crude mask over the lower face, so that the network learns to find faces that wear one."""
    top = rng.uniform(27.2, 30.0) if rng.random() < 0.85 else rng.uniform(30.0, 33.0)
    upper = points[int(top)] + (points[int(top) + 1] - points[int(top)]) * (top % 1) if top < 30 else points[33]
    first = int(rng.integers(1, 4))
    jaw = points[first : 17 - first].copy()
    centre = points[[30, 33, 62]].mean(axis=0)
    jaw = centre + (jaw - centre) * rng.uniform(0.98, 1.1, (len(jaw), 1)).astype(np.float32)
    jaw[:, 1] += rng.uniform(0, 3)
    cheek = rng.uniform(0.25, 0.6)
    side_left = jaw[0] * (1 - cheek) + upper * cheek + np.array([0, rng.uniform(-1, 6)], np.float32)
    side_right = jaw[-1] * (1 - cheek) + upper * cheek + np.array([0, rng.uniform(-1, 6)], np.float32)
    outline = np.concatenate([jaw, side_right[None], upper[None], side_left[None]])
    alpha = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(alpha, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    if rng.random() < 0.5:
        alpha = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.5, 1.5)))
    colour = _mask_colour(rng)
    layer = np.broadcast_to(colour, crop.shape).astype(np.float32)
    grey = cv2.GaussianBlur(crop.astype(np.float32).mean(axis=2), (0, 0), float(rng.uniform(4, 12)))
    shading = grey / max(float(grey[alpha > 0].mean()) if (alpha > 0).any() else 1.0, 1.0)
    strength = float(rng.uniform(0, 1))
    layer = layer * np.asarray(1 - strength + strength * shading)[..., None]
    if rng.random() < 0.5:  # pleats, folds, prints
        rows = np.arange(crop.shape[0])[:, None] * math.cos(a := rng.uniform(-0.5, 0.5))
        wave = np.sin((rows + np.arange(crop.shape[1])[None] * math.sin(a)) * rng.uniform(0.2, 1.5))
        layer = layer * (1 + rng.uniform(0, 0.2) * wave[..., None])
    if rng.random() < 0.3:
        layer = layer + rng.normal(0, rng.uniform(2, 25), crop.shape)
    opacity = (alpha.astype(np.float32) / 255)[..., None]
    return np.clip(crop * (1 - opacity) + layer * opacity, 0, 255).astype(np.uint8)


def wear_mask(crop: Image, points: Float32Array, catalog: Catalog, rng: np.random.Generator) -> Image:
    """The crop as ``maskgen augment`` would mask it; painted crudely now and then, and where no view fits the pose."""
    face = Face(bbox_of_points(points), keypoints_of(points), points, pose_from_68(points))
    view = choose.choose(catalog, face, rng)
    if view is None or rng.random() < 0.3:
        return paint_mask(crop, points[:, :2], rng)
    bare = Photograph(crop, appearance_of(crop, face))
    overlay = worn(view, face, (crop.shape[1], crop.shape[0]), photograph=bare)
    return blend.over(crop, overlay, bare.appearance, rng).image


def _mask_colour(rng: np.random.Generator) -> Float32Array:
    common = np.array([[140, 190, 220], [235, 235, 235], [30, 30, 32], [120, 180, 160], [200, 160, 170]], np.float32)
    if rng.random() < 0.7:
        return np.clip(common[rng.integers(len(common))] + rng.normal(0, 20, 3), 0, 255).astype(np.float32)
    return rng.uniform(0, 255, 3).astype(np.float32)


class Augmented(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Crops turned, moved, resized, mirrored, masked and degraded; each pass draws anew.

    Attributes
    ----------
    epoch : int
        The pass.
    harshness : float
        Pictures are degraded this much, 1 or less.
    """

    def __init__(self, faces: LandmarkSet, rows: IntArray, catalog: Catalog, seed: int) -> None:
        self.faces, self.rows, self.catalog, self.seed = faces, rows, catalog, seed
        self.epoch, self.harshness = 0, 1.0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        row = int(self.rows[item])
        rng = np.random.default_rng((self.seed, self.epoch, item))
        crop = self.faces.crops[row]
        p68, p106 = self.faces.points_68[row], self.faces.points_106[row]
        if rng.random() < 0.45:
            crop = wear_mask(crop, p68, self.catalog, rng)
        scale = WORK_SIDE / (CROP_SIDE * CROP_FACTOR / CROP_OVER_BOX) * float(np.exp(rng.normal(0, 0.1)))
        angle = float(rng.normal(0, 12) if rng.random() < 0.9 else rng.uniform(-60, 60))
        shift = rng.uniform(-0.09, 0.09, 2) * WORK_SIDE
        image, p68, p106 = place(crop, p68, p106, scale, angle, shift, bool(rng.random() < 0.5))
        return to_tensor(degrade(image, rng, self.harshness)), torch.from_numpy(targets_of(p68, p106))


def samples(faces: LandmarkSet, count: int) -> list[Float32Array]:
    """Some (3, 96, 96) pictures as training sees them."""
    rows = np.random.default_rng(0).permutation(np.flatnonzero(~faces.held_out))[:count]
    data = Augmented(faces, rows, Catalog.load(), seed=1)
    return [data[i][0].numpy() for i in range(len(rows))]


def place(
    crop: Image,
    p68: Float32Array,
    p106: Float32Array,
    scale: float,
    angle_deg: float,
    shift: Float64Array,
    mirror: bool,
) -> tuple[Image, Float32Array, Float32Array]:
    """The 96x96 picture and its points: turned clockwise, resized, moved, mirrored."""
    c, s = scale * math.cos(math.radians(angle_deg)), scale * math.sin(math.radians(angle_deg))
    centre, middle = (CROP_SIDE - 1) / 2, (WORK_SIDE - 1) / 2
    matrix = np.array([[c, -s, 0], [s, c, 0]], np.float32)
    matrix[:, 2] = middle + shift - matrix[:, :2] @ np.array([centre, centre], np.float32)
    image = cv2.warpAffine(crop, matrix, (WORK_SIDE, WORK_SIDE), flags=cv2.INTER_LINEAR)
    q68 = np.concatenate([p68[:, :2] @ matrix[:, :2].T + matrix[:, 2], p68[:, 2:] * np.float32(scale)], axis=1)
    q106 = p106 @ matrix[:, :2].T + matrix[:, 2]
    if mirror:
        image = np.ascontiguousarray(image[:, ::-1])
        q68, q106 = q68[list(MIRROR_68)], q106[list(MIRROR_106)]
        q68[:, 0], q106[:, 0] = WORK_SIDE - 1 - q68[:, 0], WORK_SIDE - 1 - q106[:, 0]
    return image, q68.astype(np.float32), q106.astype(np.float32)


def degrade(image: Image, rng: np.random.Generator, harshness: float = 1.0) -> Image:
    """Colour, light, blur, small size, noise and erased blocks, each now and then; more often if harsher."""
    x = photographed(image, rng, harshness)
    if rng.random() < 0.35 * harshness:
        w, h = rng.integers(8, 44, 2)
        left, top = rng.integers(-8, WORK_SIDE, 2)
        block = x[max(top, 0) : max(top + h, 0), max(left, 0) : max(left + w, 0)]
        block[:] = rng.uniform(0, 255, 3) if rng.random() < 0.5 else rng.uniform(0, 255, block.shape)
    return x


def photographed(image: Image, rng: np.random.Generator, harshness: float = 1.0) -> Image:
    """A square picture in other colours and light, blurred, made small and noisy, each now and then."""
    side = image.shape[0]
    if rng.random() < 0.15 * harshness:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.3 * harshness:
        size = int(rng.integers(20, 80))
        small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    elif rng.random() < 0.2 * harshness:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 2.0)))
    x = image.astype(np.float32)
    if rng.random() < 0.7 * harshness:
        x = (x - 127) * float(np.exp(rng.normal(0, 0.25))) + 127 + float(rng.normal(0, 25))
        x = x * np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    if rng.random() < 0.25 * harshness:  # light from one side
        ramp = np.linspace(-1, 1, side, dtype=np.float32)
        ramp2 = ramp[None] * math.cos(a := rng.uniform(0, 2 * math.pi)) + ramp[:, None] * math.sin(a)
        x = x * np.exp(ramp2 * rng.uniform(0.2, 1.0))[..., None]
    if rng.random() < 0.2 * harshness:
        x = x + rng.normal(0, rng.uniform(2, 14), x.shape).astype(np.float32)
    return np.clip(x, 0, 255).astype(np.uint8)


def to_tensor(image: Image) -> Tensor:
    """(3, H, W) as InsightFace feeds it: (RGB - 127.5) / 128."""
    return (torch.from_numpy(image).permute(2, 0, 1).float() - 127.5) / 128


def turned_weights(faces: LandmarkSet, rows: IntArray) -> Float64Array:
    """Shares (R,) in which to draw some faces: those turned by 60 degrees three times as often as frontal ones."""
    yaw = np.array([abs(pose_from_68(faces.points_68[row]).yaw) for row in rows])
    weights = 1 + np.clip((yaw - 20) / 20, 0, 2)
    return weights / weights.sum()


def point_weights() -> Tensor:
    """(OUTPUTS,) weights: the points that masks hang on count double, depth counts half."""
    w = np.ones((68, 3), np.float32)
    w[:17] = w[27:36] = 1.5
    w[:, 2] = 0.4
    return torch.from_numpy(np.concatenate([w.ravel(), np.full(len(EXTRA_106) * 2, 0.7, np.float32)]))


def train(
    faces: LandmarkSet,
    work: Path,
    epochs: int,
    start: Path | None = None,
    batch: int = 128,
    peak: float = 4e-3,
    device: str = "cpu",
    workers: int = 1,
) -> LandmarkNet:
    """Train, or go on from ``work/landmarks_last.pt``; the EMA weights go to ``work/landmarks.pt``.

    A fresh training begins with the weights of ``start``, where given.
    """
    torch.manual_seed(0)
    catalog = Catalog.load()
    catalog.preload()
    rows = np.flatnonzero(~faces.held_out)
    often = turned_weights(faces, rows)
    data = Augmented(faces, rows, catalog, seed=0)
    trainer = Trainer(
        LandmarkNet(),
        start,
        work / "landmarks_last.pt",
        work / "landmarks.pt",
        peak=peak,
        steps=epochs * (len(rows) // batch),
        warm_up=0.1,
        clip=1.0,
        device=device,
    )
    weights = point_weights().to(trainer.device)
    started = time.monotonic()
    while trainer.epoch < epochs:
        data.epoch = trainer.epoch
        data.harshness = 1 - 0.6 * trainer.epoch / epochs  # milder towards the end, because whole pictures are judged
        data.rows = np.random.default_rng(trainer.epoch).choice(rows, len(rows), p=often)
        loader = torch.utils.data.DataLoader(
            data,
            batch,
            drop_last=True,
            num_workers=workers,
            multiprocessing_context="fork",
        )
        trainer.net.train()
        losses = []
        for images, targets in loader:
            images, targets = images.to(trainer.device, memory_format=torch.channels_last), targets.to(trainer.device)
            with trainer.autocast():
                output = trainer.net.from_96(images)  # (B, OUTPUTS)
            loss = (F.smooth_l1_loss(output.float(), targets, beta=0.008, reduction="none") * weights).mean()
            trainer.step(loss)
            losses.append(float(loss.detach()))
        trainer.end_epoch()
        report = evaluate(trainer.average, faces, catalog) if trainer.epoch in (*range(0, epochs, 10), epochs) else {}
        print(
            f"epoch {trainer.epoch}/{epochs} loss {np.mean(losses):.5f} {time.monotonic() - started:.0f}s {report}",
            flush=True,
        )
    return trainer.average


def predict(net: LandmarkNet, images: list[Image]) -> tuple[Float32Array, Float32Array]:
    """Points in pixels of 96x96 pictures: (N, 68, 3), (N, 106, 2)."""
    net.eval()
    device = next(net.parameters()).device
    outputs = []
    with torch.no_grad():
        for start in range(0, len(images), 256):
            batch = torch.stack([to_tensor(im) for im in images[start : start + 256]])
            outputs.append(net.from_96(batch.to(device, memory_format=torch.channels_last)).cpu().numpy())
    flat = np.concatenate(outputs)
    p68 = flat[:, :204].reshape(-1, 68, 3) * np.float32(48)
    p68[..., :2] += 48 - 0.25
    p106 = np.zeros((len(flat), 106, 2), np.float32)
    p106[:, list(INDEX_106_OF_68)] = p68[..., :2]
    p106[:, list(EXTRA_106)] = flat[:, 204:].reshape(len(flat), -1, 2) * 48 + (48 - 0.25)
    return p68, p106


def evaluate(net: LandmarkNet, faces: LandmarkSet, catalog: Catalog) -> dict[str, float]:
    """Mean held-out error in per cent of the distance between the outer eye corners, plain and wearing a mask."""
    figures: dict[str, float] = {}
    rows = np.flatnonzero(faces.held_out)
    for name in ("plain", "masked"):
        images, truth, truth_106 = [], [], []
        for row in rows:
            rng = np.random.default_rng((1, int(row)))
            crop, p68, p106 = faces.crops[row], faces.points_68[row], faces.points_106[row]
            if name == "masked":
                crop = wear_mask(crop, p68, catalog, rng)
            scale = WORK_SIDE / (CROP_SIDE * CROP_FACTOR / CROP_OVER_BOX) * float(np.exp(rng.normal(0, 0.04)))
            shift = rng.normal(0, 0.02, 2) * WORK_SIDE
            image, q68, q106 = place(crop, p68, p106, scale, float(rng.normal(0, 4)), shift, False)
            images.append(image)
            truth.append(q68)
            truth_106.append(q106)
        p68, p106 = predict(net, images)
        t68, t106 = np.stack(truth), np.stack(truth_106)
        # Turned faces have a short eye line in the picture; the distance in space does not shrink.
        eyes = np.linalg.norm(t68[:, 36] - t68[:, 45], axis=1)
        error = np.linalg.norm(p68[..., :2] - t68[..., :2], axis=2) / eyes[:, None]
        figures[name] = round(100 * float(error.mean()), 2)
        figures[f"{name}_jaw"] = round(100 * float(error[:, :17].mean()), 2)
        figures[f"{name}_nose"] = round(100 * float(error[:, 27:36].mean()), 2)
        figures[f"{name}_106"] = round(100 * float((np.linalg.norm(p106 - t106, axis=2) / eyes[:, None]).mean()), 2)
    return figures
