// An opaque token, used twice, then revoked, then used until it is refused.
// Argument: JSON { issuer, clientId, resource, scope, url, method, alg }. Prints JSON { statuses, revoked, body, token }.
import * as oauth from 'oauth4webapi'

const { issuer, clientId, resource, scope, url, method, alg } = JSON.parse(process.argv[2])

const insecure = { [oauth.allowInsecureRequests]: true }
const server = await oauth
  .discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...insecure })
  .then((response) => oauth.processDiscoveryResponse(new URL(issuer), response))
const client = { client_id: clientId }
const authentication = oauth.ClientSecretBasic(`${clientId}-secret`)
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg))

const granted = await oauth
  .clientCredentialsGrantRequest(server, client, authentication, new URLSearchParams({ resource, scope }), { DPoP, ...insecure })
  .then((response) => oauth.processClientCredentialsResponse(server, client, response))
const token = granted.access_token

async function call() {
  for (let tries = 0; ; tries += 1) {
    try {
      const response = await oauth.protectedResourceRequest(token, method, new URL(url), undefined, undefined, { DPoP, ...insecure })
      return { status: response.status, body: await response.text() }
    } catch (error) {
      // The gateway has only just started, and asks for a nonce.
      if (tries < 2 && oauth.isDPoPNonceError(error)) continue
      if (error instanceof oauth.WWWAuthenticateChallengeError) return { status: error.status, body: '' }
      throw error
    }
  }
}

const first = await call()
const second = await call()
await oauth
  .revocationRequest(server, client, authentication, token, insecure)
  .then((response) => oauth.processRevocationResponse(response))
let last = await call()
for (let tries = 0; tries < 50 && last.status === 200; tries += 1) {
  await new Promise((resolve) => setTimeout(resolve, 100))
  last = await call()
}

console.log(JSON.stringify({ statuses: [first.status, second.status], revoked: last.status, body: second.body, token }))
