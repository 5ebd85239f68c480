// Writes vectors of requests as they left a running gateway: what the app echoed.
//
// Usage, within tests/tools/demo.sh: node tests/kits/capture.mjs KEYS OUTPUT
//   KEYS  the gateway's folder of key files, for the secret that the app shares

import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';

const [keys, output] = process.argv.slice(2);
const { GATEWAY } = process.env;
const jar = new Map();

function ask(url, { method = 'GET', body } = {}) {
  const cookies = [...jar].filter(([, { path }]) => url.pathname.startsWith(path));
  const headers = { Accept: 'text/html', Cookie: cookies.map(([name, { value }]) => `${name}=${value}`).join('; ') };
  if (url.origin !== GATEWAY || headers.Cookie === '') delete headers.Cookie;
  if (body !== undefined) Object.assign(headers, { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': body.length });
  return new Promise((then, fail) => {
    const sent = request(url, { method, headers, agent: false }, async (answer) => {
      let text = '';
      for await (const part of answer) text += part;
      for (const line of url.origin === GATEWAY ? answer.headers['set-cookie'] ?? [] : []) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        const path = /; *Path=([^;]+)/i.exec(line)?.[1] ?? '/';
        if (/; *Max-Age=0(;|$)/i.test(line)) jar.delete(name);
        else jar.set(name, { value, path });
      }
      then({ status: answer.statusCode, location: answer.headers.location, text });
    });
    sent.setTimeout(20_000, () => sent.destroy(new Error('no answer')));
    sent.on('error', fail);
    sent.end(body);
  });
}

// A login without a page, as in the provider's test environment.
async function logIn(path) {
  let url = new URL(path, GATEWAY);
  for (let step = 0; step < 10; step += 1) {
    const answer = await ask(url);
    if (answer.status === 200) return;
    url = new URL(answer.location, url);
    if (url.searchParams.has('request_uri')) url.searchParams.set('login_hint', `testid:${FNR}_idporten-loa-high`);
  }
  throw new Error('nobody was logged in');
}

const persons = JSON.parse((await ask(new URL('/persons.json', process.env.SIMULATOR))).text);
const FNR = persons.find((person) => person.id === 'bankid-high').fnr;
const { keys: published } = JSON.parse((await ask(new URL('/.well-known/portvakt/jwks.json', GATEWAY))).text);
const shared = JSON.parse(readFileSync(join(keys, 'app-app.json'), 'utf8')).keys;
const secrets = Object.fromEntries(shared.map(({ id, secret }) => [id, secret]));
const assertion = { algorithm: 'ES256', issuer: GATEWAY, keys: published };
const configs = {
  both: { audience: 'app', signature: { algorithm: 'ed25519', keys: published, nonces: true }, assertion },
  ecdsa: { audience: 'app', signature: { algorithm: 'ecdsa-p256-sha256', keys: published } },
  hmac: { audience: 'app', signature: { algorithm: 'hmac-sha256', secrets } },
  ecdsaDigest: { audience: 'app', signature: { algorithm: 'ecdsa-p256-sha256', keys: published, content_digest: true } },
  // Renamed facts and those of a preset are no facts of the kit's, but they must be covered.
  preset: { audience: 'app', signature: {
    algorithm: 'ecdsa-p256-sha256', keys: published, headers: ['SMUSER', 'SMUNIVERSALID', 'SMSERVERSESSIONID', 'X-Level'] } },
  digest: { audience: 'app', signature: { algorithm: 'ed25519', keys: published, content_digest: true } },
  assertion: { audience: 'app', assertion },
};
const ROUTES = [
  ['both', '/signed'], ['ecdsa', '/kits/ecdsa'], ['hmac', '/kits/hmac'], ['digest', '/kits/digest'],
  ['ecdsaDigest', '/kits/ecdsa-digest'],
  ['assertion', '/kits/assertion'],
];
const vectors = [];

async function capture(config, path, who, over) {
  const answer = await ask(new URL(path, GATEWAY), over);
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
  const { method, target, headers } = JSON.parse(answer.text);
  // How long the body is, the runner says.
  const kept = headers.filter(([name]) => !['connection', 'content-length', 'content-type', 'transfer-encoding'].includes(name.toLowerCase()));
  const body = over?.body === undefined ? {} : { body: Buffer.from(over.body).toString('base64') };
  const now = Math.floor(Date.now() / 1000);
  vectors.push({ name: `captured: ${method} ${path}`, config, steps: [{ now, method, target, headers: kept, ...body, expect: 'accept', who }] });
}

for (const [config, route] of ROUTES.filter(([config]) => config !== 'assertion')) await capture(config, `${route}/open/echo`, null);
await logIn('/app/');
for (const [config, route] of ROUTES) {
  await capture(config, `${route}/echo`, FNR);
  await capture(config, `${route}/a%20b/%C3%A5/echo?x=1&y=%2F&z`, FNR);
  await capture(config, `${route}/echo?`, FNR, { method: 'POST', body: 'amount=1&to=2' });
}
await capture('preset', '/kits/preset/echo?x=1', null);
writeFileSync(output, JSON.stringify({ format: 1, configs, vectors }));
console.log(`${vectors.length} requests captured from the gateway`);
