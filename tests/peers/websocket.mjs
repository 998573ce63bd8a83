// WebSocket by npm's `ws`: websocket.mjs server, or websocket.mjs client HOST PORT with {"headers": …} on its input.

import { createRequire } from "node:module";
import net from "node:net";
import { text } from "node:stream/consumers";

const require = createRequire(new URL("../interop/package.json", import.meta.url));
const { WebSocket, WebSocketServer } = require("ws");

function server() {
  const choose = (asked) => (asked.has("chat.v2") ? "chat.v2" : false);
  const listening = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: choose, perMessageDeflate: true }, () =>
    console.log(listening.address().port),
  );
  listening.on("connection", (connection, request) => {
    connection.send(request.headers["x-auth-subject"] ?? "nobody");
    connection.on("message", (message, binary) => connection.send(message, { binary }));
  });
}

async function client(host, port) {
  const { headers } = JSON.parse(await text(process.stdin));
  const connection = new WebSocket("ws://api.test/chat", ["chat.v1", "chat.v2"], {
    headers,
    createConnection: () => net.connect(Number(port), host),
  });
  const waiting = [];
  const come = [];
  connection.on("message", (message, binary) => (waiting.shift() ?? ((one) => come.push(one)))(binary ? message : message.toString()));
  const next = () => (come.length ? Promise.resolve(come.shift()) : new Promise((resolve) => waiting.push(resolve)));
  const event = (name) => new Promise((resolve) => connection.once(name, resolve));
  await event("open");
  const said = { greeting: await next(), subprotocol: connection.protocol };
  connection.send("hello");
  said.text = await next();
  const sent = Buffer.alloc(1 << 20, Buffer.from([...Array(256).keys()]));
  connection.send(sent);
  said.bytes = sent.equals(await next());
  const pong = event("pong");
  connection.ping();
  said.pong = Boolean(await Promise.race([pong.then(() => true), new Promise((resolve) => setTimeout(resolve, 10000, false).unref())]));
  const closed = event("close");
  connection.close(4001, "done");
  said.close = await closed;
  console.log(JSON.stringify(said));
}

if (process.argv[2] === "server") server();
else await client(process.argv[3], process.argv[4]);
