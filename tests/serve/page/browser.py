"""Chromium, driven over its pipe with the DevTools protocol: no driver and no package is needed.

    with Browser(folder) as browser:
        page = browser.page("http://127.0.0.1:8000/")
        page.drop(".welcome", [photo])
        page.wait("document.querySelector('.card')")

Messages are JSON that end with a zero byte: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.pages import BROWSER

#: seconds after which an answer or a condition is given up
PATIENCE = 120.0
_KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
    "Delete": ("Delete", 46, ""),
    "Backspace": ("Backspace", 8, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "Home": ("Home", 36, ""),
    "End": ("End", 35, ""),
    " ": ("Space", 32, " "),
    "/": ("Slash", 191, "/"),
    ",": ("Comma", 188, ","),
    '"': ("Quote", 222, '"'),
}
_EXEC = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
#: what pages must not do, and messages, which leave after some seconds
_WATCH = """
window.__violations = [];
addEventListener("securitypolicyviolation", (event) =>
  window.__violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
window.__toasts = [];
new MutationObserver((changes) => {
  for (const { addedNodes } of changes) for (const node of addedNodes) {
    if (node.matches?.(".toast")) window.__toasts.push(node.textContent);
  }
}).observe(document, { childList: true, subtree: true });
"""


class Browser:
    """A headless Chromium with a fresh profile."""

    def __init__(self, folder: Path) -> None:
        pipes = [*os.pipe(), *os.pipe()]
        # Chromium reads from descriptor 3 and writes to 4; out of their way first.
        their_in, self._out, self._in, their_out = (
            fcntl(pipe, F_DUPFD_CLOEXEC, 10) for pipe in pipes
        )
        for pipe in pipes:
            os.close(pipe)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _EXEC, str(their_in), str(their_out), str(BROWSER),
             "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             "--no-first-run", "--hide-scrollbars", "--lang=en-US",
             f"--user-data-dir={folder / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(their_in, their_out),
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        self._number = 0
        self._buffer = b""
        self._listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._out)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def page(self, url: str, **options: Any) -> Page:
        """A page with a storage of its own, loaded."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, session["sessionId"], context)
        self._listeners[session["sessionId"]] = page.hear
        page.begin(**options)
        page.go(url)
        return page

    def close(self, page: Page) -> None:
        """Drop a page and its storage."""
        self.call("Target.disposeBrowserContext", browserContextId=page.context)
        del self._listeners[page.session]

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask, and wait for the answer; events that come before it go to their page.

        Raises:
            RuntimeError: the browser refused
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._read(time.monotonic() + PATIENCE)
            if answer is None:
                raise TimeoutError(f"no answer to {method}")
            if answer.get("id") != message["id"]:
                continue
            if "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            result: dict[str, Any] = answer["result"]
            return result

    def listen(self, seconds: float) -> None:
        """Give events that come in this time to their pages."""
        until = time.monotonic() + seconds
        while self._read(until) is not None:
            pass

    def _read(self, until: float) -> dict[str, Any] | None:
        while b"\0" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                return None
            chunk = os.read(self._in, 1 << 20)
            if not chunk:
                raise RuntimeError(f"the browser has ended ({self._process.poll()})")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message and message.get("sessionId") in self._listeners:
            self._listeners[message["sessionId"]](message["method"], message["params"])
        return message


class Page:
    """One page; made by `Browser.page`.

    ``problems`` holds what the console called an error, and exceptions that nobody caught.
    """

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self.session = session
        self.context = context
        self.problems: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser about this page."""
        return self._browser.call(method, self.session, **params)

    def begin(
        self,
        *,
        width: int = 1280,
        height: int = 900,
        scale: float = 1,
        mobile: bool = False,
        downloads: Path | None = None,
        before: str = "",
        **media: str,
    ) -> None:
        """Size and medium; ``media`` are features as ``prefers_color_scheme="dark"``.

        Args:
            width: of the screen, in CSS pixels
            height: of the screen
            scale: device pixels in a CSS pixel
            mobile: a touch screen
            downloads: where saved files go
            before: a script that runs before those of the page
            media: features and their values
        """
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height, scale, mobile)
        features = [{"name": k.replace("_", "-"), "value": v} for k, v in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH + before)
        self.grant("clipboardReadWrite", "clipboardSanitizedWrite")
        if downloads is not None:
            self._browser.call(
                "Browser.setDownloadBehavior", behavior="allow", browserContextId=self.context,
                downloadPath=str(downloads),
            )  # fmt: skip

    def resize(self, width: int, height: int, scale: float = 1, mobile: bool = False) -> None:
        """Of the screen, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=mobile,
        )  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def grant(self, *permissions: str) -> None:
        """Let the page do what a person would be asked for."""
        self._browser.call(
            "Browser.grantPermissions", permissions=permissions, browserContextId=self.context
        )

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Take an event."""
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}".strip())
        elif method == "Network.requestWillBeSent":
            self.requests.append(f"{params['request']['method']} {params['request']['url']}")

    def go(self, url: str) -> None:
        """Load, until the page says that it is ready."""
        self.call("Page.navigate", url=url)
        self.wait("document.documentElement?.dataset.ready")

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise.

        Raises:
            AssertionError: it threw
        """
        answer = self.call(
            "Runtime.evaluate",
            expression=script, awaitPromise=True, returnByValue=True, userGesture=True,
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str, patience: float = PATIENCE) -> None:
        """Until an expression is true.

        Raises:
            AssertionError: it did not become so
        """
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                if self.run(f"Boolean({script})"):  # an element would come as {}
                    return
            except RuntimeError:  # between two documents
                pass
            self._browser.listen(0.03)
        seen = self.run("document.body.innerText")
        raise AssertionError(f"never true: {script}\n{seen}\n{self.problems}")

    def text(self, selector: str) -> str:
        """What an element says."""
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).textContent")
        return found

    def texts(self, selector: str) -> list[str]:
        """What each of these elements says."""
        query = f"[...document.querySelectorAll({json.dumps(selector)})]"
        found: list[str] = self.run(f"{query}.map((element) => element.textContent)")
        return found

    def middle(self, selector: str) -> tuple[float, float]:
        """The place of an element, scrolled into view."""
        x, y = self.run(
            f"(() => {{ const element = document.querySelector({json.dumps(selector)});"
            "element.scrollIntoView({block: 'nearest', behavior: 'instant'});"
            "const box = element.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return x, y

    def hover(self, selector: str) -> None:
        """Move the pointer over an element."""
        x, y = self.middle(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Press and let go."""
        x, y = self.middle(selector)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def press(self, *keys: str, modifiers: int = 0, commands: Sequence[str] = ()) -> None:
        """Keys, one after another; ``modifiers``: 1 alt, 2 control, 8 shift."""
        for key in keys:
            code, number, text = _KEYS.get(key, (f"Key{key.upper()}", ord(key[0].upper()), key))
            common = {
                "key": key,
                "code": code,
                "windowsVirtualKeyCode": number,
                "modifiers": modifiers,
            }
            down = {"text": text} if text and modifiers in (0, 8) else {}
            self.call(
                "Input.dispatchKeyEvent",
                type="keyDown" if down else "rawKeyDown", commands=commands, **common, **down,
            )  # fmt: skip
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Into what has the focus."""
        self.call("Input.insertText", text=text)

    def drop(self, selector: str, paths: Sequence[Path]) -> None:
        """Files and folders, dragged from outside."""
        x, y = self.middle(selector)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def choose(self, selector: str, paths: Sequence[Path]) -> None:
        """Files, in the chooser of an input."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
        self.call(
            "DOM.setFileInputFiles",
            files=[str(path) for path in paths], objectId=found["result"]["objectId"],
        )  # fmt: skip

    def messages(self) -> str:
        """All that toasts said so far."""
        found: str = self.run("window.__toasts.join('\\n')")
        return found

    def violations(self) -> list[str]:
        """Of the content security policy."""
        found: list[str] = self.run("window.__violations")
        return found

    def picture(self, kind: str = "png", **options: Any) -> bytes:
        """The screen as an image file."""
        return base64.b64decode(self.call("Page.captureScreenshot", format=kind, **options)["data"])
