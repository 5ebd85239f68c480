// An application behind the kit: with Express, or with Node's own server. See ../run.mjs for KIT_CONTROL; without
// `now` in it, it is now.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { guard, Verifier, wrap } = await import(pathToFileURL(join(process.env.KIT_FOLDER, 'portvakt-verify.mjs')));
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

let application = (req, res) => wrap(current(), handler)(req, res);
if (sort === 'express') {
  const express = createRequire(join(packages, 'package.json'))('express');
  application = express();
  application.use((req, res, next) => guard(current())(req, res, next));
  application.use((req, res, next) => handler(req, res).catch(next));
}
createServer(application).listen(Number(process.env.PORT), '127.0.0.1');
