"""The page in a browser: from a file, on a narrow screen, dark and light, by keyboard, without an error."""

import shutil

import pytest
from fakes import mask
from metrics_files import metrics

from maskgen.report.page import page

webdriver = pytest.importorskip("selenium.webdriver", reason="the page is tried in a browser through selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver here")


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER)) as driver:
        yield driver


@pytest.fixture
def opened(browser, job_of, tree, tmp_path):
    """Opens the page on a run and a training, as wide and in such colours as is asked for."""
    import json

    mask(job_of(tree))
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "metrics.json").write_text(json.dumps(metrics()))
    (tmp_path / "page.html").write_text(page([tmp_path / "out", tmp_path / "trained"]), encoding="utf-8")

    def open_(width, scheme="light"):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get((tmp_path / "page.html").as_uri())
        return browser

    return open_


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_and_the_console_is_empty(width, opened):
    driver = opened(width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert driver.execute_script("return [...document.images].every(image => image.naturalWidth > 0)")
    assert driver.get_log("browser") == []


def test_text_can_be_read_in_light_and_in_dark(opened):
    script = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"

    def lightness(colour):
        return sum(int(part) for part in colour[4:-1].split(",")) / 3

    ink, paper = map(lightness, opened(390).execute_script(script))
    assert paper - ink > 180
    ink, paper = map(lightness, opened(390, "dark").execute_script(script))
    assert ink - paper > 180


def test_the_slider_is_moved_by_keys_and_cuts_the_picture(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened(390)
    slider = driver.find_element("css selector", "figure input")
    over = driver.find_element("css selector", "figure .over")
    before = over.value_of_css_property("clip-path")
    slider.send_keys(Keys.ARROW_LEFT * 10)
    assert slider.get_attribute("value") == "40"
    assert over.value_of_css_property("clip-path") != before


def test_all_is_reached_with_the_tab_key(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened(1200)
    reached = set()
    for _ in range(80):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(driver.switch_to.active_element.tag_name)
    assert reached >= {"a", "input", "summary"}
