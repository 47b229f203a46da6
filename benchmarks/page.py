"""How large the page of many runs is, how long it takes to write, and how soon a browser shows its answer.

python benchmarks/page.py runs/k1 runs/k10        folders that benchmarks/synthetic_runs.py writes

For each folder: seconds to read and compare the runs and to make the page, without figures; its size in bytes; then, in
Chromium, the seconds from opening it until the lead figure is drawn, until a row of the table of families reacts to the
pointer, and until the table of all runs can be filtered. The limits: 2 MB and 2 s for 1,000 runs, 8 MB and 4 s for
10,000. The browser part needs Chromium and the package playwright.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from lrbench.reports import gather, page_title, page_update, whole_page

CHROMIUM = os.environ.get("LRBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def written(folder: Path, file: Path) -> dict[str, float]:
    """Write the page of a folder's runs; return seconds and bytes."""
    start = time.perf_counter()
    shown = gather([folder])
    read = time.perf_counter()
    update = page_update(shown, live=True)
    file.write_text(whole_page(update, title=page_title(shown)), encoding="utf-8")
    made = time.perf_counter()
    return {"runs": len(shown.records), "read": read - start, "made": made - read, "bytes": file.stat().st_size}


def seconds(folder: str) -> float:
    """Processor seconds of reading a folder's runs anew and making their page."""
    shutil.rmtree(Path(folder) / ".cache", ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        began = time.process_time()
        written(Path(folder), Path(place) / "page.html")
        return time.process_time() - began


def shown(browser: Any, file: Path) -> dict[str, float]:
    """Open a page; return the seconds until its parts react."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    start = time.perf_counter()
    page.goto(file.as_uri(), wait_until="commit")
    page.locator("[data-chart=rates] svg").first.wait_for()
    drawn = time.perf_counter()
    page.locator(".lead-table tbody tr").nth(1).hover()
    page.locator("tr.near-family").wait_for()
    reacts = time.perf_counter()
    page.locator("html.ready").wait_for(state="attached")
    page.get_by_label("Filter").fill("cosine")
    page.locator("#listed", has_text=" of ").wait_for()
    listed = time.perf_counter()
    page.close()
    return {"drawn": drawn - start, "reacts": reacts - start, "filtered": listed - start}


def main() -> None:
    """Print a line for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--keep", type=Path, help="where to leave the pages")
    asked = parser.parse_args()
    where = asked.keep or Path(tempfile.mkdtemp())
    where.mkdir(parents=True, exist_ok=True)
    files = {}
    for folder in asked.runs:
        files[folder] = where / f"{folder.name}.html"
        found = written(folder, files[folder])
        print(f"{folder.name}: {found['runs']:,} runs, read {found['read']:.1f} s, page made {found['made']:.1f} s, "
              f"{found['bytes'] / 1e6:.2f} MB", flush=True)  # fmt: skip
    if CHROMIUM is None:
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        shown(browser, next(iter(files.values())))  # the first page starts the browser
        for folder, file in files.items():
            found = shown(browser, file)
            print(f"{folder.name}: lead figure after {found['drawn']:.2f} s, its table reacts after "
                  f"{found['reacts']:.2f} s, all runs can be filtered after {found['filtered']:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
