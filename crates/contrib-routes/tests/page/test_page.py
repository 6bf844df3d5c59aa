"""Explores pages in headless Chromium with real clicks and keys, and compares what they show with what Rust writes.

Usage: test_page.py FOLDER WRITE RECORDING, with the folder that samples.rs has filled, the example program `write`, and the recording
that both read.
"""

import functools
import json
import pathlib
import shutil
import subprocess
import sys
import time

import jsonschema
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

FOLDER, WRITE, RECORDING = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
SCHEMA = pathlib.Path(__file__).parents[2] / "src/write/routes.schema.json"

# A page of 2000 tokens with 300,000 edges has to be there, and to follow its slider, within so many seconds.
SECONDS_TO_LOAD = 10
SECONDS_TO_REACT = 2


def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 1366, "height": 768, "deviceScaleFactor": 1, "mobile": False}
    )
    return driver


class Page:
    """A page, and what a person does with it."""

    def __init__(self, driver, name):
        self.driver = driver
        self.url = (FOLDER / name).as_uri()
        driver.get_log("performance")
        driver.get_log("browser")
        driver.get(self.url)

    def __getitem__(self, id):
        return self.driver.find_element(By.ID, id)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def script(self, text):
        return self.driver.execute_script(text)

    def edges(self):
        # A slider's work is done in the next frame.
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        return int(self["counts"].get_attribute("data-edges"))

    def token(self, position):
        return self.driver.find_element(By.CSS_SELECTOR, f'#tokens [data-position="{position}"]')

    def head(self, layer, head):
        return self.driver.find_element(By.CSS_SELECTOR, f'#heads [data-layer="{layer}"][data-head="{head}"]')

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def focused(self):
        return self.script("return document.activeElement.id || document.activeElement.parentElement.id")

    def enter(self, id, text):
        self[id].click()
        self[id].send_keys(Keys.CONTROL, "a")
        self[id].send_keys(str(text), Keys.TAB)

    def point(self, x, y):
        """Moves the mouse to a place in the picture."""
        box = self["overlay"].size
        ActionChains(self.driver).move_to_element_with_offset(
            self["overlay"], round(x - box["width"] / 2), round(y - box["height"] / 2)
        ).perform()

    def expect_tooltip(self, place, *texts):
        """Moves the mouse to what is where `place` says, until the tooltip has these texts: fonts may come late, and move it."""
        def is_shown(_):
            self.point(*place())
            return self["tooltip"].is_displayed() and all(text in self["tooltip"].text for text in texts)

        WebDriverWait(self.driver, 10).until(is_shown, f"a tooltip with {texts}")

    def place(self, node):
        """Where a node is drawn: (layer, kind, position)."""
        return self.script("return layout.at(graph.find(%d, NODE.%s, %d))" % node)

    def problems(self):
        """Requests beyond the page itself, and what the console says."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        console = [entry["message"] for entry in self.driver.get_log("browser")]
        return [url for url in urls if url != self.url and not url.startswith("data:,")] + console


@functools.cache
def by_rust(threshold, target):
    """What Rust finds anew for a threshold and a target."""
    path = FOLDER / "found.json"
    subprocess.run([WRITE, RECORDING, path, threshold, str(target)], check=True)
    return json.loads(path.read_text())


def without(routes, is_left_out):
    """How many edges routes have without some of them."""
    nodes, edges = routes["nodes"], routes["edges"]
    reached = {0}
    count = 0
    for edge in edges:
        if edge["to"] not in reached or is_left_out(nodes[edge["to"]]["layer"], edge):
            continue
        reached.add(edge["from"])
        count += 1
    return count


checks = []


def check(function):
    checks.append(function)
    return function


def same(got, expected):
    assert got == expected, f"expected {expected!r}, got {got!r}"


@check
def json_is_what_its_schema_says(driver):
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in [*FOLDER.glob("*-*.json"), FOLDER / "summed.json", FOLDER / "parallel.json"]:
        jsonschema.validate(json.loads(path.read_text()), schema)


@check
def the_heading_names_the_prediction(driver):
    page = Page(driver, "one.html")
    same(page["title"].text, "Where “Rome” came from")
    same(page["predicted"].text, "Rome")
    same(page["prompt"].text, "The capital of France is Paris. The capital of Italy is")
    assert "41 %" in page.token(10).text and "35 %" in page.token(11).text
    same(page.problems(), [])


@check
def each_target_and_threshold_has_the_edges_of_routes_to(driver):
    page = Page(driver, "all.html")
    for target in [11, 9]:
        page.token(target).click()
        for threshold in ["0.04", "0.1", "0.2"]:
            page.enter("threshold-number", threshold)
            expected = json.loads((FOLDER / f"{target}-{threshold}.json").read_text())
            same(page.edges(), len(expected["edges"]))
            flows = page.script("return Array.from(state.routes.flow.filter((_, node) => state.routes.isReached[node]))")
            same(flows, [node["flow"] for node in expected["nodes"]])
    same(page.problems(), [])


@check
def the_slider_goes_up_from_the_threshold_of_the_routes(driver):
    page = Page(driver, "all.html")
    same(page.edges(), len(by_rust("0.04", 11)["edges"]))
    page["threshold"].send_keys(Keys.HOME)
    counts = [page.edges()]
    for keys in [[Keys.ARROW_RIGHT] * 3, [Keys.PAGE_UP], [Keys.PAGE_UP] * 4]:
        page["threshold"].send_keys(*keys)
        edges = page.edges()
        same(edges, len(by_rust(page["threshold-number"].get_attribute("value"), 11)["edges"]))
        counts.append(edges)
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] > 0, counts
    # The mouse as well.
    ActionChains(driver).move_to_element(page["threshold"]).click().perform()
    value = page["threshold-number"].get_attribute("value")
    assert 0.15 < float(value) < 0.25, value
    same(page.edges(), len(by_rust(value, 11)["edges"]))
    page["threshold"].send_keys(Keys.END)
    same(page.edges(), 0)
    page["threshold"].send_keys(Keys.HOME)
    same(page.edges(), counts[0])


@check
def the_threshold_begins_where_it_leaves_out_an_edge(driver):
    # Of routes found at 0, just below their least weight; of others, at their own threshold.
    page = Page(driver, "one.html")
    least = float(page["threshold-number"].get_attribute("value"))
    weight = page.script("return Math.min(...graph.weight)")
    assert 0.99 * weight < least < weight, (least, weight)
    same(page["threshold-number"].get_attribute("min"), str(least))
    same(page.edges(), page.script("return graph.edges"))
    page.enter("threshold-number", weight)
    assert page.edges() < page.script("return graph.edges")
    page.enter("threshold-number", 0)
    same((page["threshold-number"].get_attribute("value"), page.edges()), (str(least), page.script("return graph.edges")))
    page = Page(driver, "all.html")
    same((page["threshold-number"].get_attribute("value"), page["threshold-number"].get_attribute("min")), ("0.04", "0.04"))
    page.enter("threshold-number", 0.01)
    same(page["threshold-number"].get_attribute("value"), "0.04")


@check
def a_click_on_a_token_makes_it_the_target(driver):
    page = Page(driver, "all.html")
    page.token(5).click()
    same(page.token(5).get_attribute("aria-pressed"), "true")
    same(page.token(11).get_attribute("aria-pressed"), "false")
    same(page["title"].text, "Where the prediction after “Paris” came from")
    same(page.edges(), len(by_rust("0.04", 5)["edges"]))
    page["target-after"].click()
    same(page["target"].get_attribute("value"), "6")
    page["all-targets"].click()
    same(page.edges(), page.script("return graph.edges"))
    page["all-targets"].click()
    same(page.edges(), len(by_rust("0.04", 11)["edges"]))
    # To a token without routes of its own, the target stays.
    page = Page(driver, "one.html")
    before = page.edges()
    page.token(10).click()
    same((page.edges(), page.token(11).get_attribute("aria-pressed")), (before, "true"))
    assert "embedding" in page["details"].text


@check
def heads_can_be_left_out(driver):
    page = Page(driver, "all.html")
    routes = by_rust("0.04", 11)
    page.head(23, 4).click()
    same(page.head(23, 4).get_attribute("aria-pressed"), "false")
    same(page.edges(), without(routes, lambda layer, edge: (layer, edge.get("head")) == (23, 4)))
    page.driver.find_element(By.CSS_SELECTOR, '#heads .layer[data-layer="23"]').click()
    same(page.edges(), without(routes, lambda layer, edge: layer == 23 and "head" in edge))
    page["heads-off"].click()
    same(page.edges(), without(routes, lambda layer, edge: "head" in edge))
    page["heads-on"].click()
    same(page.edges(), len(routes["edges"]))


@check
def layers_and_tokens_can_be_zoomed(driver):
    page = Page(driver, "one.html")
    before = page.script("return document.querySelector('#picture').toDataURL()")
    step = page.script("return layout.step")
    page.enter("layer-first", 20)
    page.enter("layer-last", 29)
    same(page.script("return state.layers"), [20, 29])
    assert page.script("return layout.step") > 1.5 * step
    assert page.script("return document.querySelector('#picture').toDataURL()") != before
    page["layers-all"].click()
    same(page.script("return state.layers"), [0, 29])
    page.enter("token-first", 8)
    same(len(page.all("#tokens button")), 4)
    page["tokens-all"].click()
    same(len(page.all("#tokens button")), 12)
    page["reached"].click()
    same(len(page.all("#tokens button")), len({node["position"] for node in by_rust("0.04", 11)["nodes"]}))
    same(page.problems(), [])


@check
def summed_heads_and_parallel_blocks_are_shown(driver):
    for name in ["summed", "parallel"]:
        page = Page(driver, f"{name}.html")
        expected = json.loads((FOLDER / f"{name}.json").read_text())
        same(page.edges(), len(expected["edges"]))
        same(page["heads-section"].is_displayed(), name == "parallel")
        # Each stream is drawn, from one node to the next.
        streams = page.script(
            "const drawn = []; layout.eachStream((x, from, to) => drawn.push([x, from, to])); return drawn"
        )
        wholes = {edge["to"] for edge in expected["edges"] if edge["kind"] in ("residual", "mlp_output")}
        same(len(streams), len(wholes))
        steps = 1 if name == "parallel" else 0.5
        step = page.script("return layout.step")
        assert all(abs(start - end - steps * step) < 1e-6 for _, start, end in streams)
        page["overlay"].send_keys(Keys.ARROW_DOWN, Keys.ENTER, Keys.ENTER)
        assert "Made of" in page["details"].text
        same(page.problems(), [])
    same(page["title"].text, "Where the prediction after “1999” came from")


@check
def the_pointer_shows_what_is_under_it(driver):
    page = Page(driver, "one.html")
    page.expect_tooltip(lambda: page.place((0, "embedding", 10)), "embedding: 41 %")

    def between():
        """A line, half way between its ends: layer 23, from Italy to is."""
        (x1, y1), (x2, y2) = page.place((22, "residPost", 10)), page.place((23, "residMid", 11))
        return (x1 + x2) / 2, (y1 + y2) / 2

    page.expect_tooltip(between, "h1 ", "h4 ")
    ActionChains(driver).click().perform()
    assert "Italy" in page["details"].text and "Part of" in page["details"].text
    page.all("#details li button")[0].click()
    assert "Made of" in page["details"].text
    ActionChains(driver).move_to_element(page.head(23, 4)).perform()
    assert "layer 23, h4" in page["tooltip"].text


@check
def everything_can_be_reached_by_keyboard(driver):
    page = Page(driver, "all.html")
    reached = []
    for _ in range(80):
        page.press(Keys.TAB)
        reached.append(page.focused())
        if reached[-1] == "overlay":
            break
    names = ["theme", "threshold", "threshold-number", "target-before", "target", "target-after", "all-targets"]
    names += ["layer-first", "layer-last", "layers-all", "token-first", "token-last", "tokens-all", "reached", "overlay"]
    same(reached, names)
    # In the picture: down from the target, along the largest part, back up, and out.
    page.press(Keys.ARROW_UP)
    assert "resid_post, layer 29" in page["tooltip"].text, page["tooltip"].text
    page.press(Keys.ENTER)
    assert "resid_mid, layer 29" in page["tooltip"].text, page["tooltip"].text
    page.press(Keys.ARROW_UP, Keys.ARROW_UP)
    assert "resid_post, layer 29" in page["details"].text
    page.press(Keys.ARROW_LEFT)
    assert "position 10" in page["details"].text, page["details"].text
    page.press("+")
    assert page.script("return state.layers[1] - state.layers[0]") < 20
    page.press(Keys.ESCAPE)
    assert "The flow comes from" in page["details"].text
    # The row of tokens.
    page.press(Keys.TAB)
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ENTER)
    same(page["target"].get_attribute("value"), "9")
    same(page.edges(), len(by_rust("0.04", 9)["edges"]))
    # Heads: after the lists, which are buttons, too.
    for _ in range(40):
        page.press(Keys.TAB)
        if page.focused() == "heads-off":
            break
    page.press(Keys.ENTER)
    same(page.edges(), without(by_rust("0.04", 9), lambda layer, edge: "head" in edge))
    page.press(Keys.TAB, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ENTER)
    same(page.head(28, 0).get_attribute("aria-pressed"), "true")
    same(page.problems(), [])


@check
def every_control_has_a_name(driver):
    page = Page(driver, "all.html")
    tree = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {"button", "checkbox", "slider", "spinbutton", "application", "toolbar", "group", "form"}
    controls = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
    assert len(controls) > 300, len(controls)
    nameless = [node for node in controls if not node.get("name", {}).get("value", "").strip()]
    same([node["role"]["value"] for node in nameless], [])


@check
def dark_follows_the_system_and_the_button(driver):
    def prefer(**features):
        media = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})

    colour = "return getComputedStyle(document.body).backgroundColor"
    prefer(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
    page = Page(driver, "one.html")
    same(page.script(colour), "rgb(18, 24, 31)")
    same(page.script("return getComputedStyle(document.querySelector('#theme')).transitionDuration"), "0s")
    page["theme"].click()
    same(page.script(colour), "rgb(255, 255, 255)")
    prefer(prefers_color_scheme="light", prefers_reduced_motion="no-preference")
    page = Page(driver, "one.html")
    same(page.script(colour), "rgb(255, 255, 255)")
    page["theme"].click()
    same((page.script(colour), page["theme"].get_attribute("aria-pressed")), ("rgb(18, 24, 31)", "true"))


@check
def hostile_tokens_are_text(driver):
    page = Page(driver, "hostile.html")
    page["all-targets"].click()
    for position in [0, 1, 2, 3, 5]:
        page.token(position).click()
        page.point(*page.place((29, "residPost", position)))
        ActionChains(driver).click().perform()
        page.press(Keys.TAB)
    # An alert would have failed the calls above.
    same(len(page.all("script")), 2)
    same(page.all("img, b, svg, iframe, object, link[href^=http]"), [])
    texts = [token.get_attribute("textContent") for token in page.all("#tokens bdi")]
    same(texts[0], "</script><script>alert(1)</script>")
    same(texts[4], "U+202EtxetU+2066")
    same(texts[8], "␀␁␛[31m␡␍")
    same(texts[9], "↵↵␣␣␣⇥")
    same(texts[10], "&lt;b&gt;{{routes}}")
    assert all(token.value_of_css_property("unicode-bidi") == "isolate" for token in page.all("#tokens bdi"))
    assert page.script("return document.documentElement.scrollWidth <= window.innerWidth")
    same(page.problems(), [])


@check
def a_script_that_came_in_would_not_run(driver):
    page = Page(driver, "one.html")
    attempts = [
        "document.body.innerHTML = '<b>markup</b>'",
        "document.createElement('img').setAttribute('onerror', 'document.title = 1')",
        "document.createElement('script').textContent = 'document.title = 1'",
    ]
    for attempt in attempts:
        error = page.script("try { %s; return 'done'; } catch (error) { return error.message; }" % attempt)
        assert "requires 'Trusted" in error, (attempt, error)
    driver.get_log("browser")
    page.script("const image = document.createElement('img'); image.src = 'http://127.0.0.1:9/'; document.body.append(image)")
    time.sleep(0.3)
    same(page.script("return document.title"), "Where “Rome” came from")
    refused = [entry["message"] for entry in driver.get_log("browser")]
    assert refused and all("Content Security Policy" in message for message in refused), refused


@check
def two_thousand_tokens_with_300_000_edges_are_explored(driver):
    start = time.monotonic()
    page = Page(driver, "long.html")
    WebDriverWait(driver, 60).until(lambda _: page["counts"].text)
    loaded = time.monotonic() - start
    expected = json.loads((FOLDER / "long.json").read_text())
    same(page.edges(), len(expected["edges"]))
    assert page.script("return graph.edges") > 300_000
    times = []
    for _ in range(5):
        before = page.edges()
        start = time.monotonic()
        page["threshold"].send_keys(Keys.PAGE_UP)
        assert page.edges() < before
        times.append(time.monotonic() - start)
    react = max(times)
    # The window of positions, by keys and by the mouse.
    page.enter("token-first", 1500)
    page["overview"].send_keys(Keys.ARROW_LEFT)
    first, last = page.script("return state.tokens")
    assert first < 1500 and last - first == 499, (first, last)
    ActionChains(driver).move_to_element_with_offset(page["overview"], -400, 0).click_and_hold().move_by_offset(100, 0).release().perform()
    first, last = page.script("return state.tokens")
    assert first < 400 and last < 700, (first, last)
    page["tokens-all"].click()
    page["all-targets"].click()
    page["threshold"].send_keys(Keys.HOME)
    same(page.edges(), page.script("return graph.edges"))
    print(f"  2000 tokens, {page.edges()} edges: there after {loaded:.2f} s, follows its slider within {react:.2f} s")
    assert loaded < SECONDS_TO_LOAD and react < SECONDS_TO_REACT
    same(page.problems(), [])


def attention_lines(routes):
    """The pairs of positions and the layers of what attention moved: heads between the same nodes are one line."""
    nodes = routes["nodes"]
    ends = {(edge["from"], edge["to"]) for edge in routes["edges"] if edge["kind"] == "attention"}
    return [(nodes[one]["position"], nodes[other]["position"], nodes[other]["layer"]) for one, other in ends]


@check
def lines_beyond_the_window_are_stubs_with_counts(driver):
    lines = attention_lines(json.loads((FOLDER / "longer.json").read_text()))

    def check_window(first, last):
        inside = [(first <= one <= last) + (first <= other <= last) for one, other, _ in lines]
        page.edges()
        same(page.script("return state.tokens"), [first, last])
        leaving, outside = inside.count(1), inside.count(0)
        same(page.script("return [layout.lines.length, layout.leaving, layout.outside]"), [inside.count(2), leaving, outside])
        same(page.script("return layout.stubs.reduce((sum, stub) => sum + stub.count, 0)"), leaving)
        text = page["counts"].text
        for number, where in [(leaving, "to tokens not shown"), (outside, "between tokens not shown")]:
            same(where in text, number > 0)
            words = f"{number:,} line{'' if number == 1 else 's'} {where}"
            assert number == 0 or words in text, (text, words)
        return leaving, outside

    # At first the last 2000 positions.
    page = Page(driver, "longer.html")
    assert all(number > 0 for number in check_window(500, 2499))
    page["tokens-all"].click()
    same(check_window(0, 2499), (0, 0))
    assert not page["stub-key"].is_displayed()
    # A window in the middle, so that lines leave on both sides.
    page.enter("token-first", 1000)
    page.enter("token-last", 2000)
    check_window(1000, 2000)
    same(page.script("return [...new Set(layout.stubs.map((stub) => stub.side))].sort()"), [-1, 1])
    page["overview"].send_keys(Keys.HOME)
    check_window(0, 1000)
    page["overview"].send_keys(Keys.END)
    check_window(1499, 2499)
    # A stub is drawn, and says under the pointer what it stands for.
    page = Page(driver, "one.html")
    page.enter("token-first", 11)
    assert page["stub-key"].is_displayed()
    stub = page.script("return layout.stubs.find((stub) => graph.layer[stub.node] === 18)")
    x1, y, x2, _ = page.script("return layout.stubEnds(layout.stubs.find((stub) => graph.layer[stub.node] === 18))")
    assert x2 < x1, (x1, x2)
    same(stub["count"], len([line for line in attention_lines(by_rust("0.04", 11)) if line[1:] == (11, 18) and line[0] < 11]))
    box = "document.querySelector('#picture').getContext('2d').getImageData(%d, %d, %d, 3).data"
    pixels = page.script(f"return Array.from({box % (x2, y - 1, x1 - x2 - 8)})")
    red, green, blue = (pixels[i::4] for i in range(3))
    assert any(r > g + 60 and r > b + 30 for r, g, b in zip(red, green, blue)), "no stub is drawn"
    page.point((x1 + x2) / 2 - 3, y)
    assert f"{stub['count']} line" in page["tooltip"].text and "before those shown" in page["tooltip"].text, page["tooltip"].text
    ActionChains(driver).click().perform()
    assert "Paris" in page["details"].text, page["details"].text
    same(page.problems(), [])


def main():
    driver = browser()
    try:
        for function in checks:
            function(driver)
            print(f"{function.__name__} ... ok", flush=True)
    finally:
        driver.quit()
    print(f"The page: {len(checks)} checks passed")


main()
