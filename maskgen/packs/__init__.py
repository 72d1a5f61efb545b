"""Model packs: folders of ONNX files that InsightFace loads."""
