"""The stand-in's WebSocket against a client that others wrote (websocket-client)."""

import socket
import threading

import pytest
import websocket
from frames import handshake


@pytest.fixture
def dial():
    """``dial(serve, path)``: a client whose connection ``serve(connection)`` answers in a thread."""
    threads, clients = [], []
    listener = socket.create_server(("127.0.0.1", 0))

    def connect(serve, path="/sc2api"):
        def run():
            stream, _ = listener.accept()
            with stream:
                connection = handshake(stream, "/sc2api")
                if connection:
                    serve(connection)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}{path}"
        clients.append(websocket.create_connection(url, timeout=10))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
    for thread in threads:
        thread.join(10)
    listener.close()


def echo(connection):
    while (message := connection.receive()) is not None:
        connection.send(message)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_messages_of_all_lengths_come_back_binary(dial, size):
    client = dial(echo)
    message = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    client.send(message, opcode=websocket.ABNF.OPCODE_TEXT)  # as PySC2 sends; no valid UTF-8
    assert client.recv_data() == (websocket.ABNF.OPCODE_BINARY, message)


def test_a_message_in_parts_with_a_ping_between(dial):
    client = dial(echo)
    frame = websocket.ABNF
    client.send_frame(frame(0, 0, 0, 0, frame.OPCODE_BINARY, 1, b"one "))
    client.ping(b"there?")
    client.send_frame(frame(1, 0, 0, 0, frame.OPCODE_CONT, 1, b"message"))
    assert client.recv_data(control_frame=True) == (frame.OPCODE_PONG, b"there?")
    assert client.recv() == b"one message"


def test_the_end_of_a_connection(dial):
    seen = []
    client = dial(lambda connection: seen.extend([connection.receive(), connection.receive()]))
    client.send_binary(b"last words")
    client.close()
    client = dial(lambda connection: seen.append(connection.receive()))
    client.sock.shutdown(socket.SHUT_RDWR)  # without the closing handshake
    client.shutdown()
    while len(seen) < 3:
        threading.Event().wait(0.01)
    assert seen == [b"last words", None, None]


def test_another_path_is_not_found(dial):
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        dial(echo, "/other")
