"""The picture of the page in the README, by a Chromium without a window.

python experiments/serving/screenshot.py --ckpt runs/served --text "My card has not arrived yet, where is it?"
"""

import argparse
import shutil
import sys
from pathlib import Path

from load import OURS, PORT, ROOT, servers, started
from playwright.sync_api import sync_playwright


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", type=Path, default=ROOT / "runs" / "served")
    parser.add_argument("--text", default="My card has not arrived yet, where is it?")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "serving.png")
    args = parser.parse_args()
    line, environment, _ = servers(args.ckpt.resolve())[OURS]
    known = ["--neighbours", str(ROOT / "data" / "banking77" / "train.csv"), "--label", "category"]
    with started([*line, *known], environment), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 820, "height": 600})
        page.goto(f"http://127.0.0.1:{PORT}/")
        page.get_by_label("Text").fill(args.text)
        page.get_by_role("button", name="Ask").click()
        page.get_by_role("heading", name="Answer").wait_for(timeout=120_000)
        page.screenshot(path=args.out, full_page=True)
        browser.close()
    if args.out.stat().st_size > 200_000:
        sys.exit(f"{args.out} has more than 200 kB")


if __name__ == "__main__":
    main()
