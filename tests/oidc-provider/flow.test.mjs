// The provider alone: a whole login as the gateway makes it, with node's own cryptography, so that a
// failing scenario of the gateway can be told from a broken provider.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, randomUUID, sign, verify } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const CLIENT = 'portvakt-demo';
const REDIRECT = 'http://localhost:8080/oauth2/callback';
const SIGNED_OUT = 'http://localhost:8080/oauth2/logout/callback';
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const folder = mkdtempSync(join(tmpdir(), 'provider-'));
const logoutTokens = [];
let listener;
let child;
let issuer;
let metadata;

before(async () => {
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({
    keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'ES256' }],
  }));
  listener = createServer(async (request, response) => {
    let text = '';
    for await (const piece of request) text += piece;
    logoutTokens.push(new URLSearchParams(text).get('logout_token'));
    response.writeHead(200).end();
  });
  await new Promise((listening) => listener.listen(0, '127.0.0.1', listening));
  child = spawn(process.execPath, [
    fileURLToPath(new URL('provider.mjs', import.meta.url)),
    '--redirect-uri', REDIRECT, '--post-logout-uri', SIGNED_OUT, '--jwks', join(folder, 'jwks.json'),
    '--backchannel-uri', `http://127.0.0.1:${listener.address().port}/`, '--end-with-stdin',
  ], { stdio: ['pipe', 'pipe', 'ignore'] });
  for await (const line of createInterface(child.stdout)) {
    [, issuer] = /^ready (\S+)$/.exec(line);
    break;
  }
  metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
});

after(async () => {
  child.stdin.end();
  if (child.exitCode === null) await new Promise((ended) => child.on('exit', ended));
  listener.close();
  rmSync(folder, { recursive: true });
});

test('metadata names what the gateway relies on', () => {
  assert.equal(metadata.issuer, issuer);
  assert.equal(metadata.require_pushed_authorization_requests, true);
  assert.equal(metadata.authorization_response_iss_parameter_supported, true);
  assert.deepEqual(metadata.code_challenge_methods_supported, ['S256']);
  assert.equal(metadata.backchannel_logout_session_supported, true);
});

test('a login with a pushed request gives a signed token with level, person and session', async () => {
  const { token, claims, nonce } = await logIn(browser(), 'kari', 'idporten-loa-substantial');
  assert.equal(claims.iss, issuer);
  assert.equal(claims.aud, CLIENT);
  assert.equal(claims.nonce, nonce);
  assert.equal(claims.acr, 'idporten-loa-high');
  assert.deepEqual(claims.amr, ['BankID']);
  assert.equal(claims.given_name, 'Kari');
  assert.equal(claims.family_name, 'Åsen');
  assert.equal(claims.pid, '01817012345');
  for (const name of ['sub', 'sid', 'exp', 'iat', 'auth_time']) assert.ok(claims[name], name);
  await signatureHolds(token);
});

test('a second login in the same browser needs no form, unless more is wanted', async () => {
  const visitor = browser();
  const first = await logIn(visitor, 'ola', 'idporten-loa-substantial');
  const second = await logIn(visitor, undefined, 'idporten-loa-substantial');
  assert.equal(second.claims.sid, first.claims.sid);
  await assert.rejects(logIn(visitor, undefined, 'idporten-loa-high'), /login form/);
});

test('a request that was not pushed, or has no PKCE, is refused', async () => {
  const query = new URLSearchParams({ client_id: CLIENT, response_type: 'code', scope: 'openid', redirect_uri: REDIRECT });
  const plain = await fetch(`${metadata.authorization_endpoint}?${query}`, { redirect: 'manual' });
  assert.equal(new URL(plain.headers.get('location')).searchParams.get('error'), 'invalid_request');
  const pushed = await push({ redirect_uri: REDIRECT, response_type: 'code', scope: 'openid' });
  assert.equal(pushed.status, 400);
});

test('an assertion is taken once and only with the registered key', async () => {
  const once = assertion();
  const form = { redirect_uri: REDIRECT, response_type: 'code', scope: 'openid', code_challenge_method: 'S256', code_challenge: hash('verifier'.repeat(8)) };
  assert.equal((await push(form, once)).status, 201);
  assert.equal((await push(form, once)).status, 401);
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  assert.equal((await push(form, assertion(stranger))).status, 401);
});

test('logout ends the session, comes back, and tells the back channel', async () => {
  const visitor = browser();
  const { token, claims } = await logIn(visitor, 'ola', 'idporten-loa-substantial');
  const query = new URLSearchParams({ id_token_hint: token, post_logout_redirect_uri: SIGNED_OUT, state: 's 1' });
  const form = await visitor(`${metadata.end_session_endpoint}?${query}`);
  const [, action] = /action="([^"]+)"/.exec(form.text);
  const [, xsrf] = /name="xsrf" value="([^"]+)"/.exec(form.text);
  const back = await visitor(action, { xsrf, logout: 'yes' });
  assert.equal(back.location.split('?')[0], SIGNED_OUT);
  assert.equal(new URL(back.location).searchParams.get('state'), 's 1');
  assert.equal(logoutTokens.length, 1);
  assert.equal(part(logoutTokens[0], 1).sid, claims.sid);
  assert.equal(part(logoutTokens[0], 0).typ, 'logout+jwt');
  await assert.rejects(logIn(visitor, undefined, 'idporten-loa-substantial'), /login form/);
});

async function logIn(visitor, person, acr) {
  const [state, nonce, verifier] = [randomUUID(), randomUUID(), randomUUID() + randomUUID()];
  const pushed = await push({
    response_type: 'code', scope: 'openid profile', redirect_uri: REDIRECT, state, nonce, acr_values: acr,
    code_challenge: hash(verifier), code_challenge_method: 'S256',
  });
  assert.equal(pushed.status, 201);
  const { request_uri } = await pushed.json();
  const query = new URLSearchParams({ client_id: CLIENT, request_uri });
  let answer = await visitor(`${metadata.authorization_endpoint}?${query}`);
  for (let hop = 0; hop < 8 && !answer.location?.startsWith(REDIRECT); hop += 1) {
    if (answer.location) answer = await visitor(new URL(answer.location, issuer).href);
    else if (person && answer.text.includes('name="person"')) answer = await visitor(answer.url, { person });
    else throw new Error('stopped at the login form');
  }
  const callback = new URL(answer.location).searchParams;
  assert.equal(callback.get('state'), state);
  assert.equal(callback.get('iss'), issuer);
  const redeemed = await post(metadata.token_endpoint, {
    grant_type: 'authorization_code', code: callback.get('code'), redirect_uri: REDIRECT, code_verifier: verifier,
    client_id: CLIENT, ...proof(assertion()),
  });
  assert.equal(redeemed.status, 200);
  const token = (await redeemed.json()).id_token;
  return { token, nonce, claims: part(token, 1) };
}

/** A browser's cookie jar for one origin; follows nothing by itself. */
function browser() {
  const jar = new Map();
  return async (url, form) => {
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET',
      body: form && new URLSearchParams(form),
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
      redirect: 'manual',
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value) jar.set(name, value); else jar.delete(name);
    }
    return { url, status: response.status, location: response.headers.get('location'), text: await response.text() };
  };
}

function push(form, token = assertion()) {
  return post(metadata.pushed_authorization_request_endpoint, { client_id: CLIENT, ...form, ...proof(token) });
}

function post(url, form) {
  return fetch(url, { method: 'POST', body: new URLSearchParams(form) });
}

function proof(token) {
  return { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: token };
}

function assertion(key = privateKey) {
  const now = Math.floor(Date.now() / 1000);
  const input = [{ alg: 'ES256', kid: 'k1' }, { iss: CLIENT, sub: CLIENT, aud: issuer, iat: now, exp: now + 60, jti: randomUUID() }]
    .map((half) => Buffer.from(JSON.stringify(half)).toString('base64url')).join('.');
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

async function signatureHolds(token) {
  const { keys } = await (await fetch(metadata.jwks_uri)).json();
  const { alg, kid } = part(token, 0);
  assert.equal(alg, 'RS256');
  const key = createPublicKey({ key: keys.find((candidate) => candidate.kid === kid), format: 'jwk' });
  const [header, payload, signature] = token.split('.');
  assert.ok(verify('sha256', Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url')));
}

function part(token, index) {
  return JSON.parse(Buffer.from(token.split('.')[index], 'base64url').toString());
}

function hash(text) {
  return createHash('sha256').update(text).digest('base64url');
}
