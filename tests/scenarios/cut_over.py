"""The cut-over from a running Go op-conductor, as docs/operations.md describes it, step by step."""
import http.server
import json
import threading

from scene import OutsideNode, cl, scenario, wall_ms


class FormerConductor:
    """Stands in for a Go op-conductor: its op-node asks it whether it leads and commits its blocks to it. There is no
    Raft behind it; the procedure only needs that the leader acknowledges until it is stopped."""

    def __init__(self, port, leads):
        self.leads, self.paused, self.commits = leads, False, 0
        former = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if former.server is None:  # a process that has ended answers nothing, on open connections either
                    self.close_connection = True
                    return
                body = json.dumps({"jsonrpc": "2.0", "id": call["id"], **former.answer(call["method"])}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):  # pylint: disable=arguments-differ
                """Its log is of no interest."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method):
        if method == "conductor_commitUnsafePayload":
            if not self.leads:
                return {"error": {"code": -32000, "message": "node is not the leader"}}
            self.commits += 1
            return {"result": None}
        if method == "conductor_pause":
            self.paused = True
            return {"result": None}
        return {"result": {"conductor_leader": self.leads, "conductor_active": True, "conductor_paused": self.paused}[method]}

    def stop(self):
        server, self.server = self.server, None
        if server is not None:
            server.shutdown()
            server.server_close()


def start_beside(s, node, port, bootstrap=False):
    """The new conductor, paused, with its RPC on that port."""
    node.rpc_port = port
    node.start(bootstrap, ["--paused"])
    cl.wait_for(node.try_status, 20, f"the RPC of {node.name}")


@scenario(form=False, kinds={i: OutsideNode for i in range(3)})
def cut_over_from_the_go_op_conductor(s):
    """The new cluster is formed, paused and without a head, beside a chain that the Go conductors keep going; then each
    node's RPC port goes from the old to the new conductor: no block is lost and the sequencer is never stopped."""
    first, second, third = s.c.nodes
    port = {n: n.rpc_port for n in s.c.nodes}
    former = {n: FormerConductor(port[n], leads=n is first) for n in s.c.nodes}
    try:
        for n in s.c.nodes:
            n.start_op_node("--sequencer.stopped")
        first.node_call("admin_startSequencer", s.sim(first)["head_hash"])
        cl.wait_for(lambda: s.el_head(first) >= 10, 20, "a live chain")
        before = wall_ms()

        # 1. to 3.: beside the Go conductors, on other ports.
        for n, other in zip(s.c.nodes, cl.free_ports(3)):
            start_beside(s, n, other, bootstrap=n is first)
        cl.wait_for(lambda: cl.answers(first, "conductor_leader"), 20, "the new cluster's first leader")
        for n in (second, third):
            first.call("conductor_addServerAsVoter", n.name, n.consensus_addr, 0, timeout=30)
        assert first.sequencing() and all(n.status()["paused"] for n in s.c.nodes) and first.status()["unsafe_head"] is None
        # 4. The old ones keep their hands off the sequencer.
        for conductor in former.values():
            conductor.answer("conductor_pause")

        def switch(node):
            former[node].stop()
            node.stop()
            start_beside(s, node, port[node])

        def cut_over():
            # 5. and 6.: a follower, while two Go conductors are still a majority; then the one that sequences.
            switch(third)
            assert s.c.wait_leader(10)
            assert former[first].commits > 0
            switch(first)
            lead = s.c.wait_leader(10)
            if lead is not first:
                assert s.transfer(lead, first) is None
            cl.wait_for(lambda: cl.answers(first, "conductor_leader"), 10, "the sequencing node to lead")
            first.call("conductor_resume")

        s.cost("follower, then sequencer are switched over", cut_over,
               lambda: cl.wait_for(lambda: first.status()["unsafe_head"], 10, "the first committed block"), 15)
        assert s.costs[-1]["gap_ms"] < 4000
        # 7. The rest.
        switch(second)
        for n in (second, third):
            n.call("conductor_resume")
        s.wait_ready(*s.c.nodes)
        assert s.count(first, "sequencer_stopped", before) == 0, "the sequencer was stopped"
        assert s.c.leader() is first
        s.cost("leadership moves in the new cluster", lambda: s.transfer(first, second),
               lambda: s.c.wait_sequencer(20, not_this=first), 10)
    finally:
        for conductor in former.values():
            conductor.stop()
