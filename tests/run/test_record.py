"""What a job asks of its detector."""

from pathlib import Path

import pytest

from maskgen import run
from maskgen.run.record import detectors_of


@pytest.mark.parametrize(
    ("settings", "bystanders", "small_faces"),
    [
        ({"faces": "largest"}, False, False),
        ({"faces": "central"}, False, False),
        ({"faces": "all"}, True, False),
        ({"faces": "largest", "small_faces": True}, True, True),
    ],
)
def test_bystanders_are_looked_for_where_they_may_get_masks(settings, bystanders, small_faces):
    spec = detectors_of(run.Job(Path("in"), Path("out"), run.AugmentSettings(**settings)))
    assert (spec.bystanders, spec.small_faces) == (bystanders, small_faces)


@pytest.mark.parametrize("faces", ["largest", "central", "all"])
def test_the_central_face_is_looked_for_where_it_gets_the_mask(faces):
    spec = detectors_of(run.Job(Path("in"), Path("out"), run.AugmentSettings(faces=faces)))
    assert spec.central == (faces == "central")


def test_crops_hold_no_small_faces_to_look_for():
    with pytest.raises(ValueError, match="small_faces"):
        run.AugmentSettings(aligned=True, small_faces=True)
