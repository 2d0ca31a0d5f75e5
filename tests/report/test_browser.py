"""The page in a real browser: filter, sort, tabs, light and dark, keys, a phone, thousands of runs, no complaints."""

import json

import pytest

import report
from browser_tools import open_browser
from report_runs import write_grid, write_run

HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 27)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = open_browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page of 21 runs: 18 completed, one hostile, one failed, one that is silent, one damaged."""
    folder = tmp_path_factory.mktemp("report")
    write_grid(folder / "results")
    write_run(folder / "results", "iql", "3m", 1, [0.0, 1.0], label=HOSTILE)
    write_run(folder / "results", "iql", "8m", 10, [0.0, 1.0], status="FAILED", gamma=0.5)
    filmed = write_run(folder / "results", "iql", "8m", 9, [0.0, 1.0], status="RUNNING", entry={"stop_time": None})
    filmed.joinpath("film.gif").write_bytes(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;")
    write_run(folder / "results", "bad", "3m", 1, [0.0, 1.0]).joinpath("config.json").write_text("{")
    assert report.main([str(folder / "results"), "--out", str(folder / "out")]) == 0
    return folder / "out" / "index.html"


class Page:
    """What a person does with the page."""

    def __init__(self, browser, path, address="", width=1300, height=900, dark=False):
        self.browser = browser
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get(path.as_uri() + address)

    def do(self, script, *given):
        return self.browser.execute_script(script, *given)

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def texts(self, selector):
        return self.do("return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)", selector)

    def column(self, number):
        return self.texts(f".runs tbody td:nth-child({number})")

    def type(self, selector, *keys):
        (element,) = self.all(selector)
        element.send_keys(*keys)

    def tab(self, name):
        self.all(f"#tab-{name}")[0].click()

    def complaints(self):
        return self.browser.get_log("browser")


@pytest.fixture
def page(browser, made):
    opened = Page(browser, made)
    yield opened
    assert opened.complaints() == []


def choose(page, key, value):
    page.do(
        "const s = document.querySelector(`select[data-key=${arguments[0]}]`);"
        "s.value = arguments[1]; s.dispatchEvent(new Event('change'))",
        key, value,
    )  # fmt: skip


def test_filter(page):
    assert page.texts("#told") == ["21 of 21 runs, 0 picked"]
    page.type("input[type=search]", "asae seed=2")
    assert page.column(2) == ["asae", "asae"]
    assert page.column(4) == ["2", "2"]
    page.type("input[type=search]", " nothing")
    assert page.column(2) == []
    page.do("document.querySelector('input[type=search]').select()")
    page.type("input[type=search]", "iql")
    choose(page, "status", "FAILED")
    assert page.texts("#told") == ["1 of 21 runs, 0 picked"]
    page.do("location.reload()")  # the choice stands in the address
    assert page.texts("#told") == ["1 of 21 runs, 0 picked"]


def test_sort(page):
    page.type("input[type=search]", "8m")
    (seed,) = page.all(".runs th[data-key=seed] button")
    seed.click()
    seeds = page.column(4)
    assert seeds == [*"111222333", "9", "10"]  # as numbers
    assert page.do("return document.querySelector('th[data-key=seed]').ariaSort") == "ascending"
    seed.click()
    assert page.column(4) == seeds[::-1]
    page.all(".runs th[data-key=last] button")[0].click()
    values = [float(value) for value in page.column(7)]
    assert values == sorted(values)


def test_tabs_by_pointer_and_by_keys(page):
    shown = {"curves": "svg.chart", "scores": ".scores tbody tr", "comparison": "svg.chart", "notes": ".notes li"}
    for name, selector in shown.items():
        page.tab(name)
        assert page.all(selector), name
        assert page.texts("[role=tab][aria-selected=true]")[0].lower().startswith(name)
    page.type("#tab-notes", "\ue014")  # the right arrow goes round to the first
    assert page.do("return document.activeElement.id") == "tab-runs"
    assert len(page.column(2)) == 21
    page.type("#tab-runs", "\ue012")
    assert page.do("return document.activeElement.id") == "tab-notes"


def test_tables_and_pictures_show_the_numbers(page):
    page.tab("scores")
    assert page.texts(".scores thead th") == ["algorithm", "battle 3m", "battle 8m"]
    rows = {row.split("\n")[0].split()[0]: row for row in page.texts(".scores tbody tr")}
    assert set(rows) == {"asae", "coma", "iql", "qmix"}
    assert page.texts(".scores .best") == ["3", "60.04"]
    page.tab("comparison")
    assert "Not in it, since they are not complete: iql." in page.texts("main p")
    assert page.texts(".scores thead th") == ["better than", "asae", "coma", "qmix"]
    assert [text.split("\n")[0] for text in page.texts(".scores tbody tr:first-of-type td")] == ["", "1.00", "1.00"]
    page.tab("curves")
    assert len(page.all("svg.chart")) == 2
    assert len(page.all("path.line")) == 7
    page.all(".legend button")[0].click()
    assert len(page.all("path.line")) == 5
    page.all("svg.chart")[0].send_keys("\ue012")  # the left arrow begins at the end
    (tip,) = [text for text in page.texts(".tip") if text]
    assert tip.startswith("100 steps\nqmix: 2")
    page.all(".legend button")[0].click()


def test_settings_of_picked_runs_stand_side_by_side(page):
    page.type("input[type=search]", "iql 8m")
    for box in page.all(".runs tbody input"):
        box.click()
    assert page.texts("#told") == ["2 of 21 runs, 2 picked"]
    page.tab("settings")
    marked = page.texts("tr.differs th")
    assert marked == ["gamma", "seed"]
    assert page.texts("tr.differs td") == ["0.5", "—", "10", "9"]
    assert len(page.all("img.film")) == 1
    page.all("input[data-key=only]")[0].click()
    assert len(page.all(".settings tbody tr")) == 2
    page.do("sessionStorage.clear()")


def test_hostile_text_is_shown_and_does_nothing(page):
    assert HOSTILE in page.column(9)
    for name in ("curves", "scores", "comparison", "settings", "notes", "runs"):
        page.tab(name)
    assert page.browser.title.endswith("results")
    assert not page.all("main script, main img")


def test_damaged_runs_are_named(page):
    assert page.texts("#tab-notes") == ["Notes (1 damaged)"]
    page.tab("notes")
    (line,) = [text for text in page.texts(".notes li") if "bad" in text]
    assert "is left out (Expecting property name" in line


def test_light_and_dark(browser, made):
    for dark, ground in ((False, LIGHT), (True, DARK)):
        page = Page(browser, made, dark=dark)
        colour = "return getComputedStyle(document.body).backgroundColor"
        assert page.do(colour) == ground
        for theme, expected in (("dark", DARK), ("light", LIGHT), ("", ground)):
            page.do("theme.value = arguments[0]; theme.dispatchEvent(new Event('change'))", theme)
            assert page.do(colour) == expected
            page.do("location.reload()")
            assert page.do(colour) == expected
        assert page.complaints() == []


@pytest.mark.parametrize("tab", ["runs", "curves", "scores", "comparison", "settings", "notes"])
def test_a_phone_scrolls_down_and_not_sideways(browser, made, tab):
    page = Page(browser, made, f"#tab={tab}", width=390, height=844)
    assert page.do("return document.documentElement.scrollWidth") <= 390
    assert page.complaints() == []


def test_everything_can_be_reached_by_keys_and_has_a_name(page):
    for name in ("runs", "curves", "scores", "comparison", "settings", "notes"):
        page.tab(name)
        assert page.do(
            "return [...document.querySelectorAll('button, input, select, a, svg.chart')].filter((one) => !("
            "one.innerText || one.getAttribute('aria-label') || one.labels?.[0]?.innerText))"
            ".map((one) => one.outerHTML)"
        ) == [], name  # fmt: skip
        assert page.do("return document.querySelectorAll('[onclick]:not(button)').length") == 0


def test_a_page_that_is_renewed_keeps_what_was_chosen(browser, tmp_path, monkeypatch):
    write_grid(tmp_path / "results", seeds=1)
    monkeypatch.setattr(report.time, "sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
    words = [str(tmp_path / "results"), "--out", str(tmp_path / "out"), "--watch", "3600"]
    assert report.main(words) == 0
    page = Page(browser, tmp_path / "out" / "index.html")
    page.type("input[type=search]", "asae")
    write_run(tmp_path / "results", "asae", "27m", 1, [0.0, 1.0])
    assert report.main(words) == 0
    page.do("location.reload()")
    assert page.texts("#told") == ["3 of 7 runs, 0 picked"]
    assert page.texts("header label")[0] == "renew every 3600 s"


def test_thousands_of_runs_come_piece_by_piece(browser, made, tmp_path):
    text = made.read_text()
    before, rest = text.split('id="data">')
    block, after = rest.split("</script>", 1)
    data = json.loads(block)
    data["runs"] = [{**data["runs"][0], "seed": k, "path": str(k)} for k in range(5000)]
    data["settings"]["of"] = [data["settings"]["of"][0]] * 5000
    escaped = json.dumps(data).replace("<", "\\u003c")
    tmp_path.joinpath("many.html").write_text(f'{before}id="data">{escaped}</script>{after}')
    page = Page(browser, tmp_path / "many.html")
    assert page.texts("#told") == ["5,000 of 5,000 runs, 0 picked"]
    first = len(page.all(".runs tbody tr"))
    assert first < 1000
    page.do("scrollTo(0, document.body.scrollHeight)")
    browser.set_script_timeout(20)
    browser.execute_async_script(
        "const [from, done] = arguments; (function look() {"
        "if (document.querySelectorAll('.runs tbody tr').length > from) done();"
        "else requestAnimationFrame(look); })()",
        first,
    )
    page.type("input[type=search]", "seed=4999")
    assert page.column(4) == ["4999"]
    assert page.complaints() == []
