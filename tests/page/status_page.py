#!/usr/bin/env python3
"""The status page of real nodes: status_page.py BIN_DIR surface|browser

surface: what goes over the wire: headers, escaping, the stream, the flag that turns it off.
browser: in a headless Chromium: nothing to complain about, live, without JavaScript too. Without a Chromium it says so
and is skipped."""
import http.client
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import browser  # noqa: E402
from support import cl, run_cases, running_cluster  # noqa: E402

SKIPPED = 77  # as CMakeLists.txt tells ctest
# Not a nice name for a server, but a permitted one.
EVIL = "<marquee>\"'&lt;{{JS}}"
EVIL_ESCAPED = "&#60;marquee&#62;&#34;&#39;&#38;lt;{{JS}}"


def get(node, path, accept, timeout=5):
    """(status, headers, body) of a GET; accept None: no such header."""
    conn = http.client.HTTPConnection("127.0.0.1", node.rpc_port, timeout=timeout)
    try:
        conn.request("GET", path, headers={} if accept is None else {"Accept": accept})
        answer = conn.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
    finally:
        conn.close()


class Stream:
    """A viewer of a node, without a browser."""

    def __init__(self, node):
        self.conn = http.client.HTTPConnection("127.0.0.1", node.rpc_port, timeout=10)
        self.conn.request("GET", "/events", headers={"Accept": "text/event-stream"})
        self.answer = self.conn.getresponse()
        self.status = self.answer.status

    def next(self, wanted):
        """The data of the next message of that name; None at the end of the stream."""
        name = None
        while line := self.answer.readline().decode():
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "data" and name == wanted:
                return json.loads(value)
        return None

    def close(self):
        self.conn.close()


def check_headers(node):
    status, headers, body = get(node, "/", "text/html")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8", headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-") and "unsafe" not in policy, policy
    for name, want in (("x-content-type-options", "nosniff"), ("cache-control", "no-store"), ("vary", "Accept"),
                       ("referrer-policy", "no-referrer")):
        assert headers[name] == want, headers
    for word in ("http://", "https://"):
        assert word not in body.replace("http://www.w3.org/2000/svg", ""), "the page names something elsewhere"
    for accept in (None, "*/*", "application/json"):
        status, headers, body = get(node, "/", accept)
        assert (status, body) == (200, "") and "content-security-policy" not in headers, (accept, headers, body)


def join_evil(c):
    """A fourth node, as a standby."""
    node = cl.Node(c, len(c.nodes), cl.free_ports(4))
    node.name = EVIL
    c.nodes.append(node)
    node.start(sim_extra=("--name=fourth",))
    cl.wait_for(node.try_status, 20, "the RPC of the fourth node")
    c.leader().call("conductor_addServerAsNonvoter", node.name, node.consensus_addr, 0, timeout=30)


def check_escaping(c):
    join_evil(c)
    for node in c.nodes:
        cl.wait_for(lambda n=node: get(n, "/", "text/html")[2].count(EVIL_ESCAPED) >= (5 if n.name == EVIL else 2), 10,
                    f"the name on the page of {node.name}")
        assert "<marquee" not in get(node, "/", "text/html")[2], "a name became markup"


def check_stream(c, leader):
    stream = Stream(leader)
    assert stream.status == 200
    assert stream.next("reset") == {}
    told = stream.next("status")
    assert told["status"]["node"] == leader.name and told["viewers"] == 1 and leader.name in told["verdict"], told
    assert told["level"] == "good", told
    assert stream.next("events")["events"][-1]["what"]
    commits = stream.next("commits")
    assert commits and all(len(commit) == 5 and commit[4] is True for commit in commits), commits
    start = time.monotonic()
    first = stream.next("commits")[0]
    assert first[0] == commits[-1][0] + 1, (commits[-1], first)
    assert time.monotonic() - start < 3, "a commit came late"
    # A new rpcd takes over; the browser connects again by itself.
    leader.call("conductor_restartWorker", "rpcd")
    while stream.next("status"):
        pass
    stream.close()
    again = cl.wait_for(lambda: try_stream(leader), 10, "a stream of the new rpcd")
    assert again.next("status")["status"]["node"] == leader.name
    again.close()
    c.wait_blocks(2, 20)


def try_stream(node):
    try:
        stream = Stream(node)
        return stream if stream.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None


def check_off(node):
    assert node.stop() == 0
    node.start(extra=("--rpc.status-page=false",))
    cl.wait_for(node.try_status, 20, f"the RPC of {node.name}")
    assert get(node, "/", "text/html")[::2] == (200, ""), "switched off, it still has a page"
    assert get(node, "/events", "text/event-stream")[::2] == (404, "404 page not found\n")


def surface(bin_dir):
    with running_cluster(bin_dir, block_time_ms=500) as c:
        leader = c.leader()
        check_headers(leader)
        check_stream(c, leader)
        check_escaping(c)
        check_off(next(n for n in c.nodes if n is not leader))


def check_quiet(page, what):
    assert not page.complaints, f"{what}: the browser complains: {page.complaints}"
    outside = [url for url in page.requests if not url.startswith(("http://127.0.0.1:", "data:"))]
    assert not outside, f"{what}: it asks others: {outside}"


VERDICT = "document.getElementById('verdict').textContent"
LEADS = "(document.querySelector('#picture .leader .name')?.textContent ?? '')"  # nobody for a moment


def follow_a_transfer(c, page, watched):
    page.load(f"http://127.0.0.1:{watched.rpc_port}/")
    page.wait("document.querySelectorAll('#picture .node').length === 3", 10, "the picture")
    page.wait("document.querySelectorAll('#latency .dot, #latency text').length > 0", 10, "the plot")
    page.wait("document.getElementById('live').classList.contains('on')", 5, "the stream")
    for _ in range(3):
        old = c.leader()
        new = next(n for n in c.nodes if n not in (old, watched)) if old is watched else watched
        page.wait(f"{LEADS}.startsWith({old.name!r})", 5, f"{old.name} as the leader")
        old.call("conductor_transferLeaderToServer", new.name, new.consensus_addr, timeout=30)
        took = page.wait(f"{LEADS}.startsWith({new.name!r}) && {VERDICT}.startsWith({(new.name + ' leads')!r})", 1,
                         f"{new.name} as the leader on the page")
        print(f"transfer to {new.name}: on the page {1000 * took:.0f} ms after the answer")
        c.wait_blocks(2, 20)
    assert page.run("document.querySelectorAll('#events li').length") > 5
    check_quiet(page, "live")


def lose_a_node(c, page, watched):
    lost = next(n for n in c.nodes if n not in (c.leader(), watched))
    page.load(f"http://127.0.0.1:{watched.rpc_port}/")
    page.wait("document.querySelectorAll('#picture .node.good').length === 3", 10, "the picture")
    lost.kill_tree()
    page.wait(f"{VERDICT}.includes({lost.name + ' is not heard'!r})", 10, "the lost node in words")
    page.wait("document.querySelectorAll('#picture .node.bad').length === 1", 5, "the lost node in the picture")
    page.wait("document.querySelectorAll('#picture .link.lost').length === 1", 5, "its link")
    lost.start()
    page.wait("document.getElementById('verdict').dataset.level === 'good'", 30, "the node's return")
    # The page lives through a restart of what serves it.
    page.run("window.stillHere = true")
    watched.kill_child("rpcd")
    page.wait("!document.getElementById('live').classList.contains('on')", 5, "the lost stream")
    page.wait("document.getElementById('live').classList.contains('on') && window.stillHere", 15, "the new stream")


def without_javascript(page, node):
    page.set_script(False)
    page.complaints.clear()
    page.load(f"http://127.0.0.1:{node.rpc_port}/")
    assert page.run(f"{VERDICT}").endswith("leads and sequences; 2 others could take over."), page.run(VERDICT)
    rows = page.run("[...document.querySelectorAll('#members tbody tr')].map(r => r.textContent)")
    assert len(rows) == 3 and sum("leader, sequences" in row for row in rows) == 1, rows
    assert page.run("document.querySelectorAll('#processes tbody tr').length") == 4
    assert page.run("document.querySelectorAll('#events li').length") > 5
    assert page.run("document.getElementById('picture').hidden && document.getElementById('latency').hidden")
    check_quiet(page, "without JavaScript")
    page.set_script(True)


def hostile_name(c, page, node):
    join_evil(c)
    page.complaints.clear()
    page.load(f"http://127.0.0.1:{node.rpc_port}/")
    page.wait("document.querySelectorAll('#picture .node').length === 4", 10, "the fourth member")
    names = page.run("[...document.querySelectorAll('#members tbody th')].map(e => e.textContent)")
    assert EVIL in names, names
    assert page.run("document.querySelectorAll('marquee').length") == 0, "a name became markup"
    check_quiet(page, "with a hostile name")


def fits_a_phone(page):
    page.look_like(360, 740, "dark", scale=2, mobile=True)
    time.sleep(0.5)
    width = page.run("document.documentElement.scrollWidth")
    assert width <= 360, f"the page is {width} pixels wide on a phone of 360"
    # A member that is far behind, in one look, before the next one is drawn over it.
    page.look_like(400, 800, "light", scale=2, mobile=True)
    hidden = page.run("""(() => {
        document.querySelector('#members tbody td:nth-child(4)').textContent = '12345678';
        document.querySelector('#members tbody td:nth-child(5)').textContent = '1234 behind';
        const box = document.querySelector('#members .scroll');
        return box.scrollWidth - box.clientWidth; })()""")
    assert hidden <= 0, f"{hidden} pixels of the members are cut off on a phone of 400"


def in_browser(bin_dir):
    program = browser.find_program()
    if program is None:
        print("skipped: no Chromium here; packaging/install-deps --tests installs chromium-headless-shell where Debian has it")
        sys.exit(SKIPPED)
    with running_cluster(bin_dir, block_time_ms=500) as c, browser.chromium(program) as page:
        watched = c.nodes[1]
        page.look_like(1200, 900)
        follow_a_transfer(c, page, watched)
        without_javascript(page, watched)
        fits_a_phone(page)
        lose_a_node(c, page, watched)
        hostile_name(c, page, watched)
        c.wait_blocks(2, 20)


if __name__ == "__main__":
    sys.exit(run_cases({"surface": surface, "browser": in_browser}, sys.argv))
