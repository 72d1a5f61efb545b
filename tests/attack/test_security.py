"""What SECURITY.md says is so."""

from pathlib import Path

import pytest

from maskgen import formats
from maskgen.catalog import bundle
from maskgen.datasets import (
    pickles,
    recordio,
    recordio_file,
    recordio_index,
    recordio_property,
    sidecars,
    tars,
    verification,
    webdataset,
)
from maskgen.packs import fetch
from tests.attack import fuzz

ROOT = Path(__file__).parents[2]
POLICY = ROOT / ".github" / "SECURITY.md"
TEXT = POLICY.read_text(encoding="utf-8") if POLICY.exists() else ""


@pytest.mark.skipif(not TEXT, reason="the policy is in the checkout, not in the sdist")
def test_the_limits_that_the_policy_names_are_those_of_the_code():
    assert f"{formats.MAX_PIXELS:,} pixels (`--max-pixels`, at most {formats.PILLOW_MAX_PIXELS:,})" in TEXT
    assert formats.max_bytes(1000) == 8 * 1000 + 64 * 2**20
    assert "a file of 8 bytes per pixel and 64 MiB" in TEXT
    assert f"a verification set | {verification.MAX_BYTES // 2**30} GiB" in TEXT
    assert f"; {pickles._MOST_STEPS:,} instructions of its pickle" in TEXT
    assert f"; {recordio_file._MOST_PARTS:,} parts; labels up to {recordio_file.MOST_LABELS - 1:,} |" in TEXT
    beside = recordio_index._LONGEST_LINE // 2**20, recordio._MOST_NAME_BYTES // 2**10
    assert "{} MiB per line of the index; {} KiB per line of `labels.txt`".format(*beside) in TEXT
    assert f"; {recordio_property._MAX_BYTES // 2**10} KiB of `property`" in TEXT
    assert f"{webdataset.MOST_MEMBERS:,} members; {webdataset.MOST_EXTRA_BYTES // 2**20} MiB beside its picture" in TEXT
    assert f"names of {webdataset._LONGEST_NAME:,} characters; {tars.MOST_HEADER_BYTES // 2**10} KiB of headers" in TEXT
    assert f"a pattern of shards | {webdataset.MOST_SHARDS:,} shards" in TEXT
    assert f"`cls` and `json` in a sample | {sidecars.MOST_BYTES // 2**20} MiB" in TEXT
    assert f"{bundle.MAX_ENTRIES:,} entries; {bundle.MAX_FILE_BYTES // 10**6} MB per entry, unpacked" in TEXT
    assert f"a model pack that is fetched | {fetch.MAX_UNPACKED_BYTES // 2**30} GiB unpacked" in TEXT
    assert f"more than {fuzz.MEMORY // 2**30} GiB of memory" in TEXT


def test_the_topic_names_the_packs_whose_hash_is_known_and_those_whose_is_not():
    topic = " ".join((ROOT / "maskgen" / "topics" / "models.md").read_text(encoding="utf-8").split())
    known = [f"`{name}`" for name, sha256 in fetch.KNOWN.items() if sha256 is not None]
    unknown = [f"`{name}`" for name, sha256 in fetch.KNOWN.items() if sha256 is None]
    assert f"SHA-256 of the zip files of {', '.join(known[:-1])} and {known[-1]}, and takes no others" in topic
    assert f"Of {' and '.join(unknown)} it knows none" in topic
