"""``verify.html`` in a real browser: the right verdict, hostile text inert, nothing fetched.

The network is cut (the browser resolves no name and has no proxy that answers), and the page would
ask for nothing if it were there.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.evidence.bundle import Choice
from tests.attacks.world import World, by_model, members, staged_world, without
from tests.browser.node import PAGE, python
from tests.unit.evidence import nasty
from tests.world.chromium import Tab, chromium

pytestmark = pytest.mark.slow

HOSTILE = 'gpt-\u202e<img src=x onerror=alert(1)>\u200b</script>"\u05d0\u05d1\u05d2\x07\u4f60\u597d'
WIDE = "document.documentElement.scrollWidth"
CLIPPED = """[...document.querySelectorAll('td,th,pre,p,h1,h2,h3,label,li,button')]
 .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
 .map(e => e.outerHTML.slice(0, 200))"""
LINES = """Object.fromEntries([...document.querySelectorAll('#lines tr')].map(r =>
 [r.cells[0].textContent, r.cells[1].textContent]))"""
ENDING = """class { postMessage() { setTimeout(() => {
 this.onmessage({data: {op: 'told', what: ''}}); this.onerror(); }, 9); } }"""
"""A worker that begins and ends."""
CONTRAST = """(() => {
 const parts = (text) => text.match(/[\\d.]+/g).map(Number);
 const light = (rgb) => rgb.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
 const behind = (e) => { for (; e; e = e.parentElement) {
  const found = parts(getComputedStyle(e).backgroundColor);
  if (found.length === 3 || found[3] > 0) return found; }
  return parts(getComputedStyle(document.documentElement).backgroundColor); };
 return [...document.querySelectorAll('body *')].filter(e => e.offsetParent && !e.disabled &&
  [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
  const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 120)];
 }).filter(([ratio]) => ratio < 4.5); })()"""


class Page:
    """The page in a tab, with bundles beside it."""

    def __init__(self, tab: Tab, home: Path) -> None:
        self.tab, self.home = tab, home

    def _node(self, selector: str) -> int:
        root = self.tab.call("DOM.getDocument")["root"]["nodeId"]
        found = self.tab.call("DOM.querySelector", nodeId=root, selector=selector)
        return int(found["nodeId"])

    def do(self, expression: str) -> None:
        """Let something happen on the page."""
        self.tab.value(f"(({expression}), true)")

    def until(self, expression: str, seconds: float = 60) -> Any:
        """Wait for an expression to give something."""
        deadline = time.monotonic() + seconds
        while not (found := self.tab.value(expression)):
            assert time.monotonic() < deadline, self.tab.value("document.body.innerText")
            time.sleep(0.05)
        return found

    def check(self, data: bytes, trust: str, manifest: str = "", seconds: float = 60) -> str:
        """Choose a bundle, say what is trusted, check; returns the heading of the result."""
        file = self.home / "bundle.zip"
        file.write_bytes(data)
        file.chmod(0o644)
        self.tab.call("DOM.setFileInputFiles", nodeId=self._node("#bundle"), files=[str(file)])
        for name, value in (("trust", trust), ("manifest", manifest)):
            self.do(f"document.getElementById({name!r}).value = {json.dumps(value)}")
        self.do("document.getElementById('check').click()")
        title = "document.getElementById('result-title').textContent"
        return str(self.until(f"!document.getElementById('result').hidden && {title}", seconds))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A staged ledger, and a record whose names and content are hostile."""
    made = staged_world(tmp_path_factory.mktemp("page") / "log")
    body = json.dumps({"messages": [{"content": HOSTILE * 20}]}, ensure_ascii=False).encode()
    made.add(model=HOSTILE, person={"name": HOSTILE, "\u202ekey": [HOSTILE]}, body=body)
    for _ in range(60):
        made.exchange(model="many", seconds=0.1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def nasty_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    """The bundle with the nastiest words in every place, and the log's key."""
    made = nasty.nasty_world(tmp_path_factory.mktemp("nasty") / "log")
    data = nasty.nasty_bundle(made).data
    made.close()
    return data, made.vkey


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A browser that has the page open, from a file."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "verify.html").write_bytes(PAGE.read_bytes())
        with chromium(home) as tab:
            tab.call("DOM.enable")
            tab.open(home / "verify.html")
            yield Page(tab, home)


def test_verdicts_are_those_of_verify_py(page: Page, world: World) -> None:
    """Good, self-consistent, refused, another manifest, a quorum not met, and no key at all."""
    good = world.bundle(by_model(), Choice(content="full"))
    want = python(good.data, world.vkey)
    assert page.check(good.data, world.vkey) == "All checks hold; the manifest was not named"
    names = ("integrity", "completeness", "assurance", "coverage", "about", "manifest", "unchecked")
    assert page.tab.value(LINES) == {name.capitalize(): want[name] for name in names}
    assert page.check(good.data, world.vkey, good.manifest_digest) == "All checks hold"
    alone = page.check(good.data, "")
    assert alone == "Self-consistent only: nothing was given from outside the bundle"
    other = "A" * 43
    assert page.check(good.data, world.vkey, other) == "Refused: wrong-manifest"
    bad = without(world, good.data, want["facts"]["records"][2])
    assert page.check(bad, world.vkey) == "Refused: omitted-record"
    refused = python(bad, world.vkey)
    assert page.tab.value("document.getElementById('sentence').textContent") == refused["message"]
    assert page.tab.value("document.getElementById('lines').children.length") == 0
    assert page.tab.value("document.getElementById('details').hidden") is True
    assert page.check(b"no zip", world.vkey) == "Refused: not-canonical"
    assert page.check(good.data, "nonsense") == "Not understood"
    witness = "witness.example+b3c3cc38+BOi3uWz18BoblY3JZROCMNSTNmOHuBUCVHxHUnZBVYHF"
    demand = f"log {world.vkey}\nwitness w {witness}\nquorum w\n"
    said = page.check(good.data, demand)
    assert said in ("The checks hold, the quorum of the policy is not met", "Not understood")


def test_what_is_hostile_is_shown_by_number_and_does_nothing(page: Page, world: World) -> None:
    """Names, keys and content of a record: text, invisible characters by their number."""
    data = world.bundle(by_model(HOSTILE), Choice(content="full")).data
    page.check(data, world.vkey)
    row = page.until("document.querySelector('#rows tr')?.innerText")
    assert "gpt-U+202E<img src=x onerror=alert(1)>U+200B</script>" in row
    page.do("document.querySelector('#rows button').click()")
    shown = page.until("document.getElementById('pieces').innerText")
    for text in ("U+202Ekey", "U+200B", "\u05d0\u05d1\u05d2", "\u4f60\u597d", "request.body"):
        assert text in shown
    assert not set("\u202e\u200b\x07") & set(page.tab.value("document.body.innerText"))
    assert page.tab.value("document.querySelectorAll('img,iframe,a').length") == 0
    assert page.tab.value("document.scripts.length") == 1


def test_records_are_shown_by_the_hundred(page: Page, world: World) -> None:
    """A pager goes on and back; the place is said."""
    page.check(world.bundle(by_model("many")).data, world.vkey)
    place = "document.getElementById('place').textContent"
    page.until("document.querySelectorAll('#rows tr').length === 100")
    assert page.tab.value(place) == "1 to 100 of 120"
    page.do("document.getElementById('on').click()")
    page.until("document.querySelectorAll('#rows tr').length === 20")
    assert page.tab.value(place) == "101 to 120 of 120"
    assert page.tab.value("document.getElementById('on').disabled") is True


@pytest.mark.parametrize(
    ("width", "media", "dark"),
    [(1600, "screen", False), (1280, "screen", True), (800, "screen", False),
     (390, "screen", True), (320, "screen", False), (690, "print", False)],
)  # fmt: skip
def test_it_fits_and_can_be_read(
    page: Page, nasty_one: tuple[bytes, str], width: int, media: str, dark: bool
) -> None:
    """Nothing wider than the page, nothing clipped, contrast of 4.5 to 1 at least."""
    page.tab.seen(width, media=media, dark=dark)
    assert page.check(*nasty_one).startswith("All checks hold")
    page.until("!!document.querySelector('#rows button')")
    page.do("document.querySelector('#rows button').click()")
    page.until("document.getElementById('pieces').innerText")
    assert page.tab.value(WIDE) <= width
    assert page.tab.value(CLIPPED) == []
    assert page.tab.value(CONTRAST) == []
    page.tab.seen(1280)


def test_a_bundle_is_dropped_anywhere(page: Page, world: World) -> None:
    """The file is taken, and the page stays where it is."""
    page.check(world.bundle(by_model()).data, world.vkey)
    page.do("""(() => { const held = new DataTransfer();
      held.items.add(new File(["no zip"], "dropped.zip"));
      const event = new DragEvent("drop", {dataTransfer: held, bubbles: true, cancelable: true});
      window.stays = !document.body.dispatchEvent(event); })()""")
    assert page.tab.value("document.getElementById('bundle').files[0].name") == "dropped.zip"
    assert page.tab.value("stays") is True
    page.do("document.getElementById('check').click()")
    title = "document.getElementById('result-title').textContent"
    assert page.until(f"!document.getElementById('result').hidden && {title}") == (
        "Refused: not-canonical"
    )
    assert page.tab.value("document.getElementById('old').hidden") is True


def test_it_can_be_used_without_a_mouse(page: Page, world: World) -> None:
    """Every field has a label, focus goes to the result, what happens is announced."""
    unnamed = """[...document.querySelectorAll('input,textarea,button')].filter(e => e.offsetParent
      && !(e.labels && e.labels.length) && !e.textContent.trim() && !e.ariaLabel).length"""
    assert page.tab.value(unnamed) == 0
    page.check(world.bundle(by_model()).data, world.vkey)
    assert page.tab.value("document.activeElement.id") == "result-title"
    assert page.tab.value("document.querySelector('[role=status]').textContent").startswith("Done")
    order = """[...document.querySelectorAll('h1,h2,h3,h4')].filter(e => e.offsetParent)
      .map(e => Number(e.tagName[1]))"""
    levels = page.tab.value(order)
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert page.tab.value("document.documentElement.lang") == "en"


@pytest.mark.timeout(900)
def test_a_large_bundle_does_not_freeze_the_window(
    page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of 10,000 records: the page goes on while they are checked, and turns to the last ones."""
    world = World(tmp_path_factory.mktemp("large") / "log")
    for _ in range(5_000):
        world.exchange(seconds=0.01)
    data = world.bundle(by_model()).data
    vkey = world.vkey
    world.close()
    status = "document.getElementById('status').textContent"
    page.do("window.seen = []")
    page.do(f"window.ticking = setInterval(() => seen.push({status}), 20)")
    assert page.check(data, vkey, seconds=600).startswith("All checks hold")
    page.do("clearInterval(ticking)")
    told = set(page.tab.value("seen"))
    assert {"Checking leaves and chains …", "Checking disclosed sections …"} <= told
    assert page.tab.value("seen.filter(text => text.startsWith('Checking')).length") > 10
    for _ in range(3):
        page.do("document.getElementById('on').click()")
    page.until("document.getElementById('place').textContent === '301 to 400 of 10000'")


def test_it_asked_for_nothing(page: Page) -> None:
    """After all this: the one file, a worker of its own, no error, no dialog."""
    asked = [one["request"]["url"] for one in page.tab.told("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("blob:")] == [
        (page.home / "verify.html").as_uri()
    ]
    assert page.tab.told("Page.javascriptDialogOpening") == []
    assert [
        one for one in page.tab.told("Log.entryAdded") if one["entry"]["level"] == "error"
    ] == []
    assert page.tab.told("Runtime.exceptionThrown") == []


def test_the_bundle_carries_this_page(world: World) -> None:
    """What is in each bundle is the page that was tried here."""
    assert members(world.bundle(by_model()).data)["verify.html"] == PAGE.read_bytes()


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        ("undefined", "All checks hold"),
        ("class { postMessage() { setTimeout(() => this.onerror(), 9); } }", "All checks hold"),
        (
            ENDING,
            "The check broke off: nothing is shown to hold",
        ),
    ],
    ids=["none", "one that does not start", "one that ends"],
)
def test_without_a_worker_the_window_checks(world: World, worker: str, said: str) -> None:
    """A browser that gives none, or one that fails, gets the same verdict; no half of one."""
    good = world.bundle(by_model())
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "verify.html").write_bytes(PAGE.read_bytes())
        with chromium(home) as tab:
            tab.call("DOM.enable")
            tab.call("Page.enable")
            source = f"window.Worker = {worker}"
            tab.call("Page.addScriptToEvaluateOnNewDocument", source=source)
            tab.open(home / "verify.html")
            assert Page(tab, home).check(good.data, world.vkey, good.manifest_digest) == said
