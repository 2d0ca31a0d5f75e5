"""The little of WebSocket (RFC 6455) that a game needs: one client, whole messages, no extensions.

StarCraft II's protocol sends requests in text frames that are no valid UTF-8, so nothing is decoded here.
"""

import base64
import hashlib
import socket
import struct

from envs.workers.worker_process import receive_exactly

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x2, 0x8, 0x9, 0xA
_FINAL = _MASKED = 0x80


class Connection:
    """A connection whose handshake is done."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def receive(self) -> bytes | None:
        """Return the next message, or None where the client has gone."""
        message = b""
        while True:
            try:
                first, payload = self._frame()
            except (EOFError, ConnectionError):
                return None
            opcode = first & 0x0F
            if opcode == _CLOSE:
                return None
            if opcode == _PING:
                self._send(_PONG, payload)
            elif opcode != _PONG:
                message += payload
                if first & _FINAL:
                    return message

    def send(self, message: bytes) -> None:
        """Send a message in one binary frame."""
        self._send(_BINARY, message)

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._exactly(8))
        if not second & _MASKED:
            raise ConnectionError("a client must mask its frames")
        mask = self._exactly(4)
        payload = self._exactly(size)
        repeated = (mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")
        return first, plain.to_bytes(size, "little")

    def _exactly(self, size: int) -> bytes:
        return bytes(receive_exactly(self._stream, size))

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = struct.pack(">BB", _FINAL | opcode, size)
        elif size < 2**16:
            head = struct.pack(">BBH", _FINAL | opcode, 126, size)
        else:
            head = struct.pack(">BBQ", _FINAL | opcode, 127, size)
        self._stream.sendall(head + payload)


def handshake(stream: socket.socket, path: str) -> Connection | None:
    """Answer a client's opening request; None (and 404) where it asks for another path."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += receive_exactly(stream, 1)
    first, *lines = request.decode("latin-1").split("\r\n")
    if first.split(" ")[1:2] != [path]:
        stream.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return None
    headers = dict(line.lower().split(":", 1)[:1] + line.split(":", 1)[1:] for line in lines if ":" in line)
    key = headers["sec-websocket-key"].strip().encode()
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
    stream.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return Connection(stream)
