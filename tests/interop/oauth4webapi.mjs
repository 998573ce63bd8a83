// A client as oauth4webapi's documentation would have it: discovery, client credentials, one call to the API.
// Argument: JSON { issuer, clientId, resource, scope, url, method, alg }. Prints JSON { status, body, token, challenged }.
import * as oauth from 'oauth4webapi'

const { issuer, clientId, resource, scope, url, method, alg } = JSON.parse(process.argv[2])
const plain = { [oauth.allowInsecureRequests]: true }

const issuerUrl = new URL(issuer)
const discovered = await oauth.discoveryRequest(issuerUrl, { algorithm: 'oauth2', ...plain })
const as = await oauth.processDiscoveryResponse(issuerUrl, discovered)

const client = { client_id: clientId }
const auth = oauth.ClientSecretBasic(`${clientId}-secret`)
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg))
const challenged = { token: false, api: false }

// The library says what was asked for; trying again is the caller's.
async function withNonce(where, attempt) {
  try {
    return await attempt()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    challenged[where] = true
    return await attempt()
  }
}

const token = await withNonce('token', async () => {
  const response = await oauth.clientCredentialsGrantRequest(as, client, auth, { resource, scope }, { DPoP, ...plain })
  return await oauth.processClientCredentialsResponse(as, client, response)
})

const headers = new Headers({ 'X-Auth-Subject': 'admin', x_auth_subject: 'admin' })
const response = await withNonce('api', () =>
  oauth.protectedResourceRequest(token.access_token, method, new URL(url), headers, null, { DPoP, ...plain }),
)

console.log(
  JSON.stringify({
    status: response.status,
    body: await response.text(),
    token: token.access_token,
    tokenType: token.token_type,
    challenged,
  }),
)
