// A token that is bound to a client certificate (RFC 8705), used with that certificate, with another one, and without.
// Argument: JSON { issuer, clientId, resource, scope, url, ca, clients: { own, other } }, each client { cert, key }.
// Prints JSON { token, tokenType, status, body, other, none }.
import https from 'node:https'
import * as client from 'openid-client'

const { issuer, clientId, resource, scope, url, ca, clients } = JSON.parse(process.argv[2])

// fetch of node shows no certificate without a package of its own.
function showing(identity) {
  return (target, { method, headers, body }) =>
    new Promise((resolve, reject) => {
      const sent = https.request(target, { method, headers: Object.fromEntries(new Headers(headers)), ca, ...identity, agent: false }, (answer) => {
        const parts = []
        answer.on('data', (part) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () => {
          const fields = Object.entries(answer.headersDistinct).flatMap(([name, values]) => values.map((value) => [name, value]))
          resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: fields }))
        })
      })
      sent.on('error', reject)
      sent.end(body === undefined || body === null ? undefined : body.toString())
    })
}

const config = await client.discovery(new URL(issuer), clientId, undefined, client.ClientSecretBasic(`${clientId}-secret`), {
  algorithm: 'oauth2',
  [client.customFetch]: showing(clients.own),
})
const token = await client.clientCredentialsGrant(config, { resource, scope })

async function call(identity) {
  config[client.customFetch] = showing(identity)
  try {
    const response = await client.fetchProtectedResource(config, token.access_token, new URL(url), 'GET')
    return { status: response.status, body: await response.text() }
  } catch (error) {
    if (error instanceof client.WWWAuthenticateChallengeError) return { status: error.status, body: '' }
    throw error
  }
}

const own = await call(clients.own)
const other = await call(clients.other)
const none = await call({})
console.log(
  JSON.stringify({
    token: token.access_token,
    tokenType: token.token_type,
    status: own.status,
    body: own.body,
    other: other.status,
    none: none.status,
  }),
)
