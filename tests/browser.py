"""A page in headless Chromium: a script acts on it, and its result comes back as JSON."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=f"no browser installed (one of {', '.join(_NAMES)})")

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=20000"),
)
_CATCH = """<script>
const faults = [];
addEventListener("error", (event) => faults.push(event.message));
addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => faults.push(event.violatedDirective));
console.error = console.warn = (...words) => faults.push(words.join(" "));
</script>"""
_ACT = """<script>
(async () => {
  const wait = async (isDone) => { while (!isDone()) await new Promise((done) => setTimeout(done, 5)); };
  let result = null;
  try { result = await (async () => { %s })(); } catch (error) { faults.push(String(error)); }
  const outcome = document.createElement("pre");
  outcome.id = "outcome";
  outcome.textContent = JSON.stringify({ result, faults });
  document.body.append(outcome);
})();
</script>"""


def act_on_page(page: Path, script: str, folder: Path, *, size: tuple[int, int] = (1280, 800)) -> tuple[Any, list[str]]:
    """Return the result of ``script``, the body of an async function, on ``page``, and the page's faults.

    ``await wait(() => condition)`` in the script polls for a condition. A copy of the page is opened from ``folder``.
    """
    assert CHROMIUM is not None
    text = page.read_text("utf-8").replace("<title>", f"{_CATCH}<title>", 1)
    text = text.replace("</body>", _ACT.replace("%s", script) + "</body>")
    copy = folder / "page.html"
    copy.write_text(text, "utf-8")
    words = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}"]
    process = subprocess.run([*words, "--dump-dom", copy.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="outcome">(.*?)</pre>', process.stdout, flags=re.DOTALL)
    assert found, process.stderr[-2000:]
    outcome = json.loads(unescape(found[1]))
    return outcome["result"], outcome["faults"]
