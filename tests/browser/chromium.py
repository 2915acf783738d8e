"""A headless Chromium, driven over its remote-debugging socket with the standard library alone.

    with Chromium(binary) as b:
        b.open("/tmp/page.html")
        b.run("document.title")          value of a JavaScript expression
        b.key("ArrowLeft")               a real key press
        b.move(x, y)                     a real pointer
        b.screenshot("page.png")
        b.complaints                     console messages, exceptions, requests beyond file: and data:
"""
import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

KEY_CODES = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Enter": 13, " ": 32}


class Socket:
    """A WebSocket, as much of RFC 6455 as the browser needs."""

    def __init__(self, url):
        host, path = url.removeprefix("ws://").split("/", 1)
        name, port = host.split(":")
        self.s = socket.create_connection((name, int(port)), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.s.sendall((f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.s.recv(4096)
        self.rest = self.rest.split(b"\r\n\r\n", 1)[1]

    def take(self, n):
        while len(self.rest) < n:
            more = self.s.recv(1 << 20)
            if not more:
                raise ConnectionError("the browser hung up")
            self.rest += more
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        n = len(data)
        head = bytes([0x81, 0x80 | n]) if n < 126 else (
            b"\x81\xfe" + struct.pack(">H", n) if n < 65536 else b"\x81\xff" + struct.pack(">Q", n))
        self.s.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        text = b""
        while True:
            first, n = self.take(2)
            n &= 127
            if n >= 126:
                n = struct.unpack(">H" if n == 126 else ">Q", self.take(2 if n == 126 else 8))[0]
            data = self.take(n)
            if first & 15 in (0, 1):
                text += data
                if first & 128:
                    return text.decode()


class Chromium:
    def __init__(self, binary, width=1200, height=1000):
        self.binary, self.size = binary, (width, height)
        self.count, self.complaints, self.script = 0, [], True

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="chromium-")
        self.process = subprocess.Popen(
            [self.binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--disable-background-networking", "--disable-component-update", "--no-first-run", "--no-proxy-server",
             "--hide-scrollbars", "--remote-allow-origins=*", "--remote-debugging-port=0",
             f"--user-data-dir={self.home}", f"--window-size={self.size[0]},{self.size[1]}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = self.read_port()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            page = [t for t in json.load(answer) if t["type"] == "page"][0]
        self.socket = Socket(page["webSocketDebuggerUrl"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        return self

    def read_port(self):
        """The browser writes the port that it chose into a file once it listens."""
        path, end = os.path.join(self.home, "DevToolsActivePort"), time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with open(path) as f:
                    return int(f.readline())
            except (OSError, ValueError):
                time.sleep(0.05)
        raise RuntimeError("the browser did not start")

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def notice(self, message):
        method, p = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.complaints.append("console: " + " ".join(str(a.get("value", a)) for a in p["args"]))
        elif method == "Runtime.exceptionThrown":
            d = p["exceptionDetails"]
            self.complaints.append("exception: " + d.get("exception", {}).get("description", d["text"]))
        elif method == "Log.entryAdded":
            self.complaints.append("log: " + p["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not p["request"]["url"].startswith(("file:", "data:", "about:")):
            self.complaints.append("request: " + p["request"]["url"])

    def wait(self, wanted):
        while True:
            message = json.loads(self.socket.receive())
            self.notice(message)
            if wanted(message):
                return message

    def call(self, method, **params):
        self.count += 1
        number = self.count
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        answer = self.wait(lambda m: m.get("id") == number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, path, script=True):
        self.script = script
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        self.wait(lambda m: m.get("method") == "Page.loadEventFired")
        self.settle()

    def settle(self):
        """Two frames: whatever observes sizes has seen them."""
        if self.script:
            self.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))")

    def run(self, expression):
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in r:
            raise RuntimeError(expression + ": " + str(r["exceptionDetails"]))
        return r["result"].get("value")

    def key(self, key, shift=False):
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, modifiers=8 if shift else 0,
                      windowsVirtualKeyCode=KEY_CODES[key])

    def move(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, x, y):
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])
        self.settle()

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.settle()

    def screenshot(self, path, whole=False):
        png = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        if path:
            with open(path, "wb") as f:
                f.write(base64.b64decode(png))
        return png
