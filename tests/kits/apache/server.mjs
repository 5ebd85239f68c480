// Apache with the recipe in front of a careless application. Usage: node server.mjs WORK; see ../run.mjs for the rest.

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { careless } from '../behind.mjs';

const { KIT_CONTROL, KIT_FOLDER, PORT } = process.env;
const work = join(process.argv[2], `apache-${PORT}`);
mkdirSync(work, { recursive: true });
const application = await careless();

// The recipe as it stands, but for what an operator fills in.
const installed = '/etc/apache2/portvakt/';
const recipe = readFileSync(join(KIT_FOLDER, 'portvakt.conf'), 'utf8');
if (recipe.split(installed).length !== 3) throw new Error(`portvakt.conf lacks ${installed}`);
writeFileSync(join(work, 'recipe.conf'), recipe.replaceAll(`${installed}portvakt_access`, join(work, 'kit_access')).replaceAll(installed, `${work}/`));
cpSync(join(KIT_FOLDER, 'portvakt_names.lua'), join(work, 'portvakt_names.lua'));
cpSync(join(KIT_FOLDER, 'portvakt_access.py'), join(work, 'portvakt_access.py'));
cpSync(resolve(import.meta.dirname, '../../../deploy/verify/python/portvakt_verify.py'), join(work, 'portvakt_verify.py'));
// Its configuration and its clock change with each vector.
writeFileSync(join(work, 'kit_access.py'), `
import json, os, sys
sys.path.insert(0, ${JSON.stringify(work)})
import portvakt_access
known = {}

def allow_access(environ, host):
    with open(${JSON.stringify(KIT_CONTROL)}, encoding="utf-8") as file:
        control = json.load(file)
    clock = lambda: known["now"]
    known["now"] = control["now"]
    if known.get("vector") != control["vector"]:
        known.update(vector=control["vector"], verifier=None)
        try:
            known["verifier"] = portvakt_access.verifier(control["config"], clock=clock)
        except ValueError:
            pass
    return known["verifier"] is not None and portvakt_access.allowed(environ, known["verifier"])
`);
const MODULES = ['mpm_event', 'authz_core', 'authn_core', 'lua', 'wsgi', 'proxy', 'proxy_http'];
writeFileSync(join(work, 'apache.conf'), `
ServerRoot ${work}
ServerName localhost
PidFile ${work}/pid
ErrorLog ${work}/error.log
${MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
User www-data
Group www-data
Listen 127.0.0.1:${PORT}
<VirtualHost 127.0.0.1:${PORT}>
    Include ${work}/recipe.conf
    ProxyPass "/" "http://127.0.0.1:${application}/" nocanon
    ProxyPreserveHost On
</VirtualHost>
`);
const apache = spawn('/usr/sbin/apache2', ['-f', join(work, 'apache.conf'), '-DONE_PROCESS', '-DFOREGROUND'], { stdio: ['ignore', 'ignore', 'inherit'] });
apache.on('exit', (code) => process.exit(code ?? 1));
