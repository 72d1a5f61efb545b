"""Data sets behind one interface: what lies in them, and how a picture is read.

data = datasets.open_dataset(path)                  # a folder of identities, or what augment wrote
found = faces.of_dataset(data, ...)                 # landmarks, looked for once and kept in a file
crop = crops.Cropper(data.read, ...).clean(item.original, face.keypoints)
"""

from maskgen.io.datasets import Dataset, Item, open_dataset

__all__ = ["Dataset", "Item", "open_dataset"]
