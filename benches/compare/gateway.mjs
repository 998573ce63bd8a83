// A gateway as one would write it in Node: oauth4webapi checks token and proof, a Map remembers the proofs.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import * as oauth from 'oauth4webapi';

const [port, upstream, jwks] = process.argv.slice(2);
const server = { issuer: 'https://id.test', jwks_uri: 'https://id.test/jwks' };
const keys = readFileSync(jwks, 'utf8');
const options = {
  requireDPoP: true,
  [oauth.customFetch]: async () => new Response(keys, { headers: { 'content-type': 'application/json' } }),
};
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const used = new Map();
setInterval(() => {
  const old = Date.now() - 120_000;
  for (const [id, at] of used) if (at < old) used.delete(id);
}, 10_000).unref();

function once(proof) {
  const { jti } = JSON.parse(Buffer.from(proof.split('.')[1], 'base64url').toString());
  if (used.has(jti)) throw new Error('replay');
  used.set(jti, Date.now());
}

http.createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
  try {
    const { authorization, dpop } = request.headers;
    const asked = new Request(`https://api.test${request.url}`, { method: request.method, headers: { authorization, dpop } });
    await oauth.validateJwtAccessToken(server, asked, 'https://api.test', options);
    once(dpop);
  } catch {
    response.writeHead(401, { 'content-length': '0', 'www-authenticate': 'DPoP' }).end();
    return;
  }
  const { authorization, dpop, ...headers } = request.headers;
  const onward = http.request({ host: '127.0.0.1', port: upstream, path: request.url, method: request.method, headers, agent });
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.writeHead(502, { 'content-length': '0' }).end());
  request.pipe(onward);
}).listen(Number(port), '127.0.0.1');
