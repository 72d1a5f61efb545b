"""A network whose answers can be worked out by hand, and pictures for it: an embedding is the mean colour."""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image


def network(path):
    """An ONNX: the mean of each channel, -1 to 1."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["mean"]), helper.make_node("Flatten", ["mean"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 3, 112, 112))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 3))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def picture(path, angle_deg):
    """An aligned crop whose embedding lies at this angle between red and green: cosines are those of angles between."""
    turn = math.radians(angle_deg)
    colour = [127.5 + 120 * math.cos(turn), 127.5 + 120 * math.sin(turn), 127.5]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((112, 112, 3), colour).round().astype(np.uint8)).save(path)
