"""Which masks take part in a run, and in one that goes on after the catalogs have changed."""

import pytest
from catalogs import small_catalog
from fakes import write_picture

from maskgen import manifest, run
from maskgen.errors import CatalogError, ConfigError
from maskgen.parallel import InProcess
from maskgen.run import worker
from maskgen.run.crew import crew_of
from maskgen.run.plan import prepare


@pytest.fixture
def photographs(tmp_path):
    for number in range(4):
        write_picture(tmp_path / "in" / f"{number}.png", "two_faces")
    return tmp_path / "in"


@pytest.fixture
def mask():
    """Runs a job here; the summary and what was said of masks."""

    def call(job):
        said = []
        summary = run.run(job, executor=InProcess(), on_masks=said.append)
        return summary, said[0]

    return call


def designs_worn(target):
    rows = manifest.read(target / "manifest.jsonl")
    return {one.design for row in rows for variant in row.variants for one in variant.masks}


@pytest.mark.parametrize("designs", [(), ("red", "blue")])
def test_a_run_goes_on_with_its_masks_after_one_was_added(
    photographs, job_of, mask, catalog_dir, hash_of_tree, designs
):
    settings = {"faces": "all", "variants": 3, "designs": designs}
    whole = job_of(photographs, "whole", **settings)
    mask(whole)
    mask(job_of(photographs, "out", execution={"limit": 2}, **settings))
    small_catalog(catalog_dir, {"red": 1, "blue": 2, "new": 50})
    summary, masks = mask(job_of(photographs, "out", **settings))
    assert summary.progress.taken == 2
    assert masks.newer == (() if designs else ("new",))
    assert designs_worn(whole.target) == {"red", "blue"}
    without = {"run.json"}
    assert hash_of_tree(whole.target, without) == hash_of_tree(whole.target.with_name("out"), without)


def test_a_run_that_starts_anew_takes_what_was_added(photographs, job_of, mask, catalog_dir):
    mask(job_of(photographs))
    small_catalog(catalog_dir, {"red": 1, "blue": 2, "new": 50})
    _, masks = mask(job_of(photographs, execution={"existing": "overwrite"}))
    assert (masks.catalog.names, masks.newer) == (("red", "blue", "new"), ())
    assert "new" in designs_worn(job_of(photographs).target)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"red": 1}, r"hash of the catalog: \w+ then, \w+ now \(gone: 'blue'\)"),
        ({"red": 1, "green": 2}, r"\(gone: 'blue'; new: 'green'\)"),
        ({"red": 1, "blue": 3}, r"\(a mask of the same name is another now\)"),
        ({"red": 1, "blue": 3, "green": 1}, r"\(new: 'green'\)"),
    ],
)
def test_a_run_whose_masks_are_gone_or_others_is_refused_and_names_them(
    photographs, job_of, mask, catalog_dir, now, said
):
    mask(job_of(photographs))
    small_catalog(catalog_dir, now)
    with pytest.raises(ConfigError, match=said) as caught:
        mask(job_of(photographs))
    assert "{existing=overwrite}" in caught.value.remedy


def test_a_mask_added_while_a_run_goes_on_takes_no_part_in_it(photographs, job_of, catalog_dir):
    job = job_of(photographs)
    plan = prepare(job)
    plan.target.mkdir()
    with crew_of(job, plan, InProcess()) as crew:
        small_catalog(catalog_dir, {"red": 1, "blue": 2, "new": 50})
        assert worker._tools(crew.task).catalog.names == ("red", "blue")


def test_a_mask_that_changes_while_a_run_goes_on_ends_it(photographs, job_of, catalog_dir):
    job = job_of(photographs)
    plan = prepare(job)
    plan.target.mkdir()
    with crew_of(job, plan, InProcess()) as crew:
        small_catalog(catalog_dir, {"red": 1, "blue": 9})
        with pytest.raises(CatalogError, match="masks have changed since the run began; put them back"):
            crew.work(plan.pending)


def test_run_json_names_the_masks_that_took_part(photographs, job_of, mask):
    job = job_of(photographs, designs=("red",))
    mask(job)
    assert manifest.read_run(job.target / "run.json").designs == ("red",)


def test_a_run_of_an_earlier_maskgen_that_names_no_masks_is_compared_by_their_hash(
    photographs, job_of, mask, catalog_dir
):
    job = job_of(photographs)
    mask(job)
    former = manifest.read_run(job.target / "run.json")
    manifest.write_run(job.target / "run.json", former.model_copy(update={"designs": None}))
    assert mask(job)[0].progress.taken == 0
    manifest.write_run(job.target / "run.json", former.model_copy(update={"designs": None}))
    small_catalog(catalog_dir, {"red": 1, "blue": 2, "new": 50})
    with pytest.raises(ConfigError, match=r"hash of the catalog: \w+ then, \w+ now,? ?[^(]*\)"):
        mask(job)
