"""An image to its faces, through InsightFace."""

from maskgen.detect.detector import Detector, DetectorSource, DetectorSpec, FaceDetector

__all__ = ["Detector", "DetectorSource", "DetectorSpec", "FaceDetector"]
