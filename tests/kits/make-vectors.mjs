// Writes deploy/verify/vectors/*.json: requests, with what every kit must say of them.
//
// Usage: node tests/kits/make-vectors.mjs
//
// Its keys are of this file and of no gateway. It signs by RFC 9421 and RFC 7515 on its own, with Node's
// cryptography: nothing of the gateway or of a kit is used, so that a mistake of theirs shows.

import { createHash, createHmac, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';

const folder = new URL('../../deploy/verify/vectors/', import.meta.url);
const CREATED = 1790000000;
const NOW = CREATED + 5;
const FNR = '17838534171';
const base64url = (bytes) => Buffer.from(bytes).toString('base64url');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest();

// --- keys ---------------------------------------------------------------------------------------------

function ed25519(kid, seed) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), sha256(seed)]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return { kid, key, jwk: { alg: 'EdDSA', crv: 'Ed25519', kid, kty: 'OKP', use: 'sig', x } };
}

function p256(kid, x, y, d) {
  const key = createPrivateKey({ key: { kty: 'EC', crv: 'P-256', x, y, d }, format: 'jwk' });
  return { kid, key, jwk: { alg: 'ES256', crv: 'P-256', kid, kty: 'EC', use: 'sig', x, y } };
}

const secret = (kid, text) => ({ kid, secret: sha256(text) });

const KEYS = {
  ed: ed25519('a0000001', 'for vectors only'),
  edNext: ed25519('a0000002', 'for vectors only, after a rotation'),
  edForeign: ed25519('a0000001', 'of somebody else'),
  ec: p256('b0000001', 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0', 'jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI'),
  ecNext: p256('b0000002', '6SvYH6zBGRZ1ICxNe8mRRe8U5RLcwAkOsZmRo-HaF28',
    '2w5ivMZu5SpOcpkZIXRtQVZUpaUyzzFGeNgh6vueLCc', 'qpsO9eOrlswb3q0KJANQae9SP3zcX_KMQh0VRtKSUK0'),
  ecForeign: p256('b0000001', 'qcxP3cTY-P0Uoddkcg1ydPGuSFBZ9MrTGoMxFu5LXZY',
    'A9SmA7myrKGjiIMJIkGVDfcxsmnQ-kd2cqDA7WlDw-Y', 'Ql8W5JafTadYOUpXR7r4lFf122P6R8PXOfasC-MEoB0'),
  jwt: p256('c0000001', 'fUZCK_o5a9BHa32eS5WO6uWDsTMFpu9GaPGpEswSmME',
    'vxYFJYtFHrb7Rgqcg2mvtKuziX72u0LUTlwX-aeMBe4', 'GcC8gGwM5_ttfHzdUsqWljA1J9f_6c3HwKegYcDXaHo'),
  mac: secret('d0000001', 'for vectors only'),
  macNext: secret('d0000002', 'for vectors only, after a rotation'),
  macForeign: secret('d0000001', 'of another app'),
};

// --- what an app is told to expect ----------------------------------------------------------------------

const published = [KEYS.ed, KEYS.edNext, KEYS.ec, KEYS.ecNext, KEYS.jwt].map((key) => key.jwk);
const secrets = Object.fromEntries([KEYS.mac, KEYS.macNext].map((key) => [key.kid, base64url(key.secret)]));
const assertion = { algorithm: 'ES256', issuer: 'https://app.example', keys: published };
const CONFIGS = {
  both: { audience: 'app', signature: { algorithm: 'ed25519', keys: published }, assertion },
  assertion: { audience: 'app', assertion },
};
for (const [name, signature] of Object.entries({
  ed25519: { algorithm: 'ed25519', keys: published },
  ecdsa: { algorithm: 'ecdsa-p256-sha256', keys: published },
  hmac: { algorithm: 'hmac-sha256', secrets },
})) {
  CONFIGS[name] = { audience: 'app', signature };
  CONFIGS[`${name}-nonces`] = { audience: 'app', signature: { ...signature, nonces: true } };
  CONFIGS[`${name}-renamed`] = { audience: 'app', signature: { ...signature, headers: ['X-Pid'] } };
  CONFIGS[`${name}-digest`] = { audience: 'app', signature: { ...signature, content_digest: true } };
}
// Misspelt, or of another type: what they were to demand would be demanded by nobody.
const agreed = CONFIGS.ecdsa.signature;
const MISTAKES = {
  'nonce for nonces': { audience: 'app', signature: { ...agreed, nonce: true } },
  'content-digest for content_digest': { audience: 'app', signature: { ...agreed, 'content-digest': true } },
  'header for headers': { audience: 'app', signature: { ...agreed, header: ['X-Pid'] } },
  'headers as a text': { audience: 'app', signature: { ...agreed, headers: 'X-Pid' } },
  'content_digest as a text': { audience: 'app', signature: { ...agreed, content_digest: 'true' } },
  'a key at the top that nobody knows': { audience: 'app', signature: agreed, nonces: true },
  'no audience': { audience: '', signature: agreed },
};
for (const [name, config] of Object.entries(MISTAKES)) CONFIGS[name] = config;

// --- the gateway's part ---------------------------------------------------------------------------------

const IDENTITY = [
  ['X-Identity-Kind', 'national'],
  ['X-Identity-Fnr', FNR],
  ['X-Identity-Loa', 'high'],
  ['X-Identity-Acr', 'idporten-loa-high'],
  ['X-Identity-Subject', 'mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5'],
  ['X-Identity-Session', 'c2Vzc2lvbi1vZi10aGUtYXBw'],
  ['X-Identity-Family-Name', '%C3%85s 100%25'],
];

const request = (over = {}) => ({
  method: 'GET',
  target: '/signed/a%20b?x=1&y=%2F',
  host: 'app.example',
  headers: IDENTITY,
  ...over,
});

const SIGNERS = {
  'ed25519': (key, base) => sign(null, Buffer.from(base), key.key),
  'ecdsa-p256-sha256': (key, base) => sign('sha256', Buffer.from(base), { key: key.key, dsaEncoding: 'ieee-p1363' }),
  'hmac-sha256': (key, base) => createHmac('sha256', key.secret).update(base).digest(),
};

// A request as it leaves the gateway. `over` changes what the gateway would do.
function signed(given, over = {}) {
  const made = {
    algorithm: 'ed25519', key: KEYS.ed, created: CREATED, life: 30, label: 'portvakt', tag: 'portvakt',
    nonce: base64url(sha256(given.target).subarray(0, 16)), audience: 'app', leave: [], before: '',
    ...over,
  };
  made.alg ??= made.algorithm;
  const { method, target, host } = given;
  const fields = [...given.headers, ['X-Portvakt-Audience', made.audience]];
  if (given.digest) fields.push(['Content-Digest', given.digest]);
  const mark = target.indexOf('?');
  const components = [
    ['@method', method],
    ['@authority', host.toLowerCase()],
    ['@path', mark < 0 ? target : target.slice(0, mark)],
    ['@query', mark < 0 ? '?' : target.slice(mark)],
    ...fields.map(([name, value]) => [name.toLowerCase(), value]),
  ].filter(([name]) => !made.leave.includes(name));
  const list = components.map(([name]) => `"${name}"`).join(' ');
  const parameters = [
    ['created', made.created], ['expires', made.created === null ? null : made.created + made.life],
    ['nonce', made.nonce && `"${made.nonce}"`], ['alg', made.alg && `"${made.alg}"`],
    ['keyid', `"${made.kid ?? made.key.kid}"`], ['tag', made.tag && `"${made.tag}"`],
  ].filter(([name, value]) => value !== null && !(made.without ?? []).includes(name));
  const input = `(${list})${parameters.map(([name, value]) => `;${name}=${value}`).join('')}`;
  const base = [...components.map(([name, value]) => `"${name}": ${value}`), `"@signature-params": ${input}`];
  const signature = SIGNERS[made.algorithm](made.key, base.join('\n'));
  return {
    ...given,
    headers: [
      ...fields,
      ['Signature-Input', `${made.label}=${input}`],
      ['Signature', `${made.label}=:${signature.toString('base64')}:`],
    ],
  };
}

function jwt(over = {}, header = {}, key = KEYS.jwt) {
  const claims = {
    iss: 'https://app.example', aud: 'app', sub: 'mX0c2b1m0J3w6Zf4yV9sR8kQ7hL5tN1pD2aB3cE4fG5', iat: CREATED,
    exp: CREATED + 60, jti: 'anNvbiB0b2tlbiBpZA', kind: 'national', fnr: FNR, loa: 'high',
    acr: 'idporten-loa-high', amr: ['BankID'], session: 'c2Vzc2lvbi1vZi10aGUtYXBw', provider: 'idporten',
    family_name: 'Ås 100%', ...over,
  };
  return compact({ alg: 'ES256', kid: 'c0000001', typ: 'JWT', ...header }, JSON.stringify(claims), key);
}

function compact(header, payload, key) {
  const input = `${base64url(JSON.stringify(header))}.${base64url(payload)}`;
  const made = {
    ES256: () => SIGNERS['ecdsa-p256-sha256'](key, input),
    EdDSA: () => SIGNERS['ed25519'](key, input),
    HS256: () => SIGNERS['hmac-sha256'](key, input),
    none: () => Buffer.alloc(0),
  }[header.alg]();
  return `${input}.${base64url(made)}`;
}

// Signed by the right key, whatever the header says.
const compactOf = (header) => {
  const input = `${base64url(JSON.stringify(header))}.${jwt().split('.')[1]}`;
  return `${input}.${base64url(SIGNERS['ecdsa-p256-sha256'](KEYS.jwt, input))}`;
};

const withAssertion = (token, over = {}) =>
  request({ headers: [...IDENTITY, ['X-Identity-Assertion', token]], ...over });
const nobody = (over = {}) => request({ headers: [], ...over });

// --- changes on the way ---------------------------------------------------------------------------------

const is = (name) => ([other]) => other.toLowerCase() === name.toLowerCase();
const drop = (sent, name) => ({ ...sent, headers: sent.headers.filter((header) => !is(name)(header)) });
const add = (sent, ...headers) => ({ ...sent, headers: [...sent.headers, ...headers] });
const put = (sent, name, change) => ({
  ...sent,
  headers: sent.headers.map(([other, value]) => [other, is(name)([other]) ? change(value) : value]),
});
const value = (sent, name) => sent.headers.find(is(name))[1];
const digestOf = (body) => `sha-256=:${sha256(body).toString('base64')}:`;

// --- the vectors ----------------------------------------------------------------------------------------

const files = {};
function vector(file, name, config, sent, expect, over = {}) {
  const steps = (Array.isArray(sent) ? sent : [{ sent, expect }]).map((step) => ({
    now: step.now ?? over.now ?? NOW,
    method: step.sent.method,
    target: step.sent.target,
    headers: [['Host', step.sent.host], ...step.sent.headers],
    ...(step.sent.trailer === undefined ? {} : { trailer: step.sent.trailer }),
    ...(step.sent.type === undefined ? {} : { type: step.sent.type }),
    ...(step.sent.body === undefined ? {} : { body: Buffer.from(step.sent.body).toString('base64') }),
    // The number of the person, or null for nobody; what is rejected has neither.
    ...(step.expect === 'reject' ? { expect: 'reject' } : { expect: 'accept', who: step.expect }),
    // Servers that drop such a header before the kit sees it may go on as this person.
    ...(over.dropped === undefined ? {} : { or_dropped: over.dropped }),
  }));
  (files[file] ??= []).push({ name: `${config}: ${name}`, config, steps });
}
const good = (name, config, sent, who = FNR, over) => vector('accept', name, config, sent, who, over);
const bad = (name, config, sent, over) => vector('reject', name, config, sent, 'reject', over);

// What holds for every algorithm.
function messages({ name, nonces, digest, renamed, algorithm, key, next, foreign }) {
  const made = (given, over = {}) => signed(given, { algorithm, key, ...over });
  const sent = made(request());

  // Accepted.
  good('a person', name, sent);
  good('the key of the next rotation', name, made(request(), { key: next }));
  good('nobody is logged in', name, made(nobody()), null);
  // RFC 9421, 2.2.7: no query and an empty one are signed alike.
  good('a question mark is added', name, { ...made(request({ target: '/signed/a' })), target: '/signed/a?' });
  good('a post', name, made(request({ method: 'POST', body: 'a=b' })));
  good('no query', name, made(request({ target: '/signed/a' })));
  good('an empty query', name, made(request({ target: '/signed/a?' })));
  good('a percent-encoded path', name, made(request({ target: '/signed/%C3%A5%2Ba~b?q=%C3%85' })));
  good('a port in the host', name, made(request({ host: 'app.example:8443' })));
  good('a host in capitals', name, { ...sent, host: 'APP.Example' });
  good('the last second, with leeway', name, sent, FNR, { now: CREATED + 40 });
  good('a clock that is ten seconds behind', name, sent, FNR, { now: CREATED - 10 });
  good('no alg parameter', name, made(request(), { alg: null }));
  good('other headers beside', name, add(sent, ['Accept', '*/*'], ['X-Requested-With', 'fetch'], ['Cookie', 'a=b; c=d']));
  // Servers hand it on in other ways than other requests.
  const handshake = [['Connection', 'Upgrade'], ['Upgrade', 'websocket'], ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==']];
  good('a handshake of a WebSocket', name, add(sent, ...handshake));
  good('a handshake of a WebSocket, nobody', name, add(made(nobody()), ...handshake), null);
  bad('a handshake of a WebSocket, not signed', name, add(request(), ...handshake));
  bad('a handshake of a WebSocket, a number added', name, add(made(nobody()), ...handshake, ['X-Identity-Fnr', FNR]));
  const later = made(request(), { created: CREATED + 400, nonce: 'c2l4IG1pbnV0ZXMgbGF0ZXI' });
  good('six minutes later', name, [{ sent, expect: FNR }, { sent: later, now: NOW + 400, expect: FNR }]);
  good('a body under its digest', digest, made(request({ method: 'POST', body: 'amount=1', digest: digestOf('amount=1') })));
  good('an empty body under its digest', digest, made(request({ digest: digestOf('') })));
  good('two requests, two nonces', nonces, [
    { sent, expect: FNR },
    { sent: made(request(), { nonce: 'YW5vdGhlciBub25jZSE' }), expect: FNR },
  ]);

  // A fact under a name that the route gives it.
  const pid = made(request({ headers: [...IDENTITY, ['X-Pid', FNR]] }));
  good('a fact under another name', renamed, pid);
  good('none under another name', renamed, sent);
  const empty = made(request({ headers: [...IDENTITY, ['X-Pid', '']] }));
  good('a missing fact is an empty header, as a preset may have it', renamed, empty);
  bad('an empty header is filled', renamed, put(empty, 'X-Pid', () => '24929935140'));
  bad('another name is added', renamed, add(sent, ['X-Pid', '24929935140']));
  bad('another name in small letters is added', renamed, add(sent, ['x-pid', '24929935140']));
  bad('another name has another value', renamed, put(pid, 'X-Pid', () => '24929935140'));
  bad('another name is doubled', renamed, add(pid, ['X-Pid', '24929935140']));
  bad('another name is stripped', renamed, drop(pid, 'X-Pid'));
  bad('a twin of another name', renamed, add(sent, ['X_Pid', '24929935140']), { dropped: FNR });

  // Stripped, added, doubled.
  bad('no signature', name, drop(drop(sent, 'Signature'), 'Signature-Input'));
  bad('no signature, nobody', name, nobody());
  bad('no Signature', name, drop(sent, 'Signature'));
  bad('no Signature-Input', name, drop(sent, 'Signature-Input'));
  bad('an identity header is stripped', name, drop(sent, 'X-Identity-Fnr'));
  bad('the kind is stripped', name, drop(sent, 'X-Identity-Kind'));
  bad('an identity header is added', name, add(sent, ['X-Identity-Org', '910075918']));
  bad('a number is added to nobody', name, add(made(nobody()), ['X-Identity-Fnr', FNR]));
  bad('an unlisted header in lower case', name, add(made(nobody()), ['x-identity-fnr', FNR]));
  bad('a header is doubled, the same', name, add(sent, ['X-Identity-Fnr', FNR]));
  bad('a header is doubled, another', name, add(sent, ['X-Identity-Fnr', '24929935140']));
  bad('a header is doubled in front', name, { ...sent, headers: [['X-Identity-Fnr', '24929935140'], ...sent.headers] });
  bad('an underscore twin', name, add(sent, ['X_Identity_Fnr', '24929935140']), { dropped: FNR });
  bad('an underscore twin of an absent header', name, add(sent, ['X_Identity_Org', '910075918']), { dropped: FNR });
  bad('a twin with one underscore', name, add(made(nobody()), ['X-Identity_Fnr', FNR]), { dropped: null });
  bad('two values in one line', name, put(sent, 'X-Identity-Fnr', (old) => `24929935140, ${old}`));
  bad('two values in one line, the same', name, put(sent, 'X-Identity-Fnr', (old) => `${old}, ${old}`));
  bad('an empty header is added', name, add(sent, ['X-Identity-Org', '']));
  bad('a value is emptied', name, put(sent, 'X-Identity-Fnr', () => ''));
  bad('an empty twin in front of another', name, { ...sent, headers: [['X_Identity_A', ''], ['X_Identity_Org', '910075918'], ...sent.headers] }, { dropped: FNR });
  bad('a twin with other letters', name, add(made(nobody()), ['X.Identity~Fnr', FNR]), { dropped: null });
  bad('a name without its hyphen', name, add(sent, ['X-IdentityFnr', '24929935140']));
  bad('a twin of the audience', name, add(made(request(), { audience: 'other' }), ['X_Portvakt_Audience', 'app']));
  bad('a twin of Signature-Input', name, add(sent, ['Signature_Input', 'portvakt=()']), { dropped: FNR });
  bad('a folded line', name, put(sent, 'X-Identity-Fnr', (old) => `${old}\r\n 24929935140`));
  bad('a line that begins with a folded one', name, put(made(nobody()), 'X-Portvakt-Audience', (old) => `${old}\r\n X-Identity-Fnr: ${FNR}`), { dropped: null });
  bad('a number behind the body', name, { ...made(nobody({ method: 'POST', body: 'a=b' })), trailer: ['X-Identity-Fnr', FNR] }, { dropped: null });
  bad('a space before the colon', name, add(made(nobody()), ['X-Identity-Fnr ', FNR]), { dropped: null });
  bad('a no-break space around a value', name, put(sent, 'X-Identity-Fnr', (old) => `\u00a0${old}`));
  // Servers take away what Connection names, or leave it be.
  bad('Connection names an identity header', name, add(sent, ['Connection', 'X-Identity-Fnr']), { dropped: FNR });
  bad('Connection names the signature', name, add(sent, ['Connection', 'signature, signature-input']), { dropped: FNR });
  bad('the signature of another request', name, put(sent, 'Signature', () => value(made(nobody()), 'Signature')));
  bad('signature and input of another request', name, (() => {
    const other = made(nobody());
    return put(put(sent, 'Signature', () => value(other, 'Signature')), 'Signature-Input', () => value(other, 'Signature-Input'));
  })());
  bad('a member beside in Signature-Input', name, put(sent, 'Signature-Input', (old) => `${old}, other=("@method")`));
  bad('a member beside in Signature', name, put(sent, 'Signature', (old) => `${old}, other=:AAAA:`));
  bad('a member of our label behind', name, put(put(sent, 'Signature-Input', (old) => `portvakt=(), ${old}`), 'Signature', (old) => `portvakt=:AAAA:, ${old}`));
  bad('two Signature-Input', name, add(sent, ['Signature-Input', value(sent, 'Signature-Input')]));
  bad('two Signature', name, add(sent, ['Signature', value(sent, 'Signature')]));
  bad('the audience is stripped', name, drop(sent, 'X-Portvakt-Audience'));

  // Changed.
  bad('another value', name, put(sent, 'X-Identity-Fnr', () => '24929935140'));
  bad('another level', name, put(made(request()), 'X-Identity-Loa', () => 'substantial'));
  bad('values swapped', name, put(put(sent, 'X-Identity-Kind', () => 'high'), 'X-Identity-Loa', () => 'national'));
  bad('another path', name, { ...sent, target: '/signed/other?x=1&y=%2F' });
  bad('a path decoded once', name, { ...made(request({ target: '/signed/%61' })), target: '/signed/a' });
  bad('a path encoded once more', name, { ...made(request({ target: '/signed/a' })), target: '/signed/%61' });
  bad('escapes in lower case', name, { ...made(request({ target: '/signed/%C3%85' })), target: '/signed/%c3%85' });
  bad('another query', name, { ...sent, target: '/signed/a%20b?x=2&y=%2F' });
  bad('a query is added', name, { ...made(request({ target: '/signed/a' })), target: '/signed/a?admin=1' });
  bad('the query is stripped', name, { ...sent, target: '/signed/a%20b' });
  bad('another host', name, { ...sent, host: 'other.example' });
  bad('another port', name, { ...sent, host: 'app.example:8444' });
  bad('a dot segment', name, { ...made(request({ target: '/signed/a' })), target: '/signed/./a' });
  bad('an encoded dot segment', name, { ...made(request({ target: '/signed/a' })), target: '/signed/%2e/a' });
  bad('a dot segment back', name, { ...made(request({ target: '/signed/a' })), target: '/signed/b/../a' });
  bad('an encoded dot segment back', name, { ...made(request({ target: '/signed/a' })), target: '/signed/b/%2e%2e/a' });
  bad('a slash doubled', name, { ...made(request({ target: '/signed/a' })), target: '/signed//a' });
  bad('a slash in front', name, { ...made(request({ target: '/signed/a' })), target: '//signed/a' });
  bad('a slash at the end', name, { ...made(request({ target: '/signed/a' })), target: '/signed/a/' });
  bad('a path parameter', name, { ...made(request({ target: '/signed/a' })), target: '/signed/a;v=1' });
  bad('a backslash', name, { ...made(request({ target: '/signed/a' })), target: '/signed\\a' });
  bad('a fragment', name, { ...made(request({ target: '/signed/a' })), target: '/signed/a#b' }, { dropped: FNR });
  bad('a path in capitals', name, { ...made(request({ target: '/signed/a' })), target: '/SIGNED/A' });
  bad('the query doubled', name, { ...made(request({ target: '/signed/a?x=1' })), target: '/signed/a?x=1&x=1' });
  bad('the query in another order', name, { ...made(request({ target: '/signed/a?x=1&y=2' })), target: '/signed/a?y=2&x=1' });
  bad('a second question mark', name, { ...made(request({ target: '/signed/a?x=1' })), target: '/signed/a??x=1' });
  bad('an encoded question mark', name, { ...made(request({ target: '/signed/a?x=1' })), target: '/signed/a%3Fx=1' });
  bad('an absolute target', name, { ...sent, target: `http://${sent.host}${sent.target}` }, { dropped: FNR });
  bad('an absolute target of another host', name, { ...sent, target: `http://other.example${sent.target}` }, { dropped: FNR });
  bad('an absolute target, its host in the Host line not', name, { ...sent, host: 'other.example', target: `http://${sent.host}${sent.target}` });
  bad('a dot behind the host', name, { ...sent, host: 'app.example.' });
  bad('the default port in the host', name, { ...sent, host: 'app.example:80' });
  bad('two hosts', name, { ...sent, headers: [['Host', 'other.example'], ...sent.headers] });
  bad('two hosts in one line', name, { ...sent, host: 'app.example, other.example' });
  bad('a method in small letters', name, { ...sent, method: 'get' });
  bad('another method', name, { ...sent, method: 'DELETE' });

  // Not for this app, or not now.
  bad('for another audience', name, made(request(), { audience: 'other' }));
  bad('another audience put in its place', name, put(made(request(), { audience: 'other' }), 'X-Portvakt-Audience', () => 'app'));
  bad('expired', name, sent, { now: CREATED + 41 });
  bad('long expired', name, sent, { now: CREATED + 86400 });
  bad('from the future', name, sent, { now: CREATED - 11 });
  bad('a life that nobody would give', name, made(request(), { life: 3600 }));
  bad('no created', name, made(request(), { without: ['created'] }));
  bad('created as a text', name, put(sent, 'Signature-Input', (old) => old.replace(`created=${CREATED}`, `created="${CREATED}"`)));
  bad('created with a fraction', name, put(sent, 'Signature-Input', (old) => old.replace(`created=${CREATED}`, `created=${CREATED}.0`)));
  bad('a negative created', name, put(sent, 'Signature-Input', (old) => old.replace(`created=${CREATED}`, `created=-${CREATED}`)));
  bad('an expires that no number holds', name, put(sent, 'Signature-Input', (old) => old.replace(`expires=${CREATED + 30}`, `expires=${'9'.repeat(400)}`)));
  bad('an expires of five thousand digits', name, put(sent, 'Signature-Input', (old) => old.replace(`expires=${CREATED + 30}`, `expires=${'9'.repeat(5000)}`)));
  bad('created twice', name, put(sent, 'Signature-Input', (old) => old.replace(';expires', `;created=${CREATED};expires`)));
  bad('the nonce twice', nonces, put(sent, 'Signature-Input', (old) => old.replace(';alg', ';nonce="b3RoZXI";alg')));
  bad('the nonce changed', nonces, [{ sent, expect: FNR }, { sent: put(sent, 'Signature-Input', (old) => old.replace(/nonce="[^"]*"/, 'nonce="b3RoZXI"')), expect: 'reject' }]);
  bad('no expires', name, made(request(), { without: ['expires'] }));
  bad('replayed', nonces, [{ sent, expect: FNR }, { sent, expect: 'reject' }]);
  bad('replayed later, within the leeway', nonces, [{ sent, expect: FNR }, { sent, now: CREATED + 40, expect: 'reject' }]);
  bad('no nonce where nonces are remembered', nonces, made(request(), { nonce: null }));

  // Another key, algorithm, label, tag.
  bad('a key of somebody else under our kid', name, made(request(), { key: foreign }));
  bad('a kid that is not published', name, made(request(), { kid: 'ffffffff' }));
  for (const kid of ['', '__proto__', 'constructor', '../../etc/passwd', "' OR 1=1", '*', '0']) {
    bad(`the kid ${JSON.stringify(kid)}`, name, made(request(), { kid }));
  }
  bad('no kid', name, made(request(), { without: ['keyid'] }));
  bad('alg in capitals', name, made(request(), { alg: algorithm.toUpperCase() }));
  bad('alg none in a signature', name, made(request(), { alg: 'none' }));
  bad('the label in capitals', name, made(request(), { label: 'Portvakt' }));
  bad('another label', name, made(request(), { label: 'sig1' }));
  bad('another tag', name, made(request(), { tag: 'web-bot-auth' }));
  bad('no tag', name, made(request(), { tag: null }));

  // Covers too little.
  for (const left of ['@method', '@authority', '@path', '@query', 'x-portvakt-audience', 'x-identity-fnr', 'x-identity-kind']) {
    bad(`does not cover ${left}`, name, made(request(), { leave: [left] }));
  }
  bad('covers nothing', name, made(request(), { leave: ['@method', '@authority', '@path', '@query', 'x-portvakt-audience', ...IDENTITY.map(([header]) => header.toLowerCase())] }));

  // Broken.
  bad('a truncated signature', name, put(sent, 'Signature', (old) => `${old.slice(0, -9)}:`));
  bad('an empty signature', name, put(sent, 'Signature', () => 'portvakt=::'));
  bad('a signature that is no bytes', name, put(sent, 'Signature', () => 'portvakt="abc"'));
  bad('a signature that is not base64', name, put(sent, 'Signature', () => 'portvakt=:%%%%:'));
  bad('an input without a list', name, put(sent, 'Signature-Input', (old) => old.replace(/^portvakt=\([^)]*\)/, 'portvakt=1')));
  bad('a list that does not end', name, put(sent, 'Signature-Input', (old) => old.replace(')', '')));
  bad('a list with tabs', name, put(sent, 'Signature-Input', (old) => old.replace(' ', '\t')));
  bad('a list with a space more', name, put(sent, 'Signature-Input', (old) => old.replace(' ', '  ')));
  bad('a component with a parameter', name, put(sent, 'Signature-Input', (old) => old.replace('"@method"', '"@method";req')));
  bad('a component that nobody knows', name, put(sent, 'Signature-Input', (old) => old.replace('"@method"', '"@method" "@status"')));
  bad('the target in its place', name, put(sent, 'Signature-Input', (old) => old.replace('"@path" "@query"', '"@request-target"')));
  bad('a component in capitals', name, put(sent, 'Signature-Input', (old) => old.replace('"x-identity-fnr"', '"X-Identity-Fnr"')));
  bad('a header that is not there is listed', name, put(sent, 'Signature-Input', (old) => old.replace('"@method"', '"@method" "x-nothing"')));
  bad('a component listed twice', name, put(sent, 'Signature-Input', (old) => old.replace('("@method"', '("@method" "@method"')));
  bad('expires changed', name, put(sent, 'Signature-Input', (old) => old.replace(`expires=${CREATED + 30}`, `expires=${CREATED + 29}`)));

  // The body.
  const posted = request({ method: 'POST', body: 'amount=1', digest: digestOf('amount=1') });
  bad('a body swapped under its digest', digest, { ...made(posted), body: 'amount=9' });
  bad('a body cut under its digest', digest, { ...made(posted), body: 'amount=' });
  bad('a body added under its digest', digest, { ...made(request({ method: 'POST', body: '', digest: digestOf('') })), body: 'amount=9' });
  bad('body and digest swapped', digest, put({ ...made(posted), body: 'amount=9' }, 'Content-Digest', () => digestOf('amount=9')));
  bad('a form under the digest of nothing', digest, {
    ...made(request({ method: 'POST', body: '', digest: digestOf('') })),
    body: '--b\r\nContent-Disposition: form-data; name="to"\r\n\r\n9\r\n--b--\r\n', type: 'multipart/form-data; boundary=b',
  });
  bad('a digest of another kind', digest, made(request({ method: 'POST', body: 'amount=1', digest: `sha-512=:${createHash('sha512').update('amount=1').digest('base64')}:` })));
  bad('a digest beside', digest, put({ ...made(posted), body: 'amount=9' }, 'Content-Digest', (old) => `${digestOf('amount=9')}, ${old}`));
  bad('a digest more', digest, add({ ...made(posted), body: 'amount=9' }, ['Content-Digest', digestOf('amount=9')]));
  // Once: it is long.
  if (name === 'ecdsa') bad('a body that is too long', digest, made(request({ method: 'POST', body: 'a'.repeat(65537), digest: digestOf('a'.repeat(65537)) })));
  bad('no digest', digest, made(request({ method: 'POST', body: 'amount=1' })));
  bad('a digest that is not covered', digest, made(posted, { leave: ['content-digest'] }));
}

const OWN = {
  ed25519: { algorithm: 'ed25519', key: KEYS.ed, next: KEYS.edNext, foreign: KEYS.edForeign },
  ecdsa: { algorithm: 'ecdsa-p256-sha256', key: KEYS.ec, next: KEYS.ecNext, foreign: KEYS.ecForeign },
  hmac: { algorithm: 'hmac-sha256', key: KEYS.mac, next: KEYS.macNext, foreign: KEYS.macForeign },
};
for (const [name, own] of Object.entries(OWN)) messages({ name, nonces: `${name}-nonces`, digest: `${name}-digest`, renamed: `${name}-renamed`, ...own });

// One algorithm for another.
const ES = OWN.ecdsa;
const HS = OWN.hmac;
bad('a key of another algorithm', 'ed25519', signed(request(), { ...ES, alg: 'ed25519' }));
bad('an algorithm that was not agreed', 'ed25519', signed(request(), ES));
bad('alg says another', 'ed25519', signed(request(), { alg: 'hmac-sha256' }));
bad('the public key as a secret', 'hmac', signed(request(), { ...HS, key: { kid: 'a0000001', secret: Buffer.from(KEYS.ed.jwk.x, 'base64url') } }));
bad('the public key as a secret where a pair was agreed', 'ed25519', signed(request(), { ...HS, key: { kid: 'a0000001', secret: Buffer.from(KEYS.ed.jwk.x, 'base64url') } }));
bad('a truncated mac', 'hmac', put(signed(request(), HS), 'Signature', (old) => `portvakt=:${Buffer.from(old.slice(10, -1), 'base64').subarray(0, 16).toString('base64')}:`));
bad('an ecdsa signature of zeros', 'ecdsa', put(signed(request(), ES), 'Signature', () => `portvakt=:${Buffer.alloc(64).toString('base64')}:`));
bad('an ecdsa signature in DER', 'ecdsa', (() => {
  const plain = signed(request(), ES);
  const raw = Buffer.from(value(plain, 'Signature').slice(10, -1), 'base64');
  const integer = (bytes) => Buffer.concat([Buffer.from([2, bytes.length + (bytes[0] >> 7)]), bytes[0] >> 7 ? Buffer.from([0]) : Buffer.alloc(0), bytes]);
  const body = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))]);
  const der = Buffer.concat([Buffer.from([0x30, body.length]), body]);
  return put(plain, 'Signature', () => `portvakt=:${der.toString('base64')}:`);
})());

// Assertions.
good('an assertion', 'assertion', withAssertion(jwt()));
good('an assertion with leeway', 'assertion', withAssertion(jwt()), FNR, { now: CREATED + 69 });
good('no assertion, nobody', 'assertion', nobody(), null);
good('a signature and an assertion', 'both', signed(withAssertion(jwt())));
good('a signature, nobody', 'both', signed(nobody()), null);
const person = (token) => withAssertion(token);
bad('headers without an assertion', 'assertion', request());
bad('an assertion for another app', 'assertion', person(jwt({ aud: 'other' })));
bad('an assertion for several', 'assertion', person(jwt({ aud: ['app', 'other'] })));
bad('an assertion by another issuer', 'assertion', person(jwt({ iss: 'https://other.example' })));
bad('an issuer with a slash more', 'assertion', person(jwt({ iss: 'https://app.example/' })));
bad('an expired assertion', 'assertion', person(jwt()), { now: CREATED + 71 });
bad('an assertion from the future', 'assertion', person(jwt()), { now: CREATED - 11 });
bad('an assertion that lives too long', 'assertion', person(jwt({ exp: CREATED + 3600 })));
bad('an assertion without exp', 'assertion', person(jwt({ exp: undefined })));
bad('an assertion without iat', 'assertion', person(jwt({ iat: undefined })));
bad('an assertion without kind', 'assertion', person(jwt({ kind: undefined })));
bad('an assertion without sub', 'assertion', person(jwt({ sub: undefined })));
bad('alg none', 'assertion', person(jwt({}, { alg: 'none' })));
bad('alg HS256 with the public key', 'assertion', person(jwt({}, { alg: 'HS256' }, { secret: Buffer.from(JSON.stringify(KEYS.jwt.jwk)) })));
bad('alg EdDSA with another published key', 'assertion', person(jwt({}, { alg: 'EdDSA', kid: 'a0000001' }, KEYS.ed)));
bad('a kid that is not published, in an assertion', 'assertion', person(jwt({}, { kid: 'ffffffff' })));
bad('the kid of a key of another kind', 'assertion', person(jwt({}, { kid: 'a0000001' })));
bad('an assertion with a critical extension', 'assertion', person(jwt({}, { crit: ['b64'], b64: false })));
bad('an assertion with its key in the header', 'assertion', person(jwt({}, { kid: 'ffffffff', jwk: KEYS.jwt.jwk })));
bad('another claim', 'assertion', person(jwt().replace(/\.([^.]+)\./, (_, payload) =>
  `.${base64url(Buffer.from(payload, 'base64url').toString().replace(FNR, '24929935140'))}.`)));
bad('no kid in an assertion', 'assertion', person(jwt({}, { kid: undefined })));
bad('a kid that is a number', 'assertion', person(jwt({}, { kid: 1 })));
bad('a kid that is a list', 'assertion', person(jwt({}, { kid: ['c0000001'] })));
bad('alg as a list', 'assertion', person(compactOf({ alg: ['ES256'], kid: 'c0000001', typ: 'JWT' })));
bad('no alg', 'assertion', person(compactOf({ kid: 'c0000001', typ: 'JWT' })));
bad('alg in small letters', 'assertion', person(compactOf({ alg: 'es256', kid: 'c0000001', typ: 'JWT' })));
bad('another typ', 'assertion', person(jwt({}, { typ: 'at+jwt' })));
bad('no typ', 'assertion', person(jwt({}, { typ: undefined })));
bad('times as texts', 'assertion', person(jwt({ iat: String(CREATED), exp: String(CREATED + 60) })));
bad('an exp that is true', 'assertion', person(jwt({ exp: true })));
bad('an exp before iat', 'assertion', person(jwt({ iat: CREATED + 60, exp: CREATED })), { now: CREATED + 55 });
bad('claims that are a list', 'assertion', person(compact({ alg: 'ES256', kid: 'c0000001', typ: 'JWT' }, '[]', KEYS.jwt)));
bad('claims that are nothing', 'assertion', person(compact({ alg: 'ES256', kid: 'c0000001', typ: 'JWT' }, 'null', KEYS.jwt)));
bad('a header that never ends', 'assertion', person(`${base64url('['.repeat(6000))}.e30.AAAA`));
bad('an assertion in bytes that are no text', 'assertion', person(`${Buffer.from([0xff, 0xfe, 0x7b]).toString('base64url')}.e30.AAAA`));
bad('padding', 'assertion', person(`${jwt()}==`));
bad('four parts', 'assertion', person(`${jwt()}.AAAA`));
bad('a scheme in front', 'assertion', person(`Bearer ${jwt()}`));
bad('two assertions in one line', 'assertion', person(`${jwt()}, ${jwt()}`));
bad('a signature of zeros', 'assertion', person(jwt().replace(/[^.]+$/, base64url(Buffer.alloc(64)))));
bad('an empty signature in an assertion', 'assertion', person(jwt().replace(/[^.]+$/, '')));
bad('an empty assertion', 'assertion', person(''));
bad('a truncated assertion', 'assertion', person(jwt().slice(0, -4)));
bad('two parts', 'assertion', person(jwt().split('.').slice(0, 2).join('.')));
bad('two assertions', 'assertion', add(person(jwt()), ['X-Identity-Assertion', jwt()]));
bad('the header says another number', 'assertion', put(person(jwt()), 'X-Identity-Fnr', () => '24929935140'));
bad('the header says a higher level', 'assertion', put(person(jwt({ loa: 'low' })), 'X-Identity-Loa', () => 'high'));
bad('the header says a number, the assertion none', 'assertion', person(jwt({ fnr: undefined, kind: 'eidas' })));
bad('a number without kind and assertion', 'assertion', nobody({ headers: [['X-Identity-Fnr', FNR]] }));
bad('an underscore twin of the assertion', 'assertion', nobody({ headers: [['X_Identity_Assertion', jwt()]] }), { dropped: null });
bad('a valid assertion, no signature', 'both', person(jwt()));
bad('a signature, no assertion', 'both', signed(request()));
bad('a signature over the assertion of another app', 'both', signed(person(jwt({ aud: 'other' }))));
bad('the assertion of another person in a signed request', 'both', put(signed(person(jwt())), 'X-Identity-Assertion', () => jwt({ fnr: '24929935140' })));
bad('signed, but header and assertion disagree', 'both', signed(put(person(jwt()), 'X-Identity-Fnr', () => '24929935140')));

// What the assertion says, and a header says otherwise or alone.
const told = (claims, ...headers) => add(person(jwt(claims)), ...headers);
const organisations = { orgs: ['310123455', '213987658'], org_names: ['PRØVE AS', 'ANNEN, OG SØNN'] };
const european = { eidas: { identifier: 'SE/NO/19800101-æ', country: 'SE', persistent: 'yes' } };
good('organisations', 'assertion', told(organisations, ['X-Identity-Org', '310123455,213987658'], ['X-Identity-Org-Name', 'PR%C3%98VE AS,ANNEN%2C OG S%C3%98NN']));
good('an identifier that is percent-encoded', 'assertion', told(european, ['X-Identity-Eidas-Identifier', 'SE/NO/19800101-%C3%A6'], ['X-Identity-Eidas-Country', 'SE']));
good('keyed hashes', 'assertion', told({ pseudonym: 'cHNldWRvbnlt', match_key: 'bWF0Y2g' }, ['X-Identity-Pseudonym', 'cHNldWRvbnlt'], ['X-Identity-Match-Key', 'bWF0Y2g']));
good('a power of attorney', 'assertion', told({ authorizer: { fnr: '24929935140', name: 'Kari' } }, ['X-Identity-Authorizer-Fnr', '24929935140']));
bad('the header says another organisation', 'assertion', told(organisations, ['X-Identity-Org', '310123455']));
bad('an organisation in the header alone', 'assertion', told({}, ['X-Identity-Org', '310123455']));
bad('another eIDAS identifier', 'assertion', told(european, ['X-Identity-Eidas-Identifier', 'SE/NO/19800101-1']));
bad('another pseudonym', 'assertion', told({ pseudonym: 'cHNldWRvbnlt' }, ['X-Identity-Pseudonym', 'b3RoZXI']));
bad('a pseudonym in the header alone', 'assertion', told({}, ['X-Identity-Pseudonym', 'b3RoZXI']));
bad('another match key', 'assertion', told({ match_key: 'bWF0Y2g' }, ['X-Identity-Match-Key', 'b3RoZXI']));
bad('another helper number', 'assertion', told({ fhnummer: '80000000001' }, ['X-Identity-Fhnummer', '80000000002']));
bad('a power of attorney in the header alone', 'assertion', told({}, ['X-Identity-Authorizer-Fnr', '24929935140']));
bad('another customer', 'assertion', told({ on_behalf_of: '310123455' }, ['X-Identity-On-Behalf-Of', '213987658']));
bad('another scope', 'assertion', told({ scope: 'a:read' }, ['X-Identity-Scope', 'a:read a:write']));

// With whatever they ask for: a good request is refused too.
for (const name of Object.keys(MISTAKES)) bad('a configuration that demands less than it says', name, signed(request(), ES));

mkdirSync(folder, { recursive: true });
for (const [file, vectors] of Object.entries(files)) {
  const used = Object.fromEntries(Object.entries(CONFIGS).filter(([name]) => vectors.some((one) => one.config === name)));
  const text = JSON.stringify({ format: 1, configs: used, vectors }, null, 1);
  writeFileSync(new URL(`${file}.json`, folder), `${text}\n`);
  console.log(`${file}: ${vectors.length} vectors`);
}
