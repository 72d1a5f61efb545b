"""A face: its landmarks and pose, the mean head it is compared with, its place in an aligned crop."""

from maskgen.face.face import Face, HeadPose

__all__ = ["Face", "HeadPose"]
