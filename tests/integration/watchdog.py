"""The service manager's side of sd_notify: READY=1 once, WATCHDOG=1 at half of its limit while the supervisor runs, and none
while it stands still, which is when a manager would restart it."""
import os
import pathlib
import signal
import socket
import sys
import tempfile
import time

from support import check_logs, cl, run_cases

LIMIT_S = 1.0
STILL_S = 2.0


class Manager:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(LIMIT_S * 1_000_000))}
        os.environ.update(self.env)

    def close(self):
        for name in self.env:
            del os.environ[name]
        self.socket.close()

    def next_line(self, wanted, timeout):
        """Waits for a message with that line; returns when it came, None when it did not."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                lines = self.socket.recv(4096).decode().splitlines()
            except TimeoutError:
                return None
            if wanted in lines:
                return time.monotonic()
        return None

    def drain(self):
        self.socket.setblocking(False)
        while True:
            try:
                self.socket.recv(4096)
            except BlockingIOError:
                return


def watchdog(bin_dir):
    with tempfile.TemporaryDirectory(prefix="op-conductor-test-") as directory, \
            cl.Cluster(directory, nodes=1, bin_dir=bin_dir) as c:
        node = c.nodes[0]
        manager = Manager(pathlib.Path(directory) / "notify")
        try:
            node.start(bootstrap=True)
            assert manager.next_line("READY=1", 30), "it never said that it is ready"
            cl.wait_for(node.try_status, 20, "its RPC")
            manager.drain()
            times = [manager.next_line("WATCHDOG=1", LIMIT_S) for _ in range(6)]
            assert all(times), "a manager would have killed it"
            gaps = [b - a for a, b in zip(times, times[1:])]
            assert sum(gaps) / len(gaps) >= LIMIT_S * 0.4, f"more often than needed: {gaps}"
            os.kill(node.process.pid, signal.SIGSTOP)
            time.sleep(0.1)
            manager.drain()
            assert manager.next_line("WATCHDOG=1", STILL_S) is None, "somebody else feeds the watchdog"
            os.kill(node.process.pid, signal.SIGCONT)
            assert manager.next_line("WATCHDOG=1", LIMIT_S), "it does not go on"
            assert node.stop() == 0
            assert manager.next_line("STOPPING=1", 1), "it did not say that it stops"
            check_logs(c)
        finally:
            manager.close()


if __name__ == "__main__":
    sys.exit(run_cases({"watchdog": watchdog}, sys.argv))
