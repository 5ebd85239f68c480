// An application of the careless kind, behind nginx or Apache: it folds the names of headers as CGI does, takes the
// last of each, and believes it. What it is told is all that the server in front let through.

import { createServer } from 'node:http';

/** Starts it; gives its port. */
export async function careless() {
  const server = createServer(async (req, res) => {
    const parts = [];
    for await (const part of req) parts.push(part);
    const seen = {};
    for (let at = 0; at < req.rawHeaders.length; at += 2) {
      seen[req.rawHeaders[at].toUpperCase().replace(/[^A-Z0-9]/g, '_')] = req.rawHeaders[at + 1];
    }
    const said = {
      who: seen.X_IDENTITY_FNR ?? null, body: Buffer.concat(parts).toString('latin1'),
      target: req.url, method: req.method, host: req.headers.host,
      identity: Object.keys(seen).filter((name) => name.startsWith('X_IDENTITY')).length,
    };
    res.writeHead(200, { 'Content-Type': 'application/json' });
    res.end(JSON.stringify(said));
  });
  await new Promise((then) => server.listen(0, '127.0.0.1', then));
  return server.address().port;
}
