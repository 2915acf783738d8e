"""The page of a report in a real Chromium, opened from a file:// address: no console message, no
request, the slider and the keys change the picture, values shown equal the CSV.

    browser.py PAGES-PROGRAM SCRATCH-FOLDER
"""
import csv
import os
import shutil
import subprocess
import sys

from chromium import Chromium

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser():
    wanted = os.environ.get("SEQGRAD_CHROMIUM")
    found = [wanted] if wanted else [shutil.which(n) for n in NAMES]
    return next((b for b in found if b), None)


def read_csv(path):
    """{(panel, name, quantity, row, step): text}"""
    with open(path, newline="", encoding="utf-8") as f:
        return {tuple(r[:5]): r[5] for r in list(csv.reader(f))[1:]}


class Look:
    def __init__(self, browser, folder):
        self.b, self.folder, self.failures = browser, folder, 0

    def expect(self, good, what):
        if not good:
            self.failures += 1
            print("FAILED:", what)

    def equal(self, got, want, what):
        self.expect(got == want, f"{what}: got {got!r}, want {want!r}")

    def open(self, page):
        self.b.complaints.clear()
        self.b.open(os.path.join(self.folder, page + ".html"))

    def quiet(self, page):
        self.equal(self.b.complaints, [], f"{page}: complaints")

    def point(self, selector, x, y):
        """The pointer at a share x, y of an element's box, scrolled into view."""
        box = self.b.run(f"""(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}});
            const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; }})()""")
        at = box[0] + x * box[2], box[1] + y * box[3]
        self.b.move(*at)
        self.b.settle()
        return at

    def column(self, c):
        """The share of a drawing's width at which column c has its middle."""
        return self.b.run(f"at({c} + .5) / WIDTH")

    def text(self, selector):
        return self.b.run(f"document.querySelector({selector!r}).textContent")


def every_page_is_quiet(k, page):
    k.b.scheme("light")
    k.open(page)
    for scheme in ("light", "dark"):
        k.b.scheme(scheme)
        for tab in k.b.run("[...document.querySelectorAll('[role=tab]')].map(t => t.id)"):
            k.b.run(f"document.getElementById({tab!r}).click()")
            k.expect(k.b.run("!!document.querySelector('[role=tabpanel]:not([hidden]) .draw')"), f"{page}: {tab} is empty")
    k.b.settle()
    k.quiet(page)
    k.expect(k.b.run("document.documentElement.scrollWidth <= innerWidth"), f"{page}: wider than the window")


def the_page_follows_the_scheme(k):
    """Light and dark without a reload, in the pictures that the script paints, too."""
    k.open("t5")
    look = "[getComputedStyle(document.body).backgroundColor, document.querySelector('#network rect').getAttribute('fill')]"
    k.b.scheme("light")
    light = k.b.run(look)
    k.b.scheme("dark")
    dark = k.b.run(look)
    k.expect(light[0] != dark[0] and light[1] != dark[1], f"light {light}, dark {dark}")
    k.quiet("schemes")


def all_numbers_equal_the_csv(k, page):
    """Everything that the page holds, decoded by its own script."""
    k.open(page)
    want = read_csv(os.path.join(k.folder, page + ".csv"))
    got = k.b.run("""DATA.tables.flatMap(t => t.data.flatMap((_, i) => Array.from({length: t.cols},
        (_, c) => [t.panel, t.name, t.quantity, t.row ? String(i) : '', t.time ? String(c) : '', t.text(i, c)])))""")
    got = {tuple(r[:5]): r[5] for r in got}
    for key, text in want.items():
        k.equal(got.get(key), text, f"{page}: {key}")
    rest = {key for key in got if key not in want and not (key[0] == "reach" and got[key] == "0")}
    k.equal(rest, set(), f"{page}: numbers that the CSV has not")


def hints_equal_the_csv(k):
    want = read_csv(os.path.join(k.folder, "t50.csv"))
    k.open("t50")
    for c in (0, 17, 49):
        x = k.column(c)
        k.point("#network", x, .5)
        hint = k.text("#tip").split("\n")
        k.equal(hint, [f"step {c}", "|dL/dh|: " + want["states", "h", "total", "", str(c)],
                       "|dL/dc|: " + want["states", "c", "total", "", str(c)]], "the network's hint")
        k.expect(want["states", "h", "total", "", str(c)] in k.text("#readout"), "the line below it")
        k.point("#panel-states .draw", x, .4)
        k.expect("h immediate: " + want["states", "h", "immediate", "", str(c)] in k.text("#tip"), "the chart's hint")
    k.b.run("select('reach')")
    k.point("#panel-reach .draw", k.column(3), .7)
    loss = k.text("#tip").split("\n")[1].removeprefix("loss of step ")
    k.expect(30 < int(loss) < 40, f"the row under the pointer: {loss}")
    k.equal(k.text("#tip").split("\n")[2], "h: " + want["reach", "h", "total", loss, "3"], "the T x T table's hint")
    k.b.run("select('weights')")
    k.point("#panel-weights .draw", k.column(20), .4)
    name = k.text("#tip").split("\n")[1].split(" contribution: ")
    k.equal(name[1], want["weights", name[0], "contribution", "", "20"], "a weight's hint")
    k.b.run("select('gates')")
    k.point("#panel-gates .draw", k.column(31), .5)
    k.expect("i saturated: " + want["gates", "i", "saturated", "", "31"] in k.text("#tip"), "a gate's hint")
    k.b.run("select('jacobian')")
    k.point("#panel-jacobian .draw", k.column(8), .5)
    k.expect("σ 0: " + want["jacobian", "", "singular", "0", "8"] in k.text("#tip"), "a singular value's hint")
    k.quiet("hints")


def the_loss_moves(k, page, losses):
    """The picture differs for every loss looked at, as pixels and as text."""
    k.open(page)
    k.b.run("document.querySelector('#network').scrollIntoView()")
    seen = [k.b.screenshot(None)]
    k.expect("all losses" in k.text("#readout"), "all losses at first")
    k.b.run("document.activeElement.blur()")
    k.b.key("ArrowLeft")
    k.equal(k.b.run("view.loss"), losses - 1, f"{page}: the first key takes the last loss")
    for want in (losses - 2, losses - 3):
        k.b.key("ArrowLeft")
        k.equal(k.b.run("view.loss"), want, f"{page}: arrow left")
        seen.append(k.b.screenshot(None))
    k.b.key("ArrowRight")
    k.equal(k.b.run("[view.loss, +document.getElementById('loss').value]"), [losses - 2] * 2, f"{page}: arrow right")
    k.b.run("document.getElementById('loss').focus()")
    for _ in range(3):
        k.b.key("ArrowLeft")
    k.equal(k.b.run("view.loss"), losses - 5, f"{page}: the slider's own keys")
    seen.append(k.b.screenshot(None))
    box = k.b.run("(() => { const r = document.getElementById('loss').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()")
    k.b.click(box[0] + 1, box[1] + box[3] / 2)
    k.b.settle()
    k.equal(k.b.run("view.loss"), 0, f"{page}: a click on the slider's left end")
    seen.append(k.b.screenshot(None))
    k.equal(len(set(seen)), len(seen), f"{page}: pictures that differ")
    k.b.run("document.getElementById('all').click()")
    k.equal(k.b.run("view.loss"), -1, f"{page}: back to all losses")
    k.quiet(page)


def the_mark_is_all_there(k, page, losses):
    """The words over the loss looked at, at either end of the picture."""
    k.open(page)
    for loss in (0, losses - 1):
        k.b.run(f"choose({loss})")
        text, left, right, width = k.b.run("""(() => { const e = document.querySelector('#network .mark'), b = e.getBBox();
            return [e.textContent, b.x, b.x + b.width, WIDTH]; })()""")
        k.expect(left >= 0 and right <= width, f"{page}: {text!r} from {left} to {right} of {width}")
    k.quiet(page)


def a_loss_shows_its_own_numbers(k):
    want = read_csv(os.path.join(k.folder, "t5.csv"))
    k.open("t5")
    k.b.run("choose(3)")
    k.point("#network", k.column(1), .5)
    k.equal(k.text("#tip").split("\n")[1], "|dL/dh|: " + want["reach", "h", "total", "3", "1"], "one loss, hint")
    k.expect("the loss of step 3" in k.text("#readout"), "one loss, line below")
    texts = k.b.run("[...document.querySelectorAll('#network text')].map(t => t.textContent)")
    k.expect(f"{float(want['reach', 'h', 'total', '3', '1']):.3g}" in texts, "one loss, number in its box")
    k.quiet("t5")


def data_enter_a_stack_below(k):
    k.open("stack")
    labels = k.b.run("[...document.querySelectorAll('#network text.label')].map(t => t.textContent)")
    k.equal([t for t in labels if t.endswith(".h")], ["10.h", "9.h"], "rows of the network")
    want = read_csv(os.path.join(k.folder, "stack.csv"))
    k.point("#network", k.column(2), .4)
    k.equal(k.text("#tip").split("\n")[1:], [f"|dL/d{s}|: " + want["states", s, "total", "", "2"] for s in ("10.h", "9.h")],
            "hint of a stack")
    numbers = k.b.run("[...document.querySelectorAll('#network text')].map(t => t.textContent)")
    first = [numbers.index(f"{float(want['states', s, 'total', '', '0']):.3g}") for s in ("10.h", "9.h")]
    k.expect(first[0] < first[1], "numbers stand in the rows of their layers")
    k.quiet("stack")


def the_keyboard_reaches_everything(k):
    k.open("t50")
    where = []
    for _ in range(8):
        k.b.key("Tab")
        where.append(k.b.run("document.activeElement.id || document.activeElement.tagName"))
    for want in ("network", "all", "loss", "tab-states", "SUMMARY"):
        k.expect(want in where, f"Tab does not reach {want}: {where}")
    k.b.run("document.getElementById('tab-states').focus()")
    k.b.key("ArrowRight")
    k.equal(k.b.run("[view.tab, document.activeElement.id]"), ["reach", "tab-reach"], "arrows among tabs")
    k.b.run("document.activeElement.blur()")
    k.b.key("ArrowLeft", shift=True)
    k.expect("all losses at step 49" in k.text("#readout"), "Shift and an arrow read the last step")
    nameless = k.b.run("""[...document.querySelectorAll('svg[role=img], [role=img], input, select, [role=tab]')].filter(e =>
        !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim() || (e.labels && e.labels.length))).length""")
    k.equal(nameless, 0, "pictures and controls without a name")
    k.b.run("select('states'); document.querySelector('#panel-states details').open = true")
    k.b.settle()
    k.equal(k.b.run("document.querySelectorAll('#panel-states tbody tr').length"), 50, "rows of the table of numbers")
    k.quiet("keyboard")


def many_steps_are_pooled_and_told(k):
    k.open("t2000")
    k.equal(k.b.run("[STEPS, COLUMNS, LOSSES]"), [2000, 500, 500], "t2000: columns")
    k.expect("pooled to 500 columns" in k.text("#pooled"), "t2000 does not say that it pools")
    k.open("t500")
    k.equal(k.b.run("[STEPS, COLUMNS]"), [500, 500], "t500: columns")
    k.expect(k.b.run("document.getElementById('pooled').hidden"), "t500 says that it pools")
    size = os.path.getsize(os.path.join(k.folder, "t500.html"))
    k.expect(size < 2e6, f"t500 takes {size} bytes")


def hostile_names_stay_names(k):
    k.open("wild")
    k.equal(k.text("h1"), '<i>wild</i> & "quoted"', "the title")
    k.equal(k.b.run("totals.map(t => t.name)"), ["</script><b>&\"h'", 'a,b "c" \\d', "\ufffd Größe", "3"], "names")
    k.equal(k.b.run("document.querySelectorAll('main b, main i').length"), k.b.run("document.querySelectorAll('#readout b').length"), "markup from names")
    k.equal(k.b.run("[totals[0].text(0, 0), totals[0].text(0, 1), totals[0].text(0, 3), totals[3].text(0, 0)]"),
            ["nan", "inf", "0", "-inf"], "broken numbers")
    k.quiet("wild")


def without_script_there_is_a_picture(k):
    k.b.open(os.path.join(k.folder, "t50.html"), script=False)
    k.b.call("DOM.enable")
    root = k.b.call("DOM.getDocument", depth=-1)["root"]["nodeId"]
    found = k.b.call("DOM.querySelectorAll", nodeId=root, selector="noscript svg rect")["nodeIds"]
    k.expect(len(found) > 20, "without script: no picture")


def svg_is_well_formed(k, page):
    k.b.complaints.clear()
    k.b.open(os.path.join(k.folder, page + ".svg"))
    k.equal(k.b.run("[document.documentElement.localName, document.querySelectorAll('parsererror').length]"), ["svg", 0], f"{page}.svg")
    k.quiet(page + ".svg")


def main():
    program, folder = sys.argv[1:]
    browser = find_browser()
    if not browser:
        print("skipped: no chromium")
        return 77
    os.makedirs(folder, exist_ok=True)
    subprocess.run([program, folder], check=True)
    with Chromium(browser) as b:
        b.resize(1200, 1000)
        k = Look(b, folder)
        for page in ("t0", "t1", "t5", "t50", "t500", "t2000", "small", "wild", "stack"):
            every_page_is_quiet(k, page)
        for page in ("t0", "t1", "t5", "t50", "small", "wild"):
            svg_is_well_formed(k, page)
            all_numbers_equal_the_csv(k, page)
        the_page_follows_the_scheme(k)
        hints_equal_the_csv(k)
        for page, losses in (("t50", 50), ("t2000", 500)):
            the_loss_moves(k, page, losses)
            the_mark_is_all_there(k, page, losses)
        a_loss_shows_its_own_numbers(k)
        data_enter_a_stack_below(k)
        the_keyboard_reaches_everything(k)
        many_steps_are_pooled_and_told(k)
        hostile_names_stay_names(k)
        without_script_there_is_a_picture(k)
    print("failures:", k.failures)
    return 1 if k.failures else 0


if __name__ == "__main__":
    sys.exit(main())
