"""A conductor beside an op-node-sim that it does not run."""
import contextlib
import signal
import subprocess

import cluster as cl


class OutsideNode(cl.Node):
    """A conductor whose op-node runs on its own, as with the Go op-conductor."""

    def __init__(self, cluster, index, ports):
        super().__init__(cluster, index, ports)
        self.op_node = None

    def command(self, bootstrap=False, extra=(), sim_extra=()):
        whole = super().command(bootstrap, extra, sim_extra)
        return whole[:whole.index("--")]

    def start_op_node(self, *args):
        whole = super().command()
        self.dir.mkdir(parents=True, exist_ok=True)
        with open(self.dir / "op-node.log", "ab") as log:
            self.op_node = subprocess.Popen(
                [*whole[whole.index("--") + 1:], f"--conductor.rpc=http://127.0.0.1:{self.rpc_port}",
                 "--conductor.enabled", *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.all_pids.add(self.op_node.pid)
        cl.wait_for(lambda: self.op_node_answers(), 15, f"the op-node of {self.name}")

    def op_node_answers(self):
        with contextlib.suppress(OSError, cl.RpcError):
            return self.node_call("sim_status", timeout=1.0)
        return None

    def freeze(self):
        for pid in [self.process.pid, *cl.descendants(self.process.pid)] if self.running() else []:
            cl.send_signal(pid, signal.SIGSTOP)

    def kill_tree(self, number=signal.SIGKILL):
        """All of the conductor in one moment: nobody is left who could still stop the sequencer."""
        self.freeze()
        super().kill_tree(number)

    def stop_op_node(self):
        if self.op_node is not None:
            self.op_node.kill()
            self.op_node.wait(10)
            self.op_node = None
