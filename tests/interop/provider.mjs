// A real authorization server on a free port of loopback: oidc-provider with DPoP, resource indicators and JWT access tokens; for the
// resource with /opaque behind it opaque ones, which it can be asked about and which it revokes.
// With tls it speaks https, asks for client certificates, and binds the tokens of the client mtls to what was shown (RFC 8705).
// Argument: JSON { resource, requireNonce, tls: { cert, key } or null }. Prints one line of JSON, { issuer }, when it listens; ends when stdin does.
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { exportJWK, generateKeyPair } from 'jose'
import { Provider } from 'oidc-provider'

const { resource, requireNonce, tls } = JSON.parse(process.argv[2])

async function signingKey(alg, kid) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  return { ...(await exportJWK(privateKey)), alg, kid, use: 'sig' }
}

function client(id, more) {
  return {
    client_id: id,
    client_secret: `${id}-secret`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    dpop_bound_access_tokens: true,
    ...more,
  }
}

// Whose certificate it is does not matter: tokens are bound to it, and the secret says who the client is.
const server = tls ? https.createServer({ ...tls, requestCert: true, rejectUnauthorized: false }) : http.createServer()
server.listen(0, '127.0.0.1', async () => {
  const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`
  const provider = new Provider(issuer, {
    jwks: { keys: [await signingKey('ES256', 'es'), await signingKey('Ed25519', 'ed')] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [
      client('basic'),
      client('post', { token_endpoint_auth_method: 'client_secret_post' }),
      client('gateway'),
      ...(tls ? [client('mtls', { dpop_bound_access_tokens: false, tls_client_certificate_bound_access_tokens: true })] : []),
    ],
    scopes: ['orders:read', 'orders:write'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => requireNonce },
      mTLS: {
        enabled: Boolean(tls),
        certificateBoundAccessTokens: true,
        getCertificate: (ctx) => ctx.req.socket.getPeerX509Certificate(),
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(_ctx, asked) {
          const opaque = asked === `${resource}/opaque`
          if (asked !== resource && !opaque) throw new Error('unknown resource')
          return {
            scope: 'orders:read orders:write',
            audience: asked,
            accessTokenFormat: opaque ? 'opaque' : 'jwt',
            accessTokenTTL: 300,
            jwt: { sign: { alg: 'ES256' } },
          }
        },
      },
    },
  })
  server.on('request', provider.callback())
  console.log(JSON.stringify({ issuer }))
})

process.stdin.resume().on('end', () => process.exit(0))
