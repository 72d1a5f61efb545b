"""A picture file is read only if it is a file, and no larger than a picture can be."""

import os
import subprocess
import sys

import pytest
from pictures import saved, smooth

from maskgen import formats, images
from maskgen.datasets.base import Entry
from maskgen.datasets.folder import FolderReader
from maskgen.errors import ImageError


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="tells its peak of memory on Linux only")
def test_a_file_larger_than_any_picture_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(saved(smooth(), "JPEG"))
    os.truncate(path, 3 * 2**30)  # sparse
    code = (
        "import sys; from pathlib import Path; from maskgen import images\n"
        "try: images.read_bytes(Path(sys.argv[1]))\n"
        "except Exception as error: print(error)\n"
        # Other measures of the peak count what the parent needed before.
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    said, peak_kb = done.stdout.splitlines()
    assert "3,221,225,472 bytes, more than the" in said
    assert int(peak_kb) < 200_000


def test_the_remedy_names_the_limit_where_it_is_a_setting(tmp_path):
    path = tmp_path / "x.jpg"
    path.touch()
    os.truncate(path, formats.max_bytes(1000) + 1)
    with pytest.raises(ImageError, match="more than the") as caught:
        images.read_bytes(path, 1000)
    assert "{max_pixels}" in caught.value.remedy
    assert images.read_bytes(path, 1001)
    assert images.read_bytes(path)


def test_the_largest_picture_within_the_limits_may_be_read(tmp_path):
    path = tmp_path / "x.jpg"
    path.touch()
    os.truncate(path, formats.max_bytes(1000))
    assert len(images.read_bytes(path, 1000)) == formats.max_bytes(1000)
    assert formats.max_bytes(1000) > 8 * 1000


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), lambda path: os.mkfifo(path), os.mkdir])
def test_what_is_no_file_is_refused_and_never_waited_for(make, tmp_path):
    make(tmp_path / "x.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        images.read(tmp_path / "x.jpg")
    with pytest.raises(ImageError, match=r"^x\.jpg: cannot be read: not a regular file"):
        FolderReader(tmp_path).read(Entry("x.jpg"))


def test_a_link_to_a_picture_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(saved(smooth(), "PNG"))
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert images.read(tmp_path / "b.png").pixels.shape == (32, 48, 3)


def test_a_reader_refuses_files_by_its_own_limit(tmp_path):
    path = tmp_path / "x.jpg"
    path.touch()
    os.truncate(path, formats.max_bytes(10) + 1)
    with pytest.raises(ImageError, match=r"^x\.jpg: [\d,]+ bytes, more than"):
        FolderReader(tmp_path, max_pixels=10).read(Entry("x.jpg"))


def test_a_file_that_is_not_one_picture_may_be_of_any_size(tmp_path):
    path = tmp_path / "x.bin"
    path.touch()
    os.truncate(path, formats.max_bytes(10) + 1)
    assert images.read_bytes(path, 10, any_size=True)
