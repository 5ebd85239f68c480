// Runs every kit of deploy/verify with its real runtime against every vector, and once more for each fault
// that is planted in it.
//
// Usage: node tests/kits/run.mjs WORK [LIVE] [KIT…]
//   WORK  a folder for what is installed and for broken copies
//   LIVE  vectors that were captured from a running gateway, or `-`; `install` only installs
//
// A kit is a folder here with a `kit.json`:
//   kits    name → command of a server on {port}, behind the kit in {kit}; {work} and {tests} are folders
//   setup   commands that install the runtime's packages, once
//   build   commands that must follow each change of the kit
//   faults  [{name, file, find, put}]: a copy of the kit with `find` replaced must fail a vector,
//           but for the servers in `not`, which cannot meet it (WSGI folds the names before the kit sees them)
//   cannot  word → reason: configurations that the kit says it cannot check, by a word of what they ask for; it must
//           refuse every request of them, the good ones too. `fetching`: the server in which it runs fetches the keys, by its
//           own clock, so that the vectors of how they are fetched are left out
// The server reads the file KIT_CONTROL for each request: {vector, now, config}.
//
// KIT_ERRORS=1 shows what the servers wrote on the way. The last line: N kits, N vectors each, N wrong.

import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createWebServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';

const [work, live = '-', ...only] = process.argv.slice(2);
const here = resolve(import.meta.dirname);
const kitsFolder = resolve(here, '../../deploy/verify');
const DEADLINE = 60_000;

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const vectors = readdirSync(join(kitsFolder, 'vectors')).sort().map((file) => read(join(kitsFolder, 'vectors', file)));

// What must be accepted is checked with keys that a kit fetches, as in an app; the rest with keys that it is given.
let serves; // what a step has it answer instead of the keys
const publish = (request, answer) => {
  const [, config, proof, how] = request.url.split('/');
  if (how === 'redirected') return answer.writeHead(302, { Location: `/${config}/${proof}` }).end();
  if (how === 'failing') answer.statusCode = 500;
  answer.setHeader('Content-Type', 'application/json');
  if (serves !== undefined) return answer.end(serves);
  return answer.end(JSON.stringify({ keys: given[config][proof].keys }));
};
const [published, elsewhere] = [createWebServer(publish), createWebServer(publish)];
await new Promise((then) => published.listen(0, '127.0.0.1', then));
// Another machine, as far as a kit can tell.
await new Promise((then) => elsewhere.listen(0, '127.0.0.2', then));
const given = structuredClone(vectors[0].configs);
for (const [name, config] of Object.entries(vectors[0].configs)) {
  for (const proof of ['signature', 'assertion']) {
    if (config[proof]?.keys) config[proof].keys = `http://127.0.0.1:${published.address().port}/${name}/${proof}`;
  }
}
// Keys from elsewhere than the place that was named, or with an error, are no keys.
for (const how of ['redirected', 'failing']) {
  for (const name of ['ed25519: a person', 'ecdsa: a person', 'assertion: an assertion']) {
    const { config, steps } = vectors[0].vectors.find((one) => one.name === name);
    const changed = structuredClone(vectors[0].configs[config]);
    for (const proof of ['signature', 'assertion']) if (changed[proof]) changed[proof].keys += `/${how}`;
    const refused = steps.map(({ who, ...step }) => ({ ...step, expect: 'reject' }));
    vectors.push({ configs: { [config]: changed }, vectors: [{ name: `${name}, keys ${how}`, config, steps: refused }] });
  }
}
// What is no key set takes the place of none, and does no harm when a good one follows.
for (const [number, odd] of ['{}', '{"keys":null}', '{"keys":[]}', '{"keys":[1]}', '[]', '<p>'].entries()) {
  const { config, steps } = vectors[0].vectors.find((one) => one.name === 'ecdsa: six minutes later');
  const of = (order) => {
    const changed = structuredClone(vectors[0].configs[config]);
    changed.signature.keys += `/${order}-${number}`;
    return { [config]: changed };
  };
  const [early, late] = steps;
  const { who, ...refused } = early;
  vectors.push(
    { configs: of('after'), vectors: [{ name: `${config}: ${odd} after the keys`, fetching: true, config, steps: [early, { ...late, serves: odd }] }] },
    { configs: of('before'), vectors: [{ name: `${config}: ${odd} before the keys`, fetching: true, config, steps: [{ ...refused, serves: odd, expect: 'reject' }, late] }] },
  );
}
{
  const { config, steps } = vectors[0].vectors.find((one) => one.name === 'ecdsa: a person');
  const changed = structuredClone(vectors[0].configs[config]);
  changed.signature.keys = `http://127.0.0.2:${elsewhere.address().port}/${config}/signature`;
  const refused = steps.map(({ who, ...step }) => ({ ...step, expect: 'reject' }));
  vectors.push({ configs: { [config]: changed }, vectors: [{ name: `${config}: keys over plain http from elsewhere`, fetching: true, config, steps: refused }] });
}
if (!['-', 'install'].includes(live)) vectors.push(read(live));

const counts = { accept: 0, reject: 0 };
for (const vector of vectors.flatMap((file) => file.vectors)) {
  counts[vector.steps.some((step) => step.expect === 'reject') ? 'reject' : 'accept'] += 1;
}
if (counts.accept < 10 || counts.reject < 45) throw new Error('too few vectors');

const fill = (command, places) =>
  command.map((word) => word.replace(/\{(\w+)\}/g, (all, name) => places[name] ?? all));

function must(command, places, kit) {
  const [program, ...words] = fill(command, places);
  const done = spawnSync(program, words, { cwd: places.kit, encoding: 'utf8', timeout: 600_000 });
  if (done.status !== 0) throw new Error(`${kit}: ${program} failed:\n${done.error ?? ''}${done.stdout}${done.stderr}`);
}

async function freePort() {
  const server = createServer();
  await new Promise((then) => server.listen(0, '127.0.0.1', then));
  const { port } = server.address();
  await new Promise((then) => server.close(then));
  return port;
}

// Sends the very bytes, and reads to the end.
function ask(port, step) {
  let body = step.body === undefined ? null : Buffer.from(step.body, 'base64');
  const lines = [`${step.method} ${step.target} HTTP/1.1`, ...step.headers.map(([name, value]) => `${name}: ${value}`)];
  if (step.trailer !== undefined) {
    lines.push('Transfer-Encoding: chunked', `Trailer: ${step.trailer[0]}`);
    body = Buffer.from(`${body.length.toString(16)}\r\n${body.toString('latin1')}\r\n0\r\n${step.trailer.join(': ')}\r\n\r\n`, 'latin1');
  } else if (body !== null) lines.push(`Content-Type: ${step.type ?? 'application/x-www-form-urlencoded'}`, `Content-Length: ${body.length}`);
  // In one line: some servers take two for an attempt at something.
  const own = lines.findIndex((line) => /^connection: upgrade$/i.test(line));
  if (own < 0) lines.push('Connection: close');
  else lines[own] += ', close';
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  return new Promise((then, fail) => {
    const parts = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.concat([head, body ?? Buffer.alloc(0)])));
    socket.setTimeout(DEADLINE, () => socket.destroy(new Error('no answer')));
    socket.on('data', (part) => parts.push(part));
    socket.on('error', fail);
    socket.on('close', () => then(Buffer.concat(parts).toString('latin1')));
  });
}

async function answer(port, step) {
  const text = await ask(port, step);
  if (text === '') return { expect: 'reject' }; // closed at once
  const status = Number(text.match(/^HTTP\/1\.[01] (\d{3})/)?.[1]);
  if (status !== 200) return status >= 400 && status < 500 ? { expect: 'reject' } : { expect: `status ${status}` };
  const said = JSON.parse(text.match(/\{.*\}/s)[0]);
  const body = step.body === undefined ? '' : Buffer.from(step.body, 'base64').toString('latin1');
  if (said.body !== body) return { expect: 'another body' };
  // What was judged is what the application gets, where a server in front of it is judged.
  if ((said.target ?? step.target) !== step.target) return { expect: `another target, ${said.target}` };
  return { expect: 'accept', who: said.who };
}

// The words of what a configuration asks for: see `cannot`.
const asked = ({ signature, assertion }) => [
  ...(signature ? [signature.algorithm] : []), ...(assertion ? [signature ? 'assertion' : 'assertion alone'] : []),
  ...(signature?.nonces ? ['nonces'] : []), ...(signature?.content_digest ? ['digest'] : []),
];

const same = (got, step) =>
  (got.expect === step.expect && (got.expect !== 'accept' || got.who === step.who)) ||
  ('or_dropped' in step && got.expect === 'accept' && got.who === step.or_dropped);

async function started(server, port) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    if (server.exitCode !== null) throw new Error('the server ended');
    const open = await new Promise((then) => {
      const socket = connect(port, '127.0.0.1', () => { socket.destroy(); then(true); });
      socket.on('error', () => then(false));
    });
    if (open) return;
    if (Date.now() > end) throw new Error('the server does not listen');
    await new Promise((then) => setTimeout(then, 50));
  }
}

// What a server says wrong. Stops at the first when `first`.
async function judge(name, command, places, cannot, first) {
  const port = await freePort();
  const control = join(places.work, `${name}.control.json`);
  const [program, ...words] = fill(command, { ...places, port });
  const environment = { ...process.env, KIT_CONTROL: control, KIT_FOLDER: places.kit, PORT: String(port) };
  const server = spawn(program, words, { cwd: places.tests, env: environment, stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let errors = '';
  server.stderr.on('data', (part) => { errors = (errors + part).slice(process.env.KIT_ERRORS ? 0 : -4000); });
  const wrong = [];
  try {
    await started(server, port);
    for (const [number, file] of vectors.entries()) {
      for (const vector of file.vectors.filter(({ fetching }) => !(fetching && 'fetching' in cannot))) {
        for (const [index, step] of vector.steps.entries()) {
          const content = { vector: `${number}: ${vector.name}`, now: step.now, config: file.configs[vector.config] };
          writeFileSync(`${control}.new`, JSON.stringify(content));
          renameSync(`${control}.new`, control);
          serves = step.serves;
          const got = await answer(port, step);
          const refuses = asked(content.config).some((word) => word in cannot);
          if (!same(got, refuses ? { expect: 'reject' } : step)) wrong.push(`${vector.name}, step ${index + 1}: ${JSON.stringify(got)}`);
          if (wrong.length > 0 && first) return wrong;
        }
      }
    }
  } catch (error) {
    throw new Error(`${name}: ${error.message}\n${errors}`);
  } finally {
    if (server.exitCode === null) {
      process.kill(-server.pid, 'SIGKILL');
      await new Promise((then) => server.once('close', then));
    }
  }
  if (process.env.KIT_ERRORS && !first) console.log(errors);
  return wrong;
}

const folders = readdirSync(here).filter((name) => existsSync(join(here, name, 'kit.json')));
let [kits, total, missed] = [0, 0, 0];
for (const folder of folders.filter((name) => only.length === 0 || only.includes(name))) {
  const { kits: servers, setup, build = [], faults, cannot = {} } = read(join(here, folder, 'kit.json'));
  const places = { work: resolve(work, folder), tests: join(here, folder), kit: join(kitsFolder, folder) };
  const done = join(places.work, 'installed.json');
  if (!existsSync(done) || readFileSync(done, 'utf8') !== JSON.stringify(setup)) {
    console.log(`${folder}: installing its runtime's packages`);
    mkdirSync(places.work, { recursive: true });
    for (const command of setup) must(command, places, folder);
    writeFileSync(done, JSON.stringify(setup));
  }
  if (live === 'install') continue;
  // Anew, since what was built last is the last broken copy.
  for (const step of build) must(step, places, folder);
  for (const [name, command] of Object.entries(servers)) {
    const wrong = await judge(name, command, places, cannot, false);
    kits += 1;
    total += wrong.length;
    const refused = vectors.flatMap((file) => file.vectors.map((vector) => asked(file.configs[vector.config])))
      .filter((words) => words.some((word) => word in cannot)).length;
    const of = refused === 0 ? '' : `; ${refused} ask for what it says it cannot check (${Object.keys(cannot).join(', ')}), and all must be refused`;
    console.log(`${name}: ${wrong.length} wrong${of}`);
    for (const one of wrong) console.log(`  ${one}`);
  }
  for (const fault of faults) {
    const copy = join(places.work, 'fault');
    rmSync(copy, { recursive: true, force: true });
    cpSync(places.kit, copy, { recursive: true });
    const file = join(copy, fault.file);
    const text = readFileSync(file, 'utf8');
    if (!text.includes(fault.find)) throw new Error(`${folder}: nothing to plant in ${fault.file}: ${fault.find}`);
    writeFileSync(file, text.replaceAll(fault.find, fault.put));
    const broken = { ...places, kit: copy };
    for (const step of build) must(step, broken, folder);
    for (const [name, command] of Object.entries(servers).filter(([one]) => !fault.not?.includes(one))) {
      const caught = await judge(name, command, broken, cannot, true);
      if (caught.length === 0) missed += 1;
      console.log(`  ${name}, ${fault.name}: ${caught.length === 0 ? 'NOT CAUGHT' : `caught by “${caught[0].split(', step')[0]}”`}`);
    }
  }
}
if (live === 'install') process.exit(0);
const each = vectors.reduce((sum, file) => sum + file.vectors.length, 0);
if (missed > 0) console.log(`${missed} planted faults were not caught`);
console.log(`${kits} kits, ${each} vectors each, ${total} wrong`);
process.exit(total + missed > 0 || kits === 0 ? 1 : 0);
