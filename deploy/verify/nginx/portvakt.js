// Checks in nginx that a request was made by Portvakt, the gateway in front, before the application gets it.
//
// One file for nginx's module njs, 0.7.9 or later. What it demands is listed in deploy/verify/README.md. It fails
// closed: a request that it does not understand is refused, and so is every request when its configuration is
// wrong. README.md beside this file says how it is put in place, and what it does not check.
//
// Written in what the oldest njs understands: no destructuring, no `for … of`, and no `await` within `try`.

import fs from 'fs';
import hashes from 'crypto';

const LEEWAY = 10; // seconds that clocks may differ
const LIFE = 30; // seconds that a signature lives
const MAX_BODY = 64 * 1024; // the gateway signs no digest of more
const COMPONENTS = ['@method', '@authority', '@path', '@query', 'x-portvakt-audience'];
const INPUT = /^portvakt=(\(("[^"\\]*"(?: "[^"\\]*")*)\)((?:;[a-z]+=(?:[0-9]+|"[^"\\]*"))*))$/;
// What stands before x and y in the SubjectPublicKeyInfo of a P-256 key (RFC 5480).
const P256 = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

// For `js_content`: on to the location `@app`, or 403.
async function guard(r) {
    const config = JSON.parse(fs.readFileSync(r.variables.portvakt_config).toString());
    await judge(r, config, Date.now() / 1000);
}

// The same with a configuration, and Unix seconds.
async function judge(r, config, now) {
    const reason = misconfigured(config) || (await refusal(r, config, now));
    if (reason !== '') {
        r.error(`portvakt: refused: ${reason}`);
        r.headersOut['Cache-Control'] = 'no-store';
        r.return(403, 'Not by way of the gateway.\n');
        return;
    }
    r.internalRedirect('@app');
}

// Why nothing can be let in, or ''.
function misconfigured(config) {
    const signature = config.signature;
    if (!config.audience || !signature) return 'say `audience` and `signature`';
    // The application behind reads headers. They are covered by the signature, and so is the assertion.
    if (config.assertion) return 'the assertion is not checked here: leave `assertion` out';
    if (signature.nonces) return 'nonces cannot be remembered here: leave `nonces` out';
    const known = ['algorithm', 'keys', 'secrets', 'content_digest', 'nonces', 'headers'];
    const unknown = Object.keys(signature).filter((name) => known.indexOf(name) < 0);
    if (unknown.length > 0) return `no such key: ${unknown[0]}`;
    const others = Object.keys(config).filter((name) => ['audience', 'signature', 'assertion'].indexOf(name) < 0);
    if (others.length > 0) return `no such key: ${others[0]}`;
    if (signature.headers && !Array.isArray(signature.headers)) return '`headers` is a list of names';
    if ([true, false, null, undefined].indexOf(signature.content_digest) < 0) return '`content_digest` is true or false';
    if (signature.algorithm === 'hmac-sha256') {
        const secrets = signature.secrets || {};
        const wrong = Object.keys(secrets).filter((kid) => (base64url(secrets[kid]) || '').length !== 32);
        return wrong.length > 0 ? 'a secret is 32 bytes in base64url' : '';
    }
    if (signature.algorithm !== 'ecdsa-p256-sha256') return 'algorithms here: ecdsa-p256-sha256 and hmac-sha256';
    if (!Array.isArray(signature.keys) && !/^\/[^\/]/.test(signature.keys || '')) {
        return '`keys` is the path of the internal location of the key set, or the list of its keys';
    }
    return '';
}

// Why this request is refused, or ''.
async function refusal(r, config, now) {
    const wanted = config.signature;
    const target = r.variables.request_uri;
    // An absolute-form target names a host of its own.
    if (r.variables.request !== `${r.method} ${target} HTTP/${r.httpVersion}`) return 'not a plain request line';
    const headers = r.rawHeadersIn.map((pair) => [pair[0].toLowerCase(), pair[1].replace(/^[ \t]+|[ \t]+$/g, '')]);

    const field = INPUT.exec(only(headers, 'signature-input') || '');
    if (!field) return "Signature-Input is missing, doubled or not the gateway's";
    const names = field[2].split(' ').map((name) => name.slice(1, -1));
    const given = parameters(field[3]);
    if (given === null || !distinct(names)) return 'something is said twice';
    if (given.tag !== '"portvakt"') return 'another tag';
    if ((given.alg || `"${wanted.algorithm}"`) !== `"${wanted.algorithm}"`) return 'another algorithm';
    const needed = wanted.content_digest ? COMPONENTS.concat(['content-digest']) : COMPONENTS;
    if (!needed.every((name) => names.indexOf(name) >= 0)) return 'the signature does not cover enough';
    const created = seconds(given.created);
    const expires = seconds(given.expires);
    if (created === null || expires === null) return 'no time';
    if (created > now + LEEWAY || expires + LEEWAY < now || expires <= created || expires - created > LIFE) return 'not now';

    const signature = /^portvakt=:([A-Za-z0-9+\/]+={0,2}):$/.exec(only(headers, 'signature') || '');
    if (!signature) return "Signature is missing, doubled or not the gateway's";
    const base = signatureBase(names, field[1], r.method, target, headers);
    if (base === null) return 'a component that is missing, doubled or cannot be signed';
    const kid = (given.keyid || '""').slice(1, -1);
    if (!(await valid(r, wanted, kid, base, Buffer.from(signature[1], 'base64')))) return 'the signature is wrong';

    if (only(headers, 'x-portvakt-audience') !== config.audience) return 'for another audience';
    if (wanted.content_digest && only(headers, 'content-digest') !== digest(r)) return 'another body';
    return unexpected(headers, names, (wanted.headers || []).map((name) => name.toLowerCase()));
}

// Header lines that an application could take for the gateway's, or ''.
function unexpected(headers, names, named) {
    const told = [];
    for (let at = 0; at < headers.length; at += 1) {
        const name = headers[at][0];
        const folded = fold(name);
        const isNamed = named.some((other) => fold(other) === folded);
        if (!isNamed && !folded.startsWith('x-identity')) continue;
        const ours = isNamed ? named.indexOf(name) >= 0 : folded === name && name.startsWith('x-identity-');
        if (!ours || told.indexOf(name) >= 0) {
            return 'an identity header that the gateway does not write';
        }
        if (names.indexOf(name) < 0) return 'an identity header that the signature does not cover';
        told.push(name);
    }
    return '';
}

// As a server that maps names to variables takes them for one another.
function fold(name) {
    return name.replace(/[^a-z0-9]/g, '-');
}

// RFC 9421, 2.5; null if a component cannot be had.
function signatureBase(names, said, method, target, headers) {
    const mark = target.indexOf('?');
    const lines = [];
    for (let at = 0; at < names.length; at += 1) {
        const name = names[at];
        let value = null;
        if (name === '@method') value = method;
        else if (name === '@authority') value = (only(headers, 'host') || '').toLowerCase() || null;
        else if (name === '@path') value = mark < 0 ? target : target.slice(0, mark);
        else if (name === '@query') value = mark < 0 ? '?' : target.slice(mark);
        else if (name[0] !== '@') value = only(headers, name);
        if (value === null || !/^[ -~]*$/.test(name + value)) return null;
        lines.push(`"${name}": ${value}`);
    }
    lines.push(`"@signature-params": ${said}`);
    return /^[\n -~]*$/.test(said) ? lines.join('\n') : null;
}

function valid(r, wanted, kid, base, signature) {
    if (wanted.algorithm === 'hmac-sha256') {
        const secrets = wanted.secrets || {};
        if (Object.keys(secrets).indexOf(kid) < 0) return false;
        return equal(hashes.createHmac('sha256', base64url(secrets[kid])).update(base).digest(), signature);
    }
    if (signature.length !== 64) return false;
    return keySet(r, wanted.keys)
        .then((keys) => {
            const found = keys.filter((key) => key.kid === kid && key.alg === 'ES256' && key.kty === 'EC' && key.crv === 'P-256');
            if (found.length !== 1) return false;
            const point = Buffer.concat([P256, base64url(found[0].x), base64url(found[0].y)]);
            const how = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
            return crypto.subtle.importKey('spki', point, how, false, ['verify'])
                .then((key) => crypto.subtle.verify(how, key, signature, Buffer.from(base)));
        })
        .then((answer) => answer === true, (error) => {
            r.error(`portvakt: ${error.message}`);
            return false;
        });
}

// nginx keeps what that location answered; see portvakt.conf.
function keySet(r, keys) {
    if (Array.isArray(keys)) return Promise.resolve(keys);
    return r.subrequest(keys, { method: 'GET' }).then((answer) => {
        if (answer.status !== 200) throw new Error('no key set');
        return JSON.parse(answer.responseText).keys;
    });
}

// What Content-Digest must say, or '' for a body that is not in memory.
function digest(r) {
    const body = r.requestBuffer || (Number(r.variables.content_length || 0) === 0 && !r.headersIn['Transfer-Encoding'] ? Buffer.from('') : null);
    if (body === null || body.length > MAX_BODY) return '';
    return `sha-256=:${hashes.createHash('sha256').update(body).digest('base64')}:`;
}

// `;name=value` pairs as an object, or null if a name is there twice.
function parameters(text) {
    const given = {};
    const each = /;([a-z]+)=([0-9]+|"[^"\\]*")/g;
    for (let match = each.exec(text); match !== null; match = each.exec(text)) {
        if (Object.keys(given).indexOf(match[1]) >= 0) return null;
        given[match[1]] = match[2];
    }
    return given;
}

// The value of the only line of this name, or null.
function only(headers, name) {
    const values = headers.filter((pair) => pair[0] === name);
    return values.length === 1 ? values[0][1] : null;
}

function distinct(names) {
    return names.every((name, at) => names.indexOf(name) === at);
}

function seconds(text) {
    return /^[0-9]{1,12}$/.test(text || '') ? Number(text) : null;
}

function base64url(text) {
    return typeof text === 'string' && /^[A-Za-z0-9_-]*$/.test(text) ? Buffer.from(text, 'base64url') : null;
}

// Without telling by its time where they differ.
function equal(one, other) {
    let difference = one.length ^ other.length;
    for (let at = 0; at < one.length && at < other.length; at += 1) difference |= one[at] ^ other[at];
    return difference === 0;
}

export default { guard, judge };
