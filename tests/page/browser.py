"""A headless Chromium, spoken to over a pipe (its DevTools protocol): load a page, look at it, take pictures."""
import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find_program():
    """Its path, or None."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Page:
    """One tab. Everything that it complains about is collected in `complaints`."""

    def __init__(self, to_fd, from_fd):
        self.to_fd, self.from_fd = to_fd, from_fd
        self.rest, self.last_id, self.session = b"", 0, None
        self.events, self.complaints, self.requests = [], [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Security"):
            self.call(f"{domain}.enable")

    def _read(self, deadline):
        """One message; None when the time is up."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.from_fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            piece = os.read(self.from_fd, 1 << 20)
            if not piece:
                raise RuntimeError("Chromium ended")
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\0")
        return json.loads(line)

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"].get("exception", {}).get("description") or str(params))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        if method:
            self.events.append(method)

    def call(self, method, timeout=20, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_fd, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while (answer := self._read(deadline)) is not None:
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)
        raise TimeoutError(f"{method}: no answer in {timeout} s")

    def load(self, url, timeout=20):
        self.events.clear()
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        deadline = time.monotonic() + timeout
        while "Page.loadEventFired" not in self.events:
            message = self._read(deadline)
            if message is None:
                raise TimeoutError(f"{url} was not loaded in {timeout} s")
            self._note(message)

    def run(self, expression):
        """The value of a JavaScript expression (a string or anything that JSON has)."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression, timeout, what):
        """Until the expression is true; how long it took, in seconds."""
        start = time.monotonic()
        while not (value := self.run(expression)):
            if time.monotonic() - start > timeout:
                raise TimeoutError(f"{what}: not within {timeout} s")
            time.sleep(0.02)
        return value and time.monotonic() - start

    def look_like(self, width, height, scheme="light", scale=1, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def set_script(self, on):
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def picture(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, timeout=60)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))


@contextlib.contextmanager
def chromium(program):
    """A Chromium of its own, with an empty profile; a Page."""
    to_chromium, from_us = os.pipe()
    to_us, from_chromium = os.pipe()
    profile = tempfile.mkdtemp(prefix="op-conductor-chromium-")

    def place_pipes():
        # It reads commands from descriptor 3 and answers on 4; both sources may be one of these themselves.
        a, b = os.dup(to_chromium), os.dup(from_chromium)
        high_a, high_b = 100, 101
        os.dup2(a, high_a)
        os.dup2(b, high_b)
        os.dup2(high_a, 3)
        os.dup2(high_b, 4)

    # Root has no sandbox to offer; the only page it loads is ours.
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
               "--hide-scrollbars", "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
               f"--user-data-dir={profile}"]
    process = subprocess.Popen(command, close_fds=False, preexec_fn=place_pipes, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    os.close(to_chromium)
    os.close(from_chromium)
    try:
        yield Page(from_us, to_us)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_us)
        os.close(to_us)
        remove_profile(process.pid, profile)


def remove_profile(group, profile):
    """Its helper processes may outlive it for a moment, and write there."""
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        shutil.rmtree(profile, ignore_errors=True)
        if not os.path.exists(profile):
            return
        assert time.monotonic() < deadline, f"Chromium does not let go of {profile}"
        time.sleep(0.05)
