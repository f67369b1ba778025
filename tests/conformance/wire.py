"""HTTP by hand: the tests choose and see every byte."""
import json
import socket


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # names in lower case; the last one when repeated
        self.body = body

    def json(self):
        return json.loads(self.body)


class Connection:
    """A connection that stays open between requests."""

    def __init__(self, port, timeout=10.0):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        piece = self.sock.recv(1 << 20)
        if not piece:
            raise OSError(f"the server closed the connection after {self.rest[:200]!r}")
        self.rest += piece

    def _take(self, count):
        while len(self.rest) < count:
            self._more()
        piece, self.rest = self.rest[:count], self.rest[count:]
        return piece

    def _take_line(self):
        while b"\r\n" not in self.rest:
            self._more()
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def read(self, to_head=False):
        """The next response. to_head: of a HEAD request, which has no body."""
        status = int(self._take_line().split()[1])
        headers = {}
        while line := self._take_line():
            name, value = line.split(b":", 1)
            headers[name.decode().strip().lower()] = value.decode().strip()
        if status == 100:
            return self.read(to_head)
        body = b""
        if to_head or status == 204:
            pass
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._take_line(), 16):
                body += self._take(size)
                self._take(2)
            self._take(2)
        else:
            body = self._take(int(headers["content-length"]))
        return Response(status, headers, body)

    def is_closed(self):
        """Whether the server ends the connection within a second."""
        self.sock.settimeout(1.0)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


def request_bytes(line="POST / HTTP/1.1", headers=None, body=b"", content_length=True):
    """A whole request; Host and Content-Length are added unless given (None leaves one out)."""
    all_headers = {"Host": "conductor"}
    if content_length and (body or line.startswith(("POST", "PUT", "PATCH"))):
        all_headers["Content-Length"] = str(len(body))
    all_headers.update(headers or {})
    text = line + "\r\n" + "".join(f"{k}: {v}\r\n" for k, v in all_headers.items() if v is not None) + "\r\n"
    return text.encode() + body


def chunked(body, size=7):
    """The body in chunks."""
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


JSON_HEADER = {"Content-Type": "application/json"}


def post(port, body, path="/", headers=None, timeout=10.0):
    """One POST on a connection of its own."""
    body = body.encode() if isinstance(body, str) else body
    with Connection(port, timeout) as c:
        c.send(request_bytes(f"POST {path} HTTP/1.1", headers or JSON_HEADER, body))
        return c.read()


def call(port, method, *params, timeout=10.0):
    """One JSON-RPC call: its whole answer as an object. HTTP errors raise."""
    response = post(port, json.dumps({"id": 1, "jsonrpc": "2.0", "method": method, "params": list(params)}), timeout=timeout)
    assert response.status == 200, f"{method}: HTTP status {response.status}: {response.body[:200]!r}"
    return response.json()
