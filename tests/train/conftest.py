"""Masks that are put on while loading, and what is trained."""

import pytest

from maskgen import parallel
from maskgen.recognition import faces


@pytest.fixture(autouse=True)
def nothing_lies_in_front(monkeypatch):
    """Pictures made by code are no faces: the network would take them for things in front of one."""
    pytest.importorskip("torch", reason="training needs the extra [train]")
    from maskgen.train import collection

    monkeypatch.setattr(faces, "_parser", lambda detectors: None)
    # What is replaced here is not replaced in other processes.
    monkeypatch.setattr(collection, "LocalExecutor", lambda workers: parallel.InProcess())


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The ONNX file of a tiny network, see `small_networks.written`."""
    from small_networks import written

    return written(tmp_path_factory.mktemp("base") / "w600k_tiny.onnx")
