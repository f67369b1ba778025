#!/usr/bin/env python3
"""The links between the conductors of one machine, made breakable: a TCP proxy in front of each conductor's
consensus port. Works without privileges and without netem.

    proxy.py NAME=LISTEN_PORT=TARGET_PORT…

Who dials is read from the first frame, in which conductors introduce themselves, so each direction between two nodes
is a link of its own. Rules come as JSON lines on stdin, each replacing the link's rule; the end of stdin ends the proxy:

    {"from": NAME, "to": NAME, "blocked": bool, "delay_ms": N, "loss": 0…1, "bytes_per_s": N}

A blocked link keeps what it carries, as TCP does in a partition: nothing arrives, not even the end of a connection, and
it all arrives when the link heals. Loss costs a retransmission timeout (200 ms, doubled each time) where the end of
what was sent is lost, and holds up what follows.
"""
import asyncio
import collections
import json
import random
import sys

HEADER_BYTES = 72
PAYLOAD_BYTES_AT = 8
HELLO_MAX_BYTES = 8192
CHUNK_BYTES = 64 << 10
QUEUE_BYTES = 1 << 20
RETRANSMIT_S = 0.2
SEGMENT_BYTES = 1448


class Rule:
    def __init__(self, blocked=False, delay_ms=0, loss=0.0, bytes_per_s=0):
        self.blocked = blocked
        self.delay_s = delay_ms / 1000
        self.loss = loss
        self.bytes_per_s = bytes_per_s


class Links:
    """The rules of all directed links, and waiting for a change of them."""

    def __init__(self):
        self.rules = collections.defaultdict(Rule)
        self.changed = asyncio.Event()

    def set(self, source, target, **rule):
        self.rules[source, target] = Rule(**rule)
        self.changed.set()
        self.changed = asyncio.Event()

    async def wait_open(self, source, target):
        while self.rules[source, target].blocked:
            await self.changed.wait()
        return self.rules[source, target]


class Direction:
    """What flows one way of one connection: read, queued, delayed by the rule, written."""

    def __init__(self, links, source, target, reader, writer):
        self.links, self.ends = links, (source, target)
        self.reader, self.writer = reader, writer
        self.queue = collections.deque()  # (when it left, bytes; b"" is the end)
        self.queued_bytes = 0
        self.news = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()

    def put(self, data):
        self.queue.append((asyncio.get_running_loop().time(), data))
        self.queued_bytes += len(data)
        if self.queued_bytes >= QUEUE_BYTES:
            self.room.clear()
        self.news.set()

    async def read(self):
        while True:
            await self.room.wait()
            try:
                data = await self.reader.read(CHUNK_BYTES)
            except OSError:
                data = b""
            self.put(data)
            if not data:
                return

    async def write(self):
        while True:
            while not self.queue:
                self.news.clear()
                await self.news.wait()
            left_at, data = self.queue[0]
            rule = await self.links.wait_open(*self.ends)
            await asyncio.sleep(max(0.0, left_at + rule.delay_s - asyncio.get_running_loop().time()))
            await asyncio.sleep(self.transfer_time(rule, len(data)))
            rule = await self.links.wait_open(*self.ends)
            # What arrived behind a lost segment is delivered together with it.
            arrived_before = asyncio.get_running_loop().time() - rule.delay_s
            while self.queue and self.queue[0][0] <= arrived_before:
                data = self.queue.popleft()[1]
                self.queued_bytes -= len(data)
                self.room.set()
                if not data or self.writer.is_closing():
                    return
                self.writer.write(data)
                if rule.bytes_per_s:
                    break
            await self.writer.drain()

    @staticmethod
    def transfer_time(rule, count):
        """How long the bytes take. Lost segments are sent again; only a lost last one has to wait for a timeout, as
        those before it are reported missing by what arrives behind them."""
        seconds = count / rule.bytes_per_s if rule.bytes_per_s else 0.0
        left, wait = 1 + count // SEGMENT_BYTES, RETRANSMIT_S
        while rule.loss and left:
            lost = [random.random() < rule.loss for _ in range(left)]
            left = sum(lost)
            if lost[-1]:
                seconds += wait
                wait *= 2
        return seconds


async def read_hello(reader, names):
    """The first frame and the name in it."""
    data = await reader.readexactly(HEADER_BYTES)
    size = int.from_bytes(data[PAYLOAD_BYTES_AT:PAYLOAD_BYTES_AT + 4], "little")
    if size > HELLO_MAX_BYTES:
        raise ValueError("not a hello")
    data += await reader.readexactly(size)
    for name in names:
        if name.encode() + b"\0" in data:
            return data, name
    raise ValueError("a hello of nobody known")


async def serve(links, names, target, port, reader, writer):
    """One accepted connection, to the conductor `target` on `port`."""
    tasks, up_writer = [], None
    try:
        hello, source = await asyncio.wait_for(read_hello(reader, names), 10)
        await links.wait_open(source, target)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        there = Direction(links, source, target, reader, up_writer)
        back = Direction(links, target, source, up_reader, writer)
        there.put(hello)
        tasks = [asyncio.ensure_future(f) for f in (there.read(), there.write(), back.read(), back.write())]
        await asyncio.wait({tasks[1], tasks[3]}, return_when=asyncio.FIRST_COMPLETED)
    except (OSError, ValueError, EOFError, asyncio.TimeoutError):
        pass  # as good as refused
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for w in (writer, up_writer):
            if w:
                w.transport.abort()


async def main(specs):
    links = Links()
    names = [name for name, _, _ in specs]

    def handler(target, port):
        return lambda reader, writer: serve(links, names, target, port, reader, writer)

    servers = [await asyncio.start_server(handler(name, int(port)), "127.0.0.1", int(listen))
               for name, listen, port in specs]
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    print("ready", flush=True)
    while line := await stdin.readline():
        rule = json.loads(line)
        links.set(rule.pop("from"), rule.pop("to"), **rule)
        print("ok", flush=True)
    for server in servers:
        server.close()


if __name__ == "__main__":
    asyncio.run(main([spec.split("=") for spec in sys.argv[1:]]))
