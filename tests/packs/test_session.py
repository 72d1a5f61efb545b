"""InsightFace is imported without what it has beside its networks."""

import subprocess
import sys

_IMPORT = """
import sys, types
renderer = types.ModuleType("albumentations")  # as if it were installed
sys.modules["albumentations"] = renderer
from maskgen.packs.find import BUNDLED, pack_dir
from maskgen.packs.session import face_analysis
app = face_analysis(pack_dir(BUNDLED), ["detection"], "cpu")
"""


def said_by(code):
    return subprocess.run(
        [sys.executable, "-c", _IMPORT + code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_a_detector_brings_no_scipy_no_downloads_and_no_renderer():
    assert (
        said_by("""
for name in ("scipy", "skimage.transform", "requests", "urllib3", "insightface.app.mask_renderer"):
    print(name in sys.modules)
""")
        == ["False"] * 5
    )


def test_what_was_postponed_is_there_for_those_who_use_it():
    assert (
        said_by("""
import numpy as np, requests, skimage.transform
from insightface.addons import catalog, liveness
from insightface.utils import face_align
print(type(liveness.SimilarityTransform(scale=2)).__module__.startswith("skimage."))
print(face_align.trans.SimilarityTransform is skimage.transform.SimilarityTransform)
print(face_align.transform(np.zeros((9, 9, 3), np.uint8), (4, 4), 8, 1.0, 0)[0].shape == (8, 8, 3))
print(catalog.requests.get is requests.get)
""")
        == ["True"] * 4
    )
