// What `make pages` needs around the gateway besides the simulator: an application that takes requests and never
// answers, and a provider that tells where it is and is not there: no pushed request reaches it, and it cannot end a
// session.
//
//   node surroundings.mjs SLOW_PORT PROVIDER_PORT

import { generateKeyPairSync } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';

const [slowPort, providerPort] = process.argv.slice(2).map(Number);
const issuer = `http://127.0.0.1:${providerPort}`;
const nobody = 'http://127.0.0.1:1';
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
const documents = {
  '/.well-known/openid-configuration': {
    issuer,
    authorization_endpoint: `${nobody}/authorize`,
    pushed_authorization_request_endpoint: `${nobody}/par`,
    token_endpoint: `${nobody}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['ES256'],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['private_key_jwt'],
    authorization_response_iss_parameter_supported: true,
  },
  '/jwks': { keys: [{ ...key, kid: 'k', use: 'sig', alg: 'ES256' }] },
};

createServer((socket) => socket.on('error', () => {})).listen(slowPort, '127.0.0.1');
createHttpServer((request, response) => {
  const document = documents[request.url];
  response.writeHead(document ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(document ?? {}));
}).listen(providerPort, '127.0.0.1', () => console.log('ready'));
