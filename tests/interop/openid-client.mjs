// The same journey with openid-client, which tries again with the nonce by itself.
// Argument: JSON { issuer, clientId, resource, scope, url, method, alg }. Prints JSON { status, body, token, tokenType }.
import * as client from 'openid-client'

const { issuer, clientId, resource, scope, url, method, alg } = JSON.parse(process.argv[2])

const config = await client.discovery(new URL(issuer), clientId, undefined, client.ClientSecretBasic(`${clientId}-secret`), {
  algorithm: 'oauth2',
  execute: [client.allowInsecureRequests],
})
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg))
const token = await client.clientCredentialsGrant(config, { resource, scope }, { DPoP })
const response = await client.fetchProtectedResource(config, token.access_token, new URL(url), method, undefined, undefined, {
  DPoP,
})

console.log(
  JSON.stringify({
    status: response.status,
    body: await response.text(),
    token: token.access_token,
    tokenType: token.token_type,
  }),
)
