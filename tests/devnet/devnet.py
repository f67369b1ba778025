#!/usr/bin/env python3
"""A three-node op-conductor cluster on this machine, each node with a managed op-node simulator.

  packaging/devnet                     build, start, form the cluster, show a live table; Ctrl-C stops all

From a second terminal, while it runs:

  packaging/devnet status              the table, once
  packaging/devnet kill leader         SIGKILL of the leader's whole process tree; comes back after 3 s
  packaging/devnet kill sequencer-2    the same for a node
  packaging/devnet kill rpcd@leader    one worker (consensus, healthd, rpcd) of the leader or of a node
  packaging/devnet kill op-node@leader the managed op-node
  packaging/devnet pause | resume [NODE]
  packaging/devnet transfer [NODE]     hand leadership over
  packaging/devnet stop                end the running devnet
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cluster as cl  # noqa: E402
import table  # noqa: E402

RESTART_DELAY_S = 3.0


def fail(text):
    print(f"devnet: error: {text}", file=sys.stderr)
    sys.exit(1)


def state_file(directory):
    return pathlib.Path(directory) / "devnet.json"


def collect_rows(nodes, rates):
    """Asks all nodes at once: one that hangs must not stall the table."""
    results = [None] * len(nodes)

    def ask(i, node):
        status = node.try_status()
        sequencing = None
        if status:
            try:
                sequencing = node.node_call("admin_sequencerActive", timeout=1.0)
            except (OSError, cl.RpcError):
                pass
        results[i] = (status, sequencing)

    threads = [threading.Thread(target=ask, args=(i, n), daemon=True) for i, n in enumerate(nodes)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(2.5)
    heads = [r[0]["unsafe_head"]["number"] for r in results if r and r[0] and r[0].get("unsafe_head")]
    now = time.monotonic()
    return [table.row_cells(n.name, *(r or (None, None)), max(heads, default=0), rates, now)
            for n, r in zip(nodes, results)]


class Devnet:
    """The running main job."""

    def __init__(self, args):
        self.args = args
        self.tty = sys.stdout.isatty()
        self.stopping = False
        self.drawn = 0
        self.restart_at = {}
        self.cluster = cl.Cluster(args.dir, args.nodes, args.bin_dir, args.block_time, args.payload)

    def say(self, text):
        if self.tty and self.drawn:
            return
        print(f"devnet: {text}", flush=True)

    def on_signal(self, _number, _frame):
        self.stopping = True

    def run(self):
        signal.signal(signal.SIGINT, self.on_signal)
        signal.signal(signal.SIGTERM, self.on_signal)
        try:
            return self.run_cluster()
        finally:
            self.shut_down()

    def run_cluster(self):
        c = self.cluster
        c.start()
        self.write_state()
        try:
            c.form(self.step)
            c.wait_sequencer(30)
        except (TimeoutError, cl.RpcError, OSError) as e:
            if self.stopping:
                return 0
            print(f"devnet: error: {e}; the logs are {c.dir}/*/op-conductor.log", file=sys.stderr)
            return 1
        self.say(f"{len(c.nodes)} nodes, a block of {c.payload_bytes} bytes every {c.block_time_ms} ms; Ctrl-C stops all")
        self.say(f"RPC and status page of {c.nodes[0].name}: http://127.0.0.1:{c.nodes[0].rpc_port}/, logs: {c.dir}/*/op-conductor.log")
        rates = table.Rates()
        end = time.monotonic() + self.args.seconds if self.args.seconds else None
        while not self.stopping and not (end and time.monotonic() > end):
            self.restart_dead()
            self.show(collect_rows(c.nodes, rates))
            for _ in range(10 if not self.tty else 5):
                if self.stopping:
                    break
                time.sleep(0.1)
        return 0

    def step(self, text):
        if self.stopping:
            raise TimeoutError("stopped")
        self.say(text)

    def restart_dead(self):
        """A killed node comes back after a while, as its machine would."""
        now = time.monotonic()
        for n in self.cluster.nodes:
            if n.running():
                n.note_pids()
                self.restart_at.pop(n.name, None)
            elif n.name not in self.restart_at:
                self.restart_at[n.name] = now + RESTART_DELAY_S
            elif now >= self.restart_at[n.name]:
                n.start()
                self.restart_at.pop(n.name)
                self.write_state()

    def show(self, rows):
        c = self.cluster
        if not self.tty:
            print(table.plain_line(rows), flush=True)
            return
        title = (f"op-conductor devnet: {c.block_time_ms} ms blocks, {c.payload_bytes} bytes   "
                 f"{time.strftime('%H:%M:%S')}   Ctrl-C stops all")
        lines = table.render(rows, title, color=True)
        lines.append(table.DIM + "second terminal: packaging/devnet kill leader | kill op-node@leader | transfer | "
                     "pause | resume | status" + table.RESET)
        if self.drawn:
            sys.stdout.write(f"\033[{self.drawn}A")
        sys.stdout.write("".join(f"\033[2K{line}\n" for line in lines))
        sys.stdout.flush()
        self.drawn = len(lines)

    def write_state(self):
        c = self.cluster
        state = {"pid": os.getpid(), "nodes": [
            {"name": n.name, "rpc": n.rpc_port, "node": n.node_port, "el": n.el_port, "consensus": n.consensus_port,
             "pid": n.process.pid if n.process else 0} for n in c.nodes]}
        temp = state_file(c.dir).with_suffix(".tmp")
        temp.write_text(json.dumps(state))
        temp.replace(state_file(c.dir))

    def shut_down(self):
        print("devnet: stopping all nodes", flush=True)
        try:
            self.cluster.stop()
        except Exception as e:  # pylint: disable=broad-except
            print(f"devnet: a node did not stop by itself and was killed ({e})", file=sys.stderr)
        self.cluster.destroy()
        state_file(self.cluster.dir).unlink(missing_ok=True)
        left = self.cluster.leftovers()
        if left:
            print(f"devnet: left behind: {left}", file=sys.stderr)
        try:
            verdict = self.cluster.check_journals()
            print(f"devnet: journals: {json.dumps(verdict)}" if self.args.verbose else
                  f"devnet: journals are sound: {summary_text(verdict)}")
        except AssertionError as e:
            print(f"devnet: {e}", file=sys.stderr)


def summary_text(verdict):
    return (f"{verdict['acknowledged']} blocks acknowledged, no fork, {verdict['missed_slots']} missed slots, "
            f"longest gap {verdict['longest_gap_ms']} ms")


# ---- sub-commands from a second terminal ----

class Remote:
    """A running devnet, as its state file describes it."""

    def __init__(self, directory):
        try:
            self.state = json.loads(state_file(directory).read_text())
        except OSError:
            fail(f"no devnet is running in {directory} (start it with packaging/devnet)")
        if not cl.is_running(self.state["pid"]):
            fail(f"the devnet in {directory} has ended")
        self.cluster = cl.Cluster.__new__(cl.Cluster)
        self.cluster.dir = pathlib.Path(directory)
        self.cluster.nodes = []
        for i, entry in enumerate(self.state["nodes"]):
            node = cl.Node(self.cluster, i, (entry["rpc"], entry["consensus"], entry["node"], entry["el"]))
            node.pid = entry["pid"]
            node.running = lambda node=node: cl.is_running(node.pid)
            self.cluster.nodes.append(node)

    def find(self, name):
        if name == "leader":
            lead = self.cluster.leader()
            if not lead:
                fail("no node leads now")
            return lead
        try:
            return self.cluster.node(name)
        except KeyError as e:
            fail(e.args[0])

    def kill(self, what):
        role, at, name = what.rpartition("@")
        node = self.find(name)
        if not at:
            for pid in [node.pid, *cl.descendants(node.pid)]:
                cl.send_signal(pid, signal.SIGKILL)
            print(f"killed {node.name} with all its processes; it comes back after {RESTART_DELAY_S:.0f} s")
            return
        if role not in ("consensus", "healthd", "rpcd", "op-node"):
            fail(f"'{role}' is none of consensus, healthd, rpcd, op-node")
        pid = node.child_pid(role)
        if not pid:
            fail(f"{node.name} has no running {role}")
        cl.send_signal(pid, signal.SIGKILL)
        print(f"killed {role} of {node.name} (pid {pid})")

    def run(self, command, argument):
        if command == "status":
            rates = table.Rates()
            for line in table.render(collect_rows(self.cluster.nodes, rates), "op-conductor devnet", sys.stdout.isatty()):
                print(line)
        elif command == "kill":
            if not argument:
                fail("kill what? leader, NODE, WORKER@NODE or op-node@NODE")
            self.kill(argument)
        elif command in ("pause", "resume"):
            for n in [self.find(argument)] if argument else self.cluster.nodes:
                n.call(f"conductor_{command}")
                print(f"{n.name}: {command}d")
        elif command == "transfer":
            before = self.find("leader")
            if argument:
                target = self.find(argument)
                before.call("conductor_transferLeaderToServer", target.name, target.consensus_addr, timeout=15)
            else:
                before.call("conductor_transferLeader", timeout=15)
            after = self.cluster.wait_leader(10, not_this=before if not argument else None)
            print(f"leadership: {before.name} -> {after.name}")
        elif command == "stop":
            os.kill(self.state["pid"], signal.SIGTERM)
            cl.wait_for(lambda: not cl.is_running(self.state["pid"]), 40, "the devnet to stop")
            print("stopped")


def parse_args():
    parser = argparse.ArgumentParser(prog="packaging/devnet", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", default="run",
                        choices=["run", "status", "kill", "pause", "resume", "transfer", "stop"], help=argparse.SUPPRESS)
    parser.add_argument("argument", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--nodes", type=int, default=3, help="how many nodes (default 3)")
    parser.add_argument("--block-time", type=int, default=1000, metavar="MS", help="milliseconds (default 1000)")
    parser.add_argument("--payload", type=int, default=100_000, metavar="BYTES", help="of each block (default 100000)")
    parser.add_argument("--dir", default=str(cl.ROOT / "build/devnet"), help="data and logs (default build/devnet)")
    parser.add_argument("--for", type=float, dest="seconds", metavar="SECONDS", help="end by itself after that long")
    parser.add_argument("--bin-dir", default=str(cl.ROOT / "build/release/bin"), help=argparse.SUPPRESS)
    parser.add_argument("--verbose", action="store_true", help="print the whole verdict of the journal checker")
    args = parser.parse_args()
    if not 1 <= args.nodes <= 9:
        parser.error(f"--nodes {args.nodes}: from 1 to 9")
    if not 100 <= args.block_time <= 60_000:
        parser.error(f"--block-time {args.block_time}: from 100 to 60000 ms")
    if not 0 <= args.payload <= 10_000_000:
        parser.error(f"--payload {args.payload}: from 0 to 10000000 bytes")
    return args


def prepare_dir(directory):
    """Each run starts a new chain; only a directory that a devnet made is emptied."""
    path = pathlib.Path(directory)
    marker = path / ".op-conductor-devnet"
    if state_file(path).exists():
        try:
            pid = json.loads(state_file(path).read_text())["pid"]
        except (ValueError, KeyError):
            pid = 0
        if pid and cl.is_running(pid):
            fail(f"a devnet runs in {directory} already (pid {pid}): packaging/devnet stop, or use another --dir")
    if path.exists() and any(path.iterdir()) and not marker.exists():
        fail(f"--dir {directory} is not empty and was not made by a devnet: choose another directory")
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    marker.touch()


def main():
    args = parse_args()
    if args.command != "run":
        try:
            Remote(args.dir).run(args.command, args.argument)
        except (OSError, cl.RpcError, TimeoutError) as e:
            fail(str(e))
        return 0
    prepare_dir(args.dir)
    return Devnet(args).run()


if __name__ == "__main__":
    sys.exit(main())
