// An application behind the kit: with Express, or with Node's own server. See ../run.mjs for KIT_CONTROL; without
// `now` in it, it is now.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { guard, upgrade, Verifier, wrap } = await import(pathToFileURL(join(process.env.KIT_FOLDER, 'portvakt-verify.mjs')));
const [sort, packages] = process.argv.slice(2);

let [vector, now, verifier] = ['', 0, null];
function current() {
  const control = JSON.parse(readFileSync(process.env.KIT_CONTROL, 'utf8'));
  if (control.vector !== vector) verifier = new Verifier(control.config, () => now ?? Date.now() / 1000);
  ({ vector, now } = control);
  return verifier;
}

async function handler(req, res) {
  const parts = [];
  if (!req.body) for await (const part of req) parts.push(part);
  const body = (req.body ?? Buffer.concat(parts)).toString('latin1');
  res.writeHead(200, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify({ who: req.portvakt.fnr ?? null, body }));
}

// A configuration that it cannot check: the application would not start.
function unless(answer, serve) {
  let started;
  try {
    started = current();
  } catch (error) {
    console.error(error.message);
    vector = '';
    return answer('403 Forbidden');
  }
  return serve(started);
}
const plainly = (socket) => (status, body = '') =>
  socket.end(`HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
const refusing = (res) => (status) => res.writeHead(parseInt(status, 10)).end();

let application = (req, res) => unless(refusing(res), (verifier) => wrap(verifier, handler)(req, res));
if (sort === 'express') {
  const express = createRequire(join(packages, 'package.json'))('express');
  application = express();
  application.use((req, res, next) => unless(refusing(res), (verifier) => guard(verifier)(req, res, next)));
  application.use((req, res, next) => handler(req, res).catch(next));
}
const server = createServer(application).listen(Number(process.env.PORT), '127.0.0.1');
// In the place of a WebSocket it says at once who opened it.
const opened = (req, socket) => plainly(socket)('200 OK', JSON.stringify({ who: req.portvakt.fnr ?? null, body: '' }));
server.on('upgrade', (req, socket, head) =>
  unless(plainly(socket), (verifier) => upgrade(verifier, opened)(req, socket, head)));
