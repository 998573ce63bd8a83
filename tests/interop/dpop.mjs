// The smallest client: `dpop` makes the proofs, fetch does the rest, and the nonce is followed by hand.
// Argument: JSON { issuer, clientId, resource, scope, url, method, alg }. Prints JSON { status, body, token, tokenType }.
import * as dpop from 'dpop'

const { issuer, clientId, resource, scope, url, method, alg } = JSON.parse(process.argv[2])
const keypair = await dpop.generateKeyPair(alg)

async function call(url, init, token) {
  let response
  let nonce
  for (let attempt = 0; attempt < 2; attempt++) {
    const headers = new Headers(init.headers)
    headers.set('DPoP', await dpop.generateProof(keypair, url, init.method, nonce, token))
    response = await fetch(url, { ...init, headers })
    nonce = response.headers.get('DPoP-Nonce')
    if (response.ok || !nonce) break
  }
  return response
}

const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json()
const grant = await call(metadata.token_endpoint, {
  method: 'POST',
  headers: { Authorization: `Basic ${btoa(`${clientId}:${clientId}-secret`)}` },
  body: new URLSearchParams({ grant_type: 'client_credentials', resource, scope }),
})
const token = await grant.json()
const response = await call(url, { method, headers: { Authorization: `DPoP ${token.access_token}` } }, token.access_token)

console.log(
  JSON.stringify({
    status: response.status,
    body: await response.text(),
    token: token.access_token,
    tokenType: token.token_type,
  }),
)
