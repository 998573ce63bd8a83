#!/usr/bin/env python3
"""What tunnels, streams and large bodies cost in memory: benches/streams.py [KEYPROOF]

Starts the gateway (target/release/keyproof) before an upstream of its own on loopback, and prints how much its resident memory grows with each
open WebSocket and each answer that goes on, over HTTP/1.1 in the clear and over TLS, and how far it rises while 2 GiB go each way.
"""

import asyncio
import pathlib
import ssl
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
MANY = 1000
BODY = 2 << 30
PIECE = bytes(64 << 10)

CONFIGURATION = """
listeners:
  - {{ name: plain, address: "127.0.0.1:{plain}" }}
  - {{ name: tls, address: "127.0.0.1:{tls}", tls: {{ certificate: tls.crt, private_key: tls.key }} }}
admin: {{ address: "127.0.0.1:{admin}" }}
public_origins: ["https://api.test"]
upstreams:
  - {{ name: one, servers: ["http://127.0.0.1:{upstream}"], connections: 10000 }}
routes:
  - {{ name: all, match: {{ path: / }}, upstream: one, public: true, upgrades: [websocket] }}
"""
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
SWITCHED = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


async def serve(reader, writer):
    """The upstream: echoes through a tunnel, begins answers that go on, takes and gives large bodies."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ", 2)[1]
            if path == b"/tunnel":
                writer.write(SWITCHED)
                while data := await reader.read(1 << 16):
                    writer.write(data)
                    await writer.drain()
                return
            if path == b"/stream":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n")
                await reader.read()
                return
            if path == b"/down":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BODY)
                for _ in range(BODY // len(PIECE)):
                    writer.write(PIECE)
                    await writer.drain()
            else:
                left = BODY
                while left:
                    left -= len(await reader.read(min(left, 1 << 20)))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


class Gateway:
    def __init__(self, program, directory, upstream):
        self.plain, self.tls, admin = (free() for _ in range(3))
        config = pathlib.Path(directory) / "keyproof.yaml"
        config.write_text(CONFIGURATION.format(plain=self.plain, tls=self.tls, admin=admin, upstream=upstream))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=api.test",
                        "-addext", "subjectAltName=DNS:api.test", "-keyout", "tls.key", "-out", "tls.crt"],
                       cwd=directory, check=True, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen([program, "serve", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def resident(self):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    async def ask(self, path, more=b"", tls=False):
        trust = None
        if tls:
            trust = ssl.create_default_context()
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        for _ in range(100):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.tls if tls else self.plain, ssl=trust)
                break
            except OSError:
                await asyncio.sleep(0.05)
        method = b"POST" if path == b"/up" else b"GET"
        writer.write(b"%s %s HTTP/1.1\r\nHost: api.test\r\n%s\r\n" % (method, path, more))
        return reader, writer


def free():
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def many(gateway, what, path, more, tls):
    """What each of so many takes while it is open."""
    before, held = gateway.resident(), []
    for _ in range(MANY):
        reader, writer = await gateway.ask(path, more, tls)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] in (b"101", b"200"), head
        if path == b"/tunnel":
            writer.write(b"a message of some length" * 8)
            await reader.readexactly(24 * 8)
        held.append(writer)
    await asyncio.sleep(1)
    grown = gateway.resident() - before
    for writer in held:
        writer.close()
    await asyncio.sleep(3)
    print(f"{what:34} {grown / MANY:6.1f} KiB each; {(gateway.resident() - before) / 1024:5.1f} MiB kept after {MANY} have gone")


async def large(gateway, tls):
    """How far it rises meanwhile."""
    before, most, done = gateway.resident(), 0, False

    async def watch():
        nonlocal most
        while not done:
            most = max(most, gateway.resident())
            await asyncio.sleep(0.02)

    async def down():
        reader, _ = await gateway.ask(b"/down", tls=tls)
        await reader.readuntil(b"\r\n\r\n")
        left = BODY
        while left:
            left -= len(await reader.read(1 << 20))

    async def up():
        reader, writer = await gateway.ask(b"/up", b"Content-Length: %d\r\n" % BODY, tls)
        for _ in range(BODY // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
        assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"204"

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(down(), up())
    done = True
    await watching
    print(f"{'2 GiB each way' + (', TLS' if tls else ''):34} {(most - before) / 1024:6.1f} MiB more at most")


async def main():
    program = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/keyproof"
    upstream = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    with tempfile.TemporaryDirectory() as directory:
        gateway = Gateway(program, directory, upstream.sockets[0].getsockname()[1])
        try:
            # What is made once is made before anything is counted.
            for tls in (False, True):
                for path, more in ((b"/tunnel", UPGRADE), (b"/stream", b"")):
                    reader, writer = await gateway.ask(path, more, tls)
                    await reader.readuntil(b"\r\n\r\n")
                    writer.close()
            await asyncio.sleep(1)
            print(f"{'idle':34} {gateway.resident() / 1024:6.1f} MiB")
            for tls in (False, True):
                end = ", TLS" if tls else ""
                await many(gateway, "a WebSocket" + end, b"/tunnel", UPGRADE, tls)
                await many(gateway, "an answer that goes on" + end, b"/stream", b"", tls)
                await large(gateway, tls)
        finally:
            gateway.process.terminate()
            gateway.process.wait()


asyncio.run(main())
