// A resource server as express-oauth2-jwt-bearer's documentation would have it: DPoP where the token is bound, behind a proxy that ends TLS.
// Argument: JSON { issuer, audience, now, jwk }. Prints JSON { address }, then answers until standard input ends.
const { issuer, audience, now, jwk } = JSON.parse(process.argv[2])

// The test's own moment: both servers judge by the same clock.
const Real = Date
globalThis.Date = class extends Real {
  constructor(...given) {
    if (given.length) super(...given)
    else super(now * 1000)
  }
  static now() {
    return now * 1000
  }
}

const { default: express } = await import('express')
const { auth } = await import('express-oauth2-jwt-bearer')
const { createServer } = await import('node:http')

const keys = createServer((_, response) => {
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify({ keys: [jwk] }))
})
await new Promise((bound) => keys.listen(0, '127.0.0.1', bound))

const app = express()
app.set('trust proxy', true)
app.use(
  auth({
    issuer,
    audience,
    jwksUri: `http://127.0.0.1:${keys.address().port}/jwks`,
    tokenSigningAlg: 'ES256',
    strict: true,
    clockTolerance: 10,
    dpop: { enabled: true, required: true, iatOffset: 60, iatLeeway: 10 },
  }),
)
app.use((_, response) => response.json({ ok: true }))
app.use((error, _request, response, _next) => {
  response.set(error.headers ?? {})
  response.status(error.status ?? 500).json({ error: error.code ?? error.name, description: error.message })
})
const server = createServer(app)
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ address: `127.0.0.1:${server.address().port}` }))
})
process.stdin.on('end', () => process.exit()).resume()
