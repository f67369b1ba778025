"""Section 5: what is asked of op-node, of the execution client and of others, what each answer means for health and for
the control loop, with the texts in status, log and metrics."""
import concurrent.futures
import contextlib
import http.client
import json
import time

import exposition
import loglines
from fakenode import HEADER, FakeNode, l2_block, sync_status
from fixtures import QuietCluster, cl, directory, wait_rpc
from report import load, match

UNHEALTHY = "Sequencer is unhealthy"
P2P = "--healthcheck.execution-p2p"
TOLERANCE = "--healthcheck.rollup-boost-partial-healthiness-tolerance"
# A bucket of the tolerance that does not end while the test runs, and one that does.
LONG_S, SHORT_S = 1_000_000, 3


def deep_update(into, changes):
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            deep_update(into[key], value)
        else:
            into[key] = value


class HealthFake(FakeNode):
    """Healthy in every respect, with a head that moves, until a row says otherwise."""

    def __init__(self, *ports):
        super().__init__(*ports)
        self.set()
        fake = self

        def do_get(handler):
            fake.asked.append(("GET", json.dumps(handler.path)))
            time.sleep(fake.get_delay_s)
            status, body = fake.get
            with contextlib.suppress(OSError):  # the caller may have given up
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body.encode())

        for server in self.servers:
            server.RequestHandlerClass.do_GET = do_get
            server.handle_error = lambda *_: None  # a conductor that ends resets its connections

    def set(self, **changes):
        """Healthy, apart from these changes; at once, as questions come at any time."""
        state = {"answers": {}, "unsafe_age": 0, "safe_age": 0, "sync": {}, "get_delay_s": 0,
                 "get": [200, json.dumps({"version": "v1", "rollup_boost_health": "Healthy"})]}
        assert set(changes) <= set(state), f"the row sets an unknown {set(changes) - set(state)}"
        vars(self).update({**state, **changes})

    def head(self):
        now = int(time.time())
        number = now % 100_000 + 1
        return {**l2_block(number), "hash": f"0x{number:064x}", "timestamp": now - self.unsafe_age}

    def answer(self, body):
        status, text = super().answer(body)
        if "sequencer already running" in text:
            self.active = True  # now it shows
        return status, text

    def usual(self, method):
        if method == "optimism_syncStatus":
            result = sync_status()
            result["unsafe_l2"] = self.head()
            result["safe_l2"]["timestamp"] = int(time.time()) - self.safe_age
            deep_update(result, self.sync)
        elif method == "eth_getBlockByNumber":
            head = self.head()
            result = {**HEADER, "number": hex(head["number"]), "hash": head["hash"]}
        elif method == "supervisor_syncStatus":
            result = {"minSyncedL1": {}, "safeTimestamp": 1, "finalizedTimestamp": 1, "chains": {}}
        elif method == "admin_peers":
            result = [{"id": "a"}, {"id": "b"}, {"id": "c"}]
        else:
            if method in ("admin_startSequencer", "admin_stopSequencer"):
                self.active = method == "admin_startSequencer"
            return super().usual(method)
        return '"result":' + json.dumps(result)


class Conductors:
    """One conductor of each kind, each alone with its own fake."""

    def __init__(self, path, bin_dir):
        self.clusters, self.nodes, self.metrics, self.p2p = [], {}, {}, None
        self.path, self.bin_dir = path, bin_dir

    def start(self, name, *extra, limits=("--healthcheck.safe-enabled", "--healthcheck.safe-interval=60")):
        c = QuietCluster(f"{self.path}/{name}", self.bin_dir, 1)
        self.clusters.append(c)
        node = self.nodes[name] = c.nodes[0]
        self.metrics[name] = cl.free_ports(1)[0]
        node.fake = HealthFake(node.node_port, node.el_port)
        node.start(bootstrap=True, extra=[*limits, "--healthcheck.min-peer-count=2", "--metrics.enabled",
                                          "--metrics.addr=127.0.0.1", f"--metrics.port={self.metrics[name]}", *extra])

    def start_all(self):
        p2p = cl.free_ports(1)[0]
        self.p2p = HealthFake(p2p)
        self.start("plain", f"--supervisor.rpc=http://127.0.0.1:{p2p}/supervisor")
        self.start("boost", f"{P2P}-enabled", f"{P2P}-min-peer-count=2", "--rollup-boost.enabled", f"{TOLERANCE}-limit=2",
                   f"{TOLERANCE}-interval-seconds={LONG_S}", limits=())
        self.start("partial", "--rollup-boost.enabled", limits=())
        self.start("bucket", "--rollup-boost.enabled", f"{TOLERANCE}-limit=1", f"{TOLERANCE}-interval-seconds={SHORT_S}",
                   limits=())
        self.start("next", f"{P2P}-enabled", f"{P2P}-min-peer-count=2", f"{P2P}-check-api=admin",
                   f"{P2P}-rpc-url=http://127.0.0.1:{p2p}", "--rollup-boost.next-enabled",
                   f"--rollup-boost.next-healthcheck-url=http://127.0.0.1:{p2p}/custom/path?x=1",
                   "--rollup-boost.healthcheck-timeout=500ms")
        for node in self.nodes.values():
            wait_rpc(node)
            cl.wait_for(lambda n=node: cl.answers(n, "conductor_leader"), 20, f"{node.dir} to lead")

    def close(self):
        for c in self.clusters:
            c.destroy()
        if self.p2p:
            self.p2p.close()

    def fakes(self, name):
        """Who answers this conductor."""
        return [self.nodes[name].fake, *([self.p2p] if name in ("plain", "next") else [])]

    def set(self, name, changes):
        for fake in self.fakes(name):
            fake.set(**changes)

    def count(self, name, **labels):
        conn = http.client.HTTPConnection("127.0.0.1", self.metrics[name], timeout=10)
        try:
            conn.request("GET", "/metrics")
            families = exposition.parse(conn.getresponse().read().decode())
        finally:
            conn.close()
        return families[labels.pop("of", "op_conductor_healthchecks_count")].value(**labels) or 0

    def check_now(self, name):
        """A resumed conductor looks at its op-node at once."""
        self.nodes[name].call("conductor_resume")

    def wait_reason(self, name, reason):
        def look():
            status = self.nodes[name].status()
            if status["health_reason"] == reason:
                return status
            self.check_now(name)
            return None

        return cl.wait_for(look, 10, f"health_reason {reason}; it is {self.nodes[name].status()['health_reason']}")


def own_lines(node, offset=0):
    text = node.log_text()[offset:]
    return loglines.split_node(text[:text.rfind("\n") + 1], "logfmt")[0]


# ---- health rules ----

def wait_lines(node, offset, what, is_it):
    """Waits until a line of the log is it."""
    cl.wait_for(lambda: any(map(is_it, own_lines(node, offset))), 10, f"the line of {what}")


def check_bad(row, all_, node):
    name, labels = row["conductor"], {"success": "false", "error": row["error"]}
    all_.set(name, {})
    all_.wait_reason(name, "ok")
    before, offset = all_.count(name, **labels), len(node.log_text())
    all_.set(name, row["set"])
    status = all_.wait_reason(name, row["reason"])
    # The supervisor hears of it a moment after the page of healthd shows it.
    cl.wait_for(lambda: node.status()["healthy"] is False, 5, "healthy to be false in the status")
    assert node.call("conductor_sequencerHealthy") is False
    match("$has:" + row["error"], status["health_text"], "health_text")
    match("$has:" + row.get("text", ""), status["health_text"], "health_text")
    assert all_.count(name, **labels) > before, f"op_conductor_healthchecks_count{labels} did not grow"
    wait_lines(node, offset, f"healthd, {row['msg']!r}",
               lambda x: x.msg == row["msg"] and x.attrs.get("role") == "healthd" and x.level == "error")
    wait_lines(node, offset, f"{UNHEALTHY!r} with {row['error']!r}",
               lambda x: x.msg == UNHEALTHY and x.level == "error" and row["error"] in x.attrs.get("err", ""))


def check_good(row, all_, node):
    name = row["conductor"]
    all_.set(name, row["set"])
    all_.wait_reason(name, "ok")
    failed, passed = all_.count(name, success="false"), all_.count(name, success="true")

    def look():
        all_.check_now(name)
        return all_.count(name, success="true") >= passed + 2

    cl.wait_for(look, 10, "two more checks to pass")
    assert all_.count(name, success="false") == failed, f"a check failed: {node.status()['health_text']}"
    cl.wait_for(lambda: node.call("conductor_sequencerHealthy") is True, 5, "conductor_sequencerHealthy to be true")


def check_rule(row, all_):
    (check_good if row["reason"] == "ok" else check_bad)(row, all_, all_.nodes[row["conductor"]])


def check_tolerance(all_):
    """Two partial answers in one bucket of time are tolerated, the third is not; being well does not give them back."""
    name, node = "boost", all_.nodes["boost"]
    all_.set(name, {})
    all_.wait_reason(name, "ok")
    passed = all_.count(name, success="true")
    all_.set(name, {"get": [206, ""]})
    all_.wait_reason(name, "boost_partial")
    tolerated = all_.count(name, success="true") - passed
    assert 2 <= tolerated <= 3, f"{tolerated} checks passed, want 2, and perhaps one from before"
    assert "rollup boost is partially healthy" in node.status()["health_text"]
    all_.set(name, {})
    all_.wait_reason(name, "ok")
    all_.set(name, {"get": [206, ""]})
    all_.wait_reason(name, "boost_partial")


def check_buckets(all_):
    """Every bucket of time tolerates one partial answer, by the conductor's own checks, one a second. Only a full check
    asks for peerStats."""
    name = "bucket"
    fake = all_.nodes[name].fake
    time.sleep(SHORT_S - time.time() % SHORT_S + 0.2)
    passed, failed = all_.count(name, success="true"), all_.count(name, success="false")
    asked = sum(m == "opp2p_peerStats" for m, _ in fake.asked)
    all_.set(name, {"get": [206, ""]})
    time.sleep(2.4 * SHORT_S)
    asked = sum(m == "opp2p_peerStats" for m, _ in fake.asked) - asked
    passed, failed = all_.count(name, success="true") - passed, all_.count(name, success="false") - failed
    # One check may have been under way at the change; a machine that is busy may have left some out.
    assert 2 <= passed <= 4 and failed > 0, f"{passed} checks passed and {failed} failed in 3 buckets of {SHORT_S} s"
    assert 3 <= asked <= 2.4 * SHORT_S + 2, f"{asked} checks in {2.4 * SHORT_S} s, want one a second"


def check_calls(row, all_):
    want = ["$hash"] if row["params"] == ["$head"] else row["params"]
    fakes = all_.fakes(row["conductor"])
    asked = [json.loads(params) for fake in fakes for method, params in fake.asked if method == row["method"]]
    assert asked, f"never asked; asked was {sorted({m for f in fakes for m, _ in f.asked})}"
    for params in asked:
        match(want, params, "params")


def check_el_p2p_url(all_):
    """execution-p2p-rpc-url is asked instead of execution.rpc."""
    assert not any(method == "admin_peers" for method, _ in all_.nodes["next"].fake.asked)


# ---- starting and stopping ----

def check_start_error(row, all_):
    node = all_.nodes["plain"]
    offset = len(node.log_text())
    all_.set("plain", {"answers": {"admin_startSequencer": '"error":' + json.dumps({"code": -32000, "message": row["text"]})}})
    all_.check_now("plain")

    def look():
        return [x for x in own_lines(node, offset) if x.level == "error" and row["text"] in x.attrs.get("err", "") and
                x.msg == "failed to execute step, queueing another one to retry"]

    cl.wait_for(look, 10, "the start to fail, and to be told")
    assert node.status()["active"], "a failed start must not end the conductor"
    assert all_.count("plain", of="op_conductor_sequencer_starts_count") == 0, "a failed start was counted"


def check_already_running(all_):
    node = all_.nodes["plain"]
    offset = len(node.log_text())
    all_.set("plain", {"answers": {"admin_startSequencer": '"error":{"code":-32000,"message":"sequencer already running"}'}})

    def look():
        return any(x.msg == "sequencer was already running" for x in own_lines(node, offset))

    cl.wait_for(look, 10, "success, though it was running")
    starts = "op_conductor_sequencer_starts_count"
    cl.wait_for(lambda: all_.count("plain", of=starts, success="false") == 1, 5, "the start to be counted as success=false")
    assert all_.count("plain", of=starts, success="true") == 0
    all_.set("plain", {})


def check_not_running(all_):
    node = all_.nodes["plain"]
    all_.set("plain", {"answers": {"admin_stopSequencer": '"error":{"code":-32000,"message":"sequencer not running"}'}})
    assert node.call("conductor_stop", timeout=15) is None
    assert node.call("conductor_stopped") is True
    stops = "op_conductor_sequencer_stops_count"
    cl.wait_for(lambda: all_.count("plain", of=stops, success="false") == 1, 5, "the stop to be counted as success=false")


def check_not_enabled(all_):
    node = all_.nodes["partial"]
    node.fake.conductor_enabled = False
    cl.wait_for(lambda: all_.check_now("partial") or node.status()["conductor_enabled"] is False, 10, "it to be seen")
    assert node.status()["ready_reason"] != "ready"
    node.fake.conductor_enabled = True
    node.fake.answers = {"admin_conductorEnabled": '"error":{"code":-32601,"message":"the method does not exist"}'}
    cl.wait_for(lambda: all_.check_now("partial") or node.status()["conductor_enabled"] is True, 10, "-32601 to count as enabled")
    node.fake.set()


def check_alone(bin_dir, report):
    with directory() as path:
        all_ = Conductors(path, bin_dir)
        try:
            all_.start_all()
            for row in load("health_starts"):
                report.run("health_starts", row["row"], check_start_error, row, all_)
            report.run("health_starts", "5.1 start: sequencer already running", check_already_running, all_)
            report.run_file("health", check_rule, all_)
            report.run("health", "5.5 7 tolerance by number", check_tolerance, all_)
            report.run("health", "5.5 7 tolerance begins anew with each bucket of time", check_buckets, all_)
            report.run("health", "5.1 admin_conductorEnabled false, or unknown to op-node", check_not_enabled, all_)
            report.run_file("health_calls", check_calls, all_)
            report.run("health_calls", "5.2 execution-p2p-rpc-url", check_el_p2p_url, all_)
            report.run("health_starts", "5.1 stop: sequencer not running", check_not_running, all_)
            report.run("health", "no finding of a sanitizer", loglines.check_clean, all_.nodes.values())
        finally:
            all_.close()


# ---- the effect in a cluster ----

def wait_ready(c, others):
    """The sequencing leader, once it is ready itself again, and so many others could take over."""
    cl.wait_for(lambda: c.wait_sequencer().status()["ready_reason"] == "ready"
                and sum(n.status()["ready_reason"] == "ready" for n in c.nodes) > others, 20,
                f"the leader and {others} other nodes to be ready")
    return c.wait_sequencer()


def check_effect(row, c, fakes):
    """An unhealthy leader gives leadership to a node that is ready, and sequences no more."""
    lead = wait_ready(c, 1)
    offset = len(lead.log_text())
    fakes[lead].set(**row["set"])
    try:
        c.wait_sequencer(20, not_this=lead)
        cl.wait_for(lambda: not lead.sequencing(), 10, "the old leader's sequencer to stop")
        assert lead.status()["health_reason"] == row["reason"], f"its reason is {lead.status()['health_reason']}"
        assert any(x.msg == UNHEALTHY for x in own_lines(lead, offset)), "the log does not say that it is unhealthy"
    finally:
        fakes[lead].set()
    c.wait_blocks(2, 20)


def check_follower(row, c, fakes):
    """An unhealthy follower is only told: leadership stays where it is."""
    lead = wait_ready(c, 1)
    follower = next(n for n in c.nodes if n is not lead)
    fakes[follower].set(**row["set"])
    cl.wait_for(lambda: follower.status()["health_reason"] == row["reason"], 10, row["reason"])
    c.wait_blocks(3, 20)
    assert c.leader() is lead, "leadership moved"
    fakes[follower].set()


def check_all_unhealthy(row, c, fakes):
    """No node is ready: the leader goes on, and leadership is not passed around."""
    lead = wait_ready(c, 2)
    for n in sorted(c.nodes, key=lambda n: n is lead):
        fakes[n].set(**row["set"])
        cl.wait_for(lambda n=n: n.status()["health_reason"] == row["reason"], 10, f"{row['reason']} on {n.name}")
    c.wait_blocks(4, 20)
    assert c.leader() is lead and lead.sequencing(), "the leader gave up, though no other was better"
    for fake in fakes.values():
        fake.set()


def check_cluster(bin_dir, report):
    with directory() as path:
        c = cl.Cluster(path, nodes=3, bin_dir=bin_dir, block_time_ms=500, payload_bytes=5_000)
        ports = cl.free_ports(3)
        fakes = {n: HealthFake(port) for n, port in zip(c.nodes, ports)}
        try:
            for n, port in zip(c.nodes, ports):
                url = f"http://127.0.0.1:{port}"
                n.start(bootstrap=n.index == 0, extra=[
                    f"--supervisor.rpc={url}", f"{P2P}-enabled", f"{P2P}-min-peer-count=1", f"{P2P}-rpc-url={url}",
                    "--rollup-boost.next-enabled", f"--rollup-boost.next-healthcheck-url={url}/", f"{TOLERANCE}-limit=1",
                    f"{TOLERANCE}-interval-seconds={LONG_S}"])
            c.form()
            c.wait_sequencer(30)
            c.wait_blocks(2, 20)
            checks = {"leader": check_effect, "follower": check_follower, "all": check_all_unhealthy}
            for row in load("health_effects"):
                report.run("health_effects", row["row"], checks[row["on"]], row, c, fakes)
            report.run("health_effects", "no two blocks of one height", c.check_journals)
            report.run("health_effects", "no finding of a sanitizer", loglines.check_clean, c.nodes)
        finally:
            c.destroy()
            for fake in fakes.values():
                fake.close()


def check_all(bin_dir, report):
    """Both parts at once: they mostly wait for checks that come once a second. Their rows are in different files."""
    def run(part):
        started = time.monotonic()
        part(bin_dir, report)
        print(f"health: {part.__name__} in {time.monotonic() - started:.1f} s", flush=True)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, part) for part in (check_alone, check_cluster)]:
            done.result()
