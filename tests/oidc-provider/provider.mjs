// A certified OpenID provider (`oidc-provider`) on loopback, so that the gateway and its simulator are
// held to the protocol and not to each other. It pushes authorization requests (RFC 9126), knows one
// client with `private_key_jwt`, demands PKCE S256 and answers with `iss` (RFC 9207).
//
//   node provider.mjs --port 0 --redirect-uri URL --jwks FILE [--post-logout-uri URL]
//        [--client-id portvakt-demo] [--backchannel-uri URL] [--alg RS256|ES256|PS256] [--end-with-stdin]
//        [--refresh SECONDS]
//
// `--jwks` names the client's public key set. Prints `ready <issuer>` when it listens.
// `--refresh` gives refresh tokens, exchanged at each use, and access tokens that live so long.
// `--end-with-stdin` ends the process when whoever started it has gone.

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import Provider, { interactionPolicy } from 'oidc-provider';

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    'client-id': { type: 'string', default: 'portvakt-demo' },
    'redirect-uri': { type: 'string', multiple: true },
    'post-logout-uri': { type: 'string', multiple: true, default: [] },
    'backchannel-uri': { type: 'string' },
    jwks: { type: 'string' },
    alg: { type: 'string', default: 'RS256' },
    refresh: { type: 'string' },
    'end-with-stdin': { type: 'boolean', default: false },
  },
});
if (!options.jwks || !options['redirect-uri']) {
  console.error('provider.mjs: --jwks and --redirect-uri are needed');
  process.exit(2);
}

// Invented persons. The numbers have a month above 80, which no real person has.
const PERSONS = {
  kari: {
    acr: 'idporten-loa-high', amr: ['BankID'], given_name: 'Kari', family_name: 'Åsen', pid: '01817012345',
  },
  ola: {
    acr: 'idporten-loa-substantial', amr: ['Minid-PIN'], given_name: 'Ola', family_name: 'Nordmann', pid: '02828054321',
  },
};

// The values in the order of what they are worth.
const LEVELS = ['idporten-loa-low', 'idporten-loa-substantial', 'idporten-loa-high'];

const server = createServer();
await new Promise((listening) => server.listen(Number(options.port), '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, configuration());
server.on('request', (request, response) => {
  answer(request, response).catch((error) => {
    // The class alone: a message could quote a request.
    console.error(`provider.mjs: ${error.name}`);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
if (options['end-with-stdin']) process.stdin.on('end', () => process.exit(0)).resume();
console.log(`ready ${issuer}`);

async function answer(request, response) {
  if (!request.url.startsWith('/interaction/')) return provider.callback()(request, response);
  if (request.method === 'POST') return login(request, response);
  return page(response, 200, 'Log in', `<form method="post"><label>Person <input name="person"></label>
<button>Log in</button></form><p>${Object.keys(PERSONS).join(', ')}</p>`);
}

async function login(request, response) {
  const name = new URLSearchParams(await body(request)).get('person');
  if (!Object.hasOwn(PERSONS, name)) return page(response, 400, 'Nobody of this name', '');
  const { acr, amr } = PERSONS[name];
  return provider.interactionFinished(request, response, { login: { accountId: name, acr, amr } });
}

async function body(request) {
  let text = '';
  for await (const piece of request) {
    text += piece;
    if (text.length > 1024) throw new RangeError();
  }
  return text;
}

function page(response, status, title, content) {
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  response.end(`<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1>${content}</html>`);
}

function configuration() {
  return {
    clients: [{
      client_id: options['client-id'],
      grant_types: options.refresh ? ['authorization_code', 'refresh_token'] : ['authorization_code'],
      response_types: ['code'],
      redirect_uris: options['redirect-uri'],
      post_logout_redirect_uris: options['post-logout-uri'],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: JSON.parse(readFileSync(options.jwks, 'utf8')),
      id_token_signed_response_alg: options.alg,
      ...(options['backchannel-uri'] && {
        backchannel_logout_uri: options['backchannel-uri'],
        backchannel_logout_session_required: true,
      }),
    }],
    clientAuthMethods: ['private_key_jwt'],
    responseTypes: ['code'],
    scopes: ['openid', 'profile'],
    acrValues: LEVELS,
    claims: { openid: ['sub', 'acr', 'amr', 'auth_time', 'sid'], profile: ['given_name', 'family_name', 'pid'] },
    // The gateway reads the ID token alone.
    conformIdTokenClaims: false,
    pkce: { methods: ['S256'], required: () => true },
    features: {
      devInteractions: { enabled: false },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true },
      rpInitiatedLogout: { enabled: true, logoutSource: confirmLogout },
      backchannelLogout: { enabled: true },
      resourceIndicators: { enabled: false },
      revocation: { enabled: true },
    },
    issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    interactions: { policy: policy(), url: (_, interaction) => `/interaction/${interaction.uid}` },
    // The one client may have what it asks for: nobody is asked to consent.
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid profile');
      await grant.save();
      return grant;
    },
    findAccount: (_, name) => (Object.hasOwn(PERSONS, name)
      ? { accountId: name, claims: () => ({ sub: subject(name), ...identity(PERSONS[name]) }) }
      : undefined),
    cookies: { keys: [randomBytes(32).toString('hex')] },
    jwks: { keys: [signingKey('rsa', { modulusLength: 2048 }), signingKey('ec', { namedCurve: 'P-256' })] },
    ttl: { IdToken: 120, AuthorizationCode: 60, PushedAuthorizationRequest: 60, AccessToken: Number(options.refresh ?? 120), RefreshToken: 600, Session: 7200, Grant: 7200, Interaction: 600 },
  };
}

// ID-porten asks again when the session has less than what is wanted; oidc-provider alone does so
// only for an essential claim.
function policy() {
  const rules = interactionPolicy.base();
  rules.get('login').checks.add(new interactionPolicy.Check('acr_values', 'a stronger login is wanted', (ctx) => {
    const wanted = (ctx.oidc.params.acr_values ?? '').split(' ').filter((acr) => LEVELS.includes(acr));
    const least = Math.min(...wanted.map((acr) => LEVELS.indexOf(acr)));
    const reached = LEVELS.indexOf(ctx.oidc.session.acr);
    // After a login of this very request the answer is given as it is; the client judges it.
    return wanted.length > 0 && reached < least && !ctx.oidc.result?.login
      ? interactionPolicy.Check.REQUEST_PROMPT : interactionPolicy.Check.NO_NEED_TO_PROMPT;
  }));
  rules.remove('consent');
  return rules;
}

function confirmLogout(ctx, form) {
  ctx.body = `<!doctype html><html lang="en"><title>Log out</title><h1>Log out?</h1>${form}
<button form="op.logoutForm" name="logout" value="yes">Log out</button></html>`;
}

function identity({ given_name, family_name, pid }) {
  return { given_name, family_name, pid };
}

// Not the person's name: nothing downstream may rely on `sub` being readable.
function subject(name) {
  return createHash('sha256').update(`${options['client-id']} ${name}`).digest('base64url');
}

function signingKey(type, parameters) {
  const { privateKey } = generateKeyPairSync(type, parameters);
  const jwk = privateKey.export({ format: 'jwk' });
  return { ...jwk, use: 'sig', kid: randomBytes(8).toString('hex') };
}
