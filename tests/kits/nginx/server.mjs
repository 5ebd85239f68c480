// nginx with the recipe in front of a careless application. Usage: node server.mjs WORK; see ../run.mjs for the rest.

import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { careless } from '../behind.mjs';

const { KIT_CONTROL, KIT_FOLDER, PORT } = process.env;
const work = join(process.argv[2], `nginx-${PORT}`);
mkdirSync(work, { recursive: true });
const application = await careless();

// The recipe as it stands, but for what an operator fills in, the clock, and where a vector's keys are.
let recipe = readFileSync(join(KIT_FOLDER, 'portvakt.conf'), 'utf8');
for (const [find, put] of [
  ['js_content portvakt.guard;', 'js_content kit.guard;'],
  ['proxy_pass https://your.host/.well-known/portvakt/jwks.json;', 'proxy_pass $kit_keys;'],
  ['/etc/nginx/portvakt/portvakt.json', KIT_CONTROL],
  ['proxy_cache_key               portvakt-keys;', 'proxy_cache_key $kit_keys;'],
]) {
  if (!recipe.includes(find)) throw new Error(`portvakt.conf lacks ${find}`);
  recipe = recipe.replace(find, put);
}
writeFileSync(join(work, 'recipe.conf'), recipe);
writeFileSync(join(work, 'kit.js'), `
import fs from 'fs';
import portvakt from 'portvakt.js';
async function guard(r) {
    const control = JSON.parse(fs.readFileSync(r.variables.portvakt_config).toString());
    const signature = control.config.signature;
    if (signature && typeof signature.keys === 'string') {
        r.variables.kit_keys = signature.keys;
        signature.keys = '/portvakt-keys';
    }
    await portvakt.judge(r, control.config, control.now);
}
export default { guard };
`);
const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
writeFileSync(join(work, 'nginx.conf'), `
load_module /usr/lib/nginx/modules/ngx_http_js_module.so;
daemon off;
master_process off;
pid ${work}/pid;
error_log stderr warn;
events {}
http {
    access_log off;
    ${folders.map((name) => `${name}_temp_path ${work}/${name};`).join(' ')}
    proxy_cache_path ${work}/keys keys_zone=portvakt:1m;
    js_path ${work};
    js_path ${KIT_FOLDER};
    js_import kit.js;
    js_var $kit_keys;
    server {
        listen 127.0.0.1:${PORT};
        include ${work}/recipe.conf;
        location @app {
            proxy_pass http://127.0.0.1:${application};
            proxy_set_header Host $http_host;
        }
    }
}
`);
const nginx = spawn('/usr/sbin/nginx', ['-c', join(work, 'nginx.conf'), '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'inherit'] });
nginx.on('exit', (code) => process.exit(code ?? 1));
