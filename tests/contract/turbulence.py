"""A server for turbulence.rs, which kills it: it writes down each request before it answers."""

import asyncio
import os
import sys


class Answers(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.read = transport, b""

    def data_received(self, data):
        self.read += data
        while b"\r\n\r\n" in self.read:
            head, self.read = self.read.split(b"\r\n\r\n", 1)
            path = head.split(b" ")[1]
            if path != b"/healthz":
                os.write(LOG, path + b"\n")
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def main(host, port):
    server = await asyncio.get_running_loop().create_server(Answers, host, port)
    await server.serve_forever()


LOG = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
