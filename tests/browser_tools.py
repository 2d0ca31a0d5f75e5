"""A real browser for tests: Debian's Chromium, or another one on the path, without a window."""

import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def needs_browser():
    """The paths of a browser and its driver; skips where there are none."""
    found = next(filter(None, map(shutil.which, NAMES)), None), shutil.which("chromedriver")
    if None in found:
        pytest.skip("no Chromium with its driver here (Debian: apt-get install chromium chromium-driver)")
    return found


def open_browser(profile):
    """A browser that logs what its pages say, with a profile folder of its own."""
    browser, driver = needs_browser()
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    words = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars", "lang=en")
    for word in (*words, f"user-data-dir={profile}"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_page_load_timeout(60)
    return opened
