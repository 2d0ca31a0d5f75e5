"""The report page of thousands of runs: seconds to make it, and its size.

    python benchmarks/bench_report.py                  # 2,000 runs: 10 algorithms, 20 maps, 10 seeds
    python benchmarks/bench_report.py --seeds 25       # 5,000

The runs are synthetic, with as many metrics and points as a million steps leave (100 points of 33 metrics, 190 KB).
Where Chromium and Selenium are installed the page is opened, too: seconds until the table is there, and until every row
has been scrolled to.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import core.packages  # noqa: F401  (first: it tells of missing packages)

# isort: split
import report

STEPS = [10_000 * k for k in range(101)]
TESTS = ("test_return_mean", "test_battle_won_mean")
OTHERS = 31


def write_runs(folder: Path, algorithms: int, tasks: int, seeds: int) -> int:
    """Write the runs and return their number."""
    stamps = ["2026-11-01T10:00:00.123456+00:00"] * len(STEPS)
    rng = random.Random(0)
    others = {f"metric_{i}": {"steps": STEPS, "values": [rng.random() for _ in STEPS]} for i in range(OTHERS)}
    rest = json.dumps({name: column | {"timestamps": stamps} for name, column in others.items()})[1:]
    config = {f"setting_{i}": i for i in range(80)} | {"env": "battle", "t_max": STEPS[-1], "label": ""}
    entry = {"status": "COMPLETED", "start_time": "2026-11-01T10:00:00", "stop_time": "2026-11-01T11:00:00"}
    for a in range(algorithms):
        for task in range(tasks):
            for seed in range(seeds):
                own = folder / "sacred" / f"algorithm_{a}" / f"battle-map_{task}" / str(seed)
                own.mkdir(parents=True)
                level = (a + 1) / algorithms
                won = [level * (1 - 0.97**k) * rng.uniform(0.9, 1) for k in range(len(STEPS))]
                tests = {TESTS[0]: [20 * value for value in won], TESTS[1]: won}
                columns = {
                    name: {"steps": STEPS, "values": values, "timestamps": stamps} for name, values in tests.items()
                }
                own.joinpath("metrics.json").write_text(json.dumps(columns)[:-1] + ", " + rest)
                mine = {"name": f"algorithm_{a}", "seed": seed, "env_args": {"map_name": f"map_{task}"}}
                own.joinpath("config.json").write_text(json.dumps(config | mine))
                own.joinpath("run.json").write_text(json.dumps(entry))
    return algorithms * tasks * seeds


def browse(page: Path, runs: int) -> str:
    """Open the page and scroll through it; how long that took, or why it was not done."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        return "not opened: Selenium is not installed (requirements-browser.txt)"
    if browser is None or driver is None:
        return "not opened: no Chromium with its driver here"
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        began = time.perf_counter()
        opened.get(page.as_uri())
        there = time.perf_counter() - began
        opened.set_script_timeout(120)
        opened.execute_async_script(
            "const [wanted, done] = arguments; (function down() {"
            "scrollTo(0, document.body.scrollHeight);"
            "if (document.querySelectorAll('.runs tbody tr').length >= wanted) done();"
            "else requestAnimationFrame(down); })()",
            runs,
        )
        return f"opened in {there:.1f} s, scrolled to the end of {runs:,} rows in {time.perf_counter() - began:.1f} s"
    finally:
        opened.quit()


def main() -> None:
    """Make and measure."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("algorithms", 10), ("tasks", 20), ("seeds", 10)):
        cli.add_argument(f"--{name}", type=int, default=number)
    given = cli.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = write_runs(Path(folder, "results"), given.algorithms, given.tasks, given.seeds)
        out = Path(folder, "out")
        began, processor = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            status = report.main([str(Path(folder, "results")), "--out", str(out)])
        took, busy = time.perf_counter() - began, time.process_time() - processor
        busy += resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        page = out / "index.html"
        size = page.stat().st_size / 2**20 if status == 0 else float("nan")
        print(f"{runs:,} runs, {len(TESTS)} metrics: {took:.1f} s ({busy:.1f} s of processor), page {size:.1f} MB")
        print(browse(page, runs))
    sys.exit(status)


if __name__ == "__main__":
    main()
