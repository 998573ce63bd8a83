"""WebSocket by `websockets`: websocket.py server, or websocket.py client HOST PORT with {"headers": …} on its input."""

import json
import socket
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve


def server():
    def talk(connection):
        connection.send(connection.request.headers.get("x-auth-subject", "nobody"))
        try:
            for message in connection:
                connection.send(message)
        except ConnectionClosed:
            pass  # with a code of the client's own

    with serve(talk, "127.0.0.1", 0, subprotocols=["chat.v2"], max_size=None) as listening:
        print(listening.socket.getsockname()[1], flush=True)
        listening.serve_forever()


def client(host, port):
    given = json.load(sys.stdin)
    to = socket.create_connection((host, int(port)))
    wishes = {"additional_headers": given["headers"], "subprotocols": ["chat.v1", "chat.v2"], "max_size": None}
    with connect("ws://api.test/chat", sock=to, proxy=None, **wishes) as connection:
        said = {"greeting": connection.recv(), "subprotocol": connection.subprotocol}
        connection.send("hello")
        said["text"] = connection.recv()
        sent = bytes(range(256)) * 4096
        connection.send(sent)
        said["bytes"] = connection.recv() == sent
        said["pong"] = connection.ping().wait(10)
        connection.close(4001, "done")
        said["close"] = connection.close_code
    print(json.dumps(said))


if sys.argv[1] == "server":
    server()
else:
    client(sys.argv[2], sys.argv[3])
