// Checks that a request was made by Portvakt, the gateway in front of this application, and says for whom.
//
// One file for Node 18 and later; needs no package. What it demands is listed in deploy/verify/README.md. It
// fails closed: a request that it does not understand is refused.
//
//   const verifier = new Verifier({ audience: 'app', signature: { algorithm: 'ed25519', keys: jwksUrl } });
//   app.use(guard(verifier));                 // Express, Connect: req.portvakt
//   http.createServer(wrap(verifier, handler));

import { createHash, createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto';

const LEEWAY = 10; // seconds that clocks may differ
const LIFE = 30; // seconds that a signature lives
const ASSERTION_LIFE = 60;
const MAX_NONCES = 1_000_000; // more within LIFE + LEEWAY are refused: fail closed
const MAX_BODY = 64 * 1024; // the gateway signs no digest of more
const COMPONENTS = ['@method', '@authority', '@path', '@query', 'x-portvakt-audience'];
const JWK_ALG = { ed25519: 'EdDSA', 'ecdsa-p256-sha256': 'ES256' };
// What the assertion says too must be the same there: who it is, and for whom. Names of persons may be encoded otherwise.
const TWICE = {
  kind: 'kind', fnr: 'fnr', loa: 'loa', acr: 'acr', subject: 'sub', session: 'session', provider: 'provider',
  eidas_identifier: 'eidas.identifier', eidas_country: 'eidas.country', match_key: 'match_key', pseudonym: 'pseudonym',
  fhnummer: 'fhnummer', org: 'orgs', authorizer_fnr: 'authorizer.fnr', on_behalf_of: 'on_behalf_of',
  consumer: 'consumer', supplier: 'supplier', scope: 'scope',
};
const [TEXT, YES, LIST, OBJECT] = [(value) => typeof value === 'string', (value) => typeof value === 'boolean', Array.isArray,
  (value) => typeof value === 'object' && !Array.isArray(value)];
const KEYS = (value) => TEXT(value) || LIST(value);
const KNOWN = {
  configuration: { audience: TEXT, signature: OBJECT, assertion: OBJECT },
  signature: { algorithm: TEXT, keys: KEYS, secrets: OBJECT, nonces: YES, content_digest: YES, insecure_http_keys: YES,
    headers: (value) => LIST(value) && value.every(TEXT) },
  assertion: { algorithm: TEXT, keys: KEYS, issuer: TEXT, insecure_http_keys: YES },
};

/** The request was not made by the gateway for this application. Its text is for the log, not the client. */
export class Refused extends Error {}

/** Knows what to expect. `config` as deploy/verify/README.md describes it; `clock` gives Unix seconds. */
export class Verifier {
  #keys; #assertionKeys; #named = new Map(); #secrets = new Map(); #nonces = new Map(); #pruned = 0; #pruneAt = 1024; #clock;

  constructor(config, clock = () => Date.now() / 1000) {
    const { audience, signature, assertion } = config;
    for (const [place, given] of Object.entries({ configuration: config, signature, assertion })) judge(place, given);
    if (!audience || (!signature && !assertion)) throw new TypeError('say `audience`, and `signature`, `assertion` or both');
    Object.assign(this, { audience, signature, assertion });
    this.#clock = clock;
    for (const name of signature?.headers ?? []) this.#named.set(fold(name.toLowerCase()), name.toLowerCase());
    if (signature?.algorithm === 'hmac-sha256') {
      for (const [kid, text] of Object.entries(signature.secrets)) {
        const secret = base64url(text);
        if (secret.length !== 32) throw new TypeError('a secret is 32 bytes in base64url');
        this.#secrets.set(kid, secret);
      }
    } else if (signature) {
      if (!Object.hasOwn(JWK_ALG, signature.algorithm)) throw new TypeError(`no such algorithm: ${signature.algorithm}`);
      this.#keys = new KeySet(signature, clock);
    }
    if (assertion) {
      if (!['ES256', 'EdDSA'].includes(assertion.algorithm) || !assertion.issuer) {
        throw new TypeError('`assertion` names `algorithm` (ES256 or EdDSA), `issuer` and `keys`');
      }
      this.#assertionKeys = new KeySet(assertion, clock);
    }
  }

  get needsBody() {
    return Boolean(this.signature?.content_digest);
  }

  /**
   * Who is logged in: the facts of `X-Identity-…` by name, such as `fnr`; an empty object for nobody.
   * `target` as it stood in the request line; `headers` as [name, value] pairs, each line one pair.
   * Rejects with `Refused`.
   */
  async check(method, target, headers, body = Buffer.alloc(0)) {
    const lower = headers.map(([name, value]) => [name.toLowerCase(), value.replace(/^[ \t]+|[ \t]+$/g, '')]);
    const covered = this.signature ? await this.#checkSignature(method, target, lower, body) : null;
    const [told, seen] = [Object.create(null), new Set()];
    for (const [name, value] of lower) {
      const folded = fold(name);
      const named = this.#named.get(folded);
      if (named === undefined && !folded.startsWith('x-identity')) continue;
      const ours = named === undefined ? folded === name && name.startsWith('x-identity-') : name === named;
      if (!ours || seen.has(name)) throw new Refused('an identity header that the gateway does not write');
      if (covered && !covered.has(name)) throw new Refused('an identity header that the signature does not cover');
      seen.add(name);
      if (named === undefined) told[name.slice('x-identity-'.length).replaceAll('-', '_')] = value;
    }
    return this.assertion ? this.#asserted(told) : told;
  }

  async #checkSignature(method, target, headers, body) {
    const field = only(headers, 'signature-input');
    const match = /^portvakt=(\(("[^"\\]*"(?: "[^"\\]*")*)\)((?:;[a-z]+=(?:[0-9]+|"[^"\\]*"))*))$/.exec(field);
    if (!match) throw new Refused("Signature-Input is not the gateway's");
    const names = match[2].split(' ').map((name) => name.slice(1, -1));
    const pairs = [...match[3].matchAll(/;([a-z]+)=([0-9]+|"[^"\\]*")/g)].map(([, name, value]) => [name, value]);
    const given = new Map(pairs);
    if (given.size !== pairs.length || new Set(names).size !== names.length) throw new Refused('something is said twice');
    if (given.get('tag') !== '"portvakt"') throw new Refused('another tag');
    const wanted = this.signature.algorithm;
    if ((given.get('alg') ?? `"${wanted}"`) !== `"${wanted}"`) throw new Refused('another algorithm');
    const needed = this.needsBody ? [...COMPONENTS, 'content-digest'] : COMPONENTS;
    if (!needed.every((name) => names.includes(name))) throw new Refused('the signature does not cover enough');
    const now = this.#clock();
    const [created, expires] = ['created', 'expires'].map((name) => seconds(given.get(name)));
    if (created > now + LEEWAY || expires + LEEWAY < now || expires <= created || expires - created > LIFE) throw new Refused('not now');
    const signature = /^portvakt=:([A-Za-z0-9+/]+={0,2}):$/.exec(only(headers, 'signature'));
    if (!signature) throw new Refused("Signature is not the gateway's");
    const base = this.#base(names, match[1], method, target, headers);
    const kid = (given.get('keyid') ?? '""').slice(1, -1);
    await this.#checkBytes(kid, wanted, base, Buffer.from(signature[1], 'base64'));
    if (only(headers, 'x-portvakt-audience') !== this.audience) throw new Refused('for another audience');
    if (this.needsBody) {
      const length = headers.find(([name]) => name === 'content-length')?.[1];
      if (Number(length ?? body.length) !== body.length) throw new Refused('a body that somebody read before');
      const digest = createHash('sha256').update(body).digest('base64');
      if (only(headers, 'content-digest') !== `sha-256=:${digest}:`) throw new Refused('another body');
    }
    if (this.signature.nonces) this.#remember(given.get('nonce'), expires, now);
    return new Set(names);
  }

  #base(names, parameters, method, target, headers) {
    const mark = target.indexOf('?');
    const derived = {
      '@method': () => method,
      '@authority': () => authority(headers).toLowerCase(),
      '@path': () => (mark < 0 ? target : target.slice(0, mark)),
      '@query': () => (mark < 0 ? '?' : target.slice(mark)),
    };
    const lines = names.map((name) => {
      if (name.startsWith('@') && !Object.hasOwn(derived, name)) throw new Refused('a component that nobody knows');
      return `"${name}": ${Object.hasOwn(derived, name) ? derived[name]() : only(headers, name)}`;
    });
    const base = [...lines, `"@signature-params": ${parameters}`].join('\n');
    if (!/^[\n -~]*$/.test(base) || base.split('\n').length !== names.length + 1) throw new Refused('a value that cannot be signed');
    return Buffer.from(base, 'latin1');
  }

  async #checkBytes(kid, algorithm, base, signature) {
    if (algorithm !== 'hmac-sha256') return check(await this.#keys.find(kid, JWK_ALG[algorithm]), base, signature);
    const secret = this.#secrets.get(kid);
    const mac = secret && createHmac('sha256', secret).update(base).digest();
    if (!mac || mac.length !== signature.length || !timingSafeEqual(mac, signature)) throw new Refused('the signature is wrong');
  }

  async #asserted(told) {
    const { assertion: token, ...facts } = told;
    if (token === undefined) {
      if (Object.keys(facts).length > 0) throw new Refused('identity headers without an assertion');
      return {};
    }
    const claims = await this.#claims(token);
    for (const [fact, claim] of Object.entries(TWICE)) {
      if (fact in facts && !says(facts[fact], claimOf(claims, claim))) throw new Refused('headers and assertion disagree');
    }
    return claims;
  }

  async #claims(token) {
    const parts = token.split('.');
    if (parts.length !== 3) throw new Refused('no assertion');
    const [header, claims] = parts.slice(0, 2).map((part) => json(base64url(part).toString()));
    const wanted = this.assertion.algorithm;
    if (header.alg !== wanted || header.typ !== 'JWT' || 'crit' in header) throw new Refused('an assertion of another kind');
    const key = await this.#assertionKeys.find(header.kid, wanted);
    check(key, Buffer.from(`${parts[0]}.${parts[1]}`), base64url(parts[2]));
    const now = this.#clock();
    const { iat, exp } = claims;
    if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp)) throw new Refused('an assertion without times');
    if (iat > now + LEEWAY || exp + LEEWAY < now || exp <= iat || exp - iat > ASSERTION_LIFE) throw new Refused('not now');
    if (claims.iss !== this.assertion.issuer || claims.aud !== this.audience) throw new Refused('by another issuer or for another audience');
    if (!['sub', 'kind', 'session'].every((name) => typeof claims[name] === 'string')) {
      throw new Refused('an assertion that does not say of whom it speaks');
    }
    return claims;
  }

  #remember(nonce, expires, now) {
    // Whenever it has doubled, and at most once a second when it is full.
    if (this.#nonces.size >= this.#pruneAt && now - this.#pruned >= 1) {
      for (const [known, end] of this.#nonces) if (end + LEEWAY < now) this.#nonces.delete(known);
      this.#pruneAt = Math.min(MAX_NONCES, Math.max(1024, 2 * this.#nonces.size));
      this.#pruned = now;
    }
    if (!nonce || this.#nonces.has(nonce) || this.#nonces.size >= MAX_NONCES) throw new Refused('replayed');
    this.#nonces.set(nonce, expires);
  }
}

/** The published keys, fetched when they are five minutes old or lack a kid, at most once a minute. */
class KeySet {
  #url; #keys; #clock; #fetched; #tried; #fetching;

  constructor({ keys, insecure_http_keys: insecure }, clock) {
    if (!keys) throw new TypeError('say where the `keys` are');
    this.#url = typeof keys === 'string' ? keys : null;
    // Who is on the way to http is the gateway.
    if (this.#url && !insecure && !/^(https:\/\/|http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/])/.test(this.#url)) {
      throw new TypeError('`keys` are fetched over https, from elsewhere than this machine');
    }
    this.#keys = this.#url ? [] : keys;
    this.#clock = clock;
  }

  async find(kid, alg) {
    if (this.#url) await this.#refresh(kid);
    const found = this.#keys.filter((key) => key.kid === kid && key.alg === alg);
    if (found.length !== 1) throw new Refused('a key that is not published');
    return found[0];
  }

  async #refresh(kid) {
    const now = this.#clock();
    const known = this.#keys.some((key) => key.kid === kid);
    if (known && now - this.#fetched < 300) return;
    if (this.#tried === undefined || now - this.#tried >= 60) {
      this.#tried = now;
      this.#fetching = fetch(this.#url, { redirect: 'error', signal: AbortSignal.timeout(5000) })
        .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error())))
        .then(({ keys }) => {
          // What is no key set takes the place of none.
          if (!Array.isArray(keys) || keys.length === 0 || !keys.every((key) => key && OBJECT(key))) return;
          [this.#keys, this.#fetched] = [keys, now];
        })
        .catch(() => {}); // the keys that are here go on
    }
    await this.#fetching;
  }
}

/** Middleware for Express and Connect; sets `req.portvakt`. With `content_digest` the body is `req.body`, a Buffer. */
export function guard(verifier) {
  return async (req, res, next) => {
    try {
      let body;
      if (verifier.needsBody) {
        req.body = body = await read(req);
        req._body = true; // what body-parser sets: the body has been read
      }
      req.portvakt = await verifier.check(req.method, req.originalUrl ?? req.url, lines(req), body);
    } catch (error) {
      if (!(error instanceof Refused)) return next(error);
      console.warn(`portvakt: refused: ${error.message}`);
      res.writeHead(403, { 'Content-Type': 'text/plain', 'Cache-Control': 'no-store' });
      return res.end('Not by way of the gateway.\n');
    }
    return next();
  };
}

/** The same for `http.createServer`. */
export function wrap(verifier, handler) {
  const middleware = guard(verifier);
  return (req, res) => middleware(req, res, (error) => {
    if (!error) return handler(req, res);
    res.writeHead(500).end();
  });
}

/**
 * The same for WebSockets, which Node hands to no middleware: `server.on('upgrade', upgrade(verifier, handler))`, where
 * `handler(req, socket, head)` opens them; with `ws` it calls `handleUpgrade` of a server with `noServer: true`.
 */
export function upgrade(verifier, handler) {
  return async (req, socket, head) => {
    const gone = () => socket.destroy();
    socket.on('error', gone); // nobody else listens yet
    try {
      req.portvakt = await verifier.check(req.method, req.url, lines(req));
    } catch (error) {
      console.warn(`portvakt: refused: ${error.message}`);
      const status = error instanceof Refused ? '403 Forbidden' : '500 Internal Server Error';
      return socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    }
    socket.off('error', gone);
    return handler(req, socket, head);
  };
}

function lines(req) {
  const headers = [];
  for (let at = 0; at < req.rawHeaders.length; at += 2) headers.push([req.rawHeaders[at], req.rawHeaders[at + 1]]);
  return headers;
}

async function read(stream) {
  const parts = [];
  let length = 0;
  for await (const part of stream) {
    length += part.length;
    if (length > MAX_BODY) throw new Refused('a body that is too long to be signed');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function check(jwk, message, signature) {
  try {
    const { kty, crv, x, y } = jwk;
    const pair = kty === 'OKP' && crv === 'Ed25519' ? null : kty === 'EC' && crv === 'P-256' ? 'sha256' : undefined;
    const key = createPublicKey({ key: { kty, crv, x, y }, format: 'jwk' });
    if (pair !== undefined && verify(pair, message, pair ? { key, dsaEncoding: 'ieee-p1363' } : key, signature)) return;
  } catch {
    // A key or a signature that the library cannot read.
  }
  throw new Refused('the signature is wrong');
}

// As a server that maps names to variables takes them for one another.
function fold(name) {
  return name.replace(/[^a-z0-9]/g, '-');
}

// A misspelt key would switch off what it was to demand.
function judge(place, given) {
  if ((given === undefined || given === null) && place !== 'configuration') return;
  if (!given || !OBJECT(given)) throw new TypeError(`\`${place}\` is an object`);
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(KNOWN[place], name)) throw new TypeError(`no such key: ${name}`);
    if (value !== null && value !== undefined && !KNOWN[place][name](value)) throw new TypeError(`\`${name}\` is of another type`);
  }
}

function claimOf(claims, name) {
  return name.split('.').reduce((value, part) => (value && OBJECT(value) ? value[part] : undefined), claims);
}

function says(header, claim) {
  if (Array.isArray(claim)) return [',', ';', '^', '|'].some((separator) => claim.join(separator) === header);
  if (typeof claim !== 'string') return false;
  // Some are percent-encoded, as the contract has it.
  const coded = [...Buffer.from(claim)].map((byte) => (byte >= 32 && byte < 127 && byte !== 37
    ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)).join('');
  return header === claim || header === coded;
}

function only(headers, name) {
  const values = headers.filter(([other]) => other === name);
  if (values.length !== 1) throw new Refused(`${values.length} lines of ${JSON.stringify(name)}`);
  return values[0][1];
}

// Over HTTP/2, Node tells `:authority` instead of Host.
function authority(headers) {
  const hosts = headers.filter(([name]) => name === ':authority').map(([, value]) => value);
  const host = hosts.length === 0 || headers.some(([name]) => name === 'host') ? only(headers, 'host') : hosts[0];
  if (hosts.length > 1 || (hosts[0] ?? host) !== host) throw new Refused('two hosts');
  return host;
}

function seconds(text) {
  if (!/^[0-9]{1,12}$/.test(text ?? '')) throw new Refused('no time');
  return Number(text);
}

function base64url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Refused('no base64url');
  return Buffer.from(text, 'base64url');
}

function json(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refused('no JSON');
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Refused('no JSON object');
  return value;
}
