// Every page of the gateway in every language, as the real gateway answers it: looked at by axe-core (WCAG 2.2 AA), at
// 320 px, at 200 %, in the dark, by keyboard, and for anything that it loads or lets a script do. Screenshots are for
// people to look at.
//
//   node pages.mjs --gateway URL --admin URL --simulator URL --balanced URL --jwks FILE --staged FILE --revocations FILE
//     --screenshots FOLDER [--only PAGE[,PAGE]]

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBrowser } from '../browser/webdriver.mjs';

const { values: options } = parseArgs({
  options: {
    gateway: { type: 'string' },
    admin: { type: 'string' },
    simulator: { type: 'string' },
    balanced: { type: 'string' },
    jwks: { type: 'string' },
    staged: { type: 'string' },
    revocations: { type: 'string' },
    screenshots: { type: 'string' },
    only: { type: 'string' },
  },
});
const AXE = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const RULES = {
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'],
  rules: { 'target-size': { enabled: true } },
  resultTypes: ['violations'],
};
const LANGUAGES = ['nb', 'nn', 'en', 'se'];
const VIEWS = [
  { name: 'desktop', width: 1280, height: 900, scale: 1, scheme: 'light', axe: true, picture: true },
  { name: '320', width: 320, height: 640, scale: 1, scheme: 'light', axe: true, picture: true },
  { name: 'dark', width: 1280, height: 900, scale: 1, scheme: 'dark', axe: true, picture: true },
  { name: 'dark-320', width: 320, height: 640, scale: 1, scheme: 'dark', axe: true, picture: false },
  // 1280 px at 200 %.
  { name: 'zoomed', width: 640, height: 450, scale: 2, scheme: 'light', axe: true, picture: false },
];
/** A page's heading in each language, where an operator has another one. */
const CLOSED = { nb: 'Journalen er stengt', nn: 'Journalen er stengd', en: 'The records are closed', se: 'Journála lea gitta' };
/** Every page that there is: what `texts` in a configuration may name. */
const KNOWN = (() => {
  const schema = JSON.parse(readFileSync(new URL('../../docs/gateway.schema.json', import.meta.url), 'utf8'));
  return schema.properties.pages.properties.texts.propertyNames.enum.filter((name) => name !== 'labels');
})();
const staged = JSON.parse(readFileSync(options.staged, 'utf8'));
const branded = options.gateway.replace('localhost', 'branded.localhost');

const browser = await openBrowser();
const violations = [];
let pages = 0;

/**
 * How each page comes about, beginning with an empty browser. `again`: the page has no links to other languages, so it
 * comes about once for each; `linked`: it has them, and they lead away; `quiet`: nothing went wrong, so that there is nothing
 * to refer to; `scripted`: a line of script presses its button; `logo`: it has one; `headings`: not ours.
 */
const PAGES = {
  choice: { quiet: true, act: choice },
  onward: { again: true, quiet: true, act: (language) => browser.open(stage('onward', language)) },
  login_required: { again: true, act: () => post('/app/x', 'multipart/form-data', [['text', 'abc']]) },
  kept_form: { again: true, act: () => post('/app/x', 'application/x-www-form-urlencoded', [['text', 'abc']]) },
  form_gone: { act: () => post('/oauth2/resume', 'application/x-www-form-urlencoded', [['kept', 'x']]) },
  resent_form: { again: true, scripted: true, act: resent },
  organisations: { again: true, act: () => logIn('/many-jobs/x', 'employee-many') },
  logout_form: {
    again: true,
    scripted: true,
    act: async () => {
      await logIn('/app/x', 'bankid-high');
      await unscripted(() => open('/oauth2/logout'));
    },
  },
  login_expired: { act: () => open('/oauth2/callback?code=a&state=b') },
  login_cancelled: { act: () => logIn('/app/x', 'cancels') },
  login_ended: { act: ended },
  login_refused: { act: () => lying('id_token_wrong_nonce', 1, () => logIn('/app/x', 'bankid-high')) },
  login_not_set_up: { act: () => lying('id_token_missing_sid', 1, () => logIn('/app/x', 'bankid-high')) },
  login_loop: { act: loop },
  level_too_low: { act: () => logIn('/high/x', 'level-too-low') },
  level_unreachable: { act: unreachable },
  login_too_old: { act: tooOld },
  national_number_needed: { act: async () => { await logIn('/eu/x', 'eidas-se'); await open('/app/x'); } },
  european_id_needed: { act: async () => { await logIn('/app/x', 'bankid-high'); await open('/european/x'); } },
  electronic_id_needed: { act: async () => { await logIn('/mail/x', 'email'); await open('/eu/x'); } },
  employee_needed: { act: privately },
  wrong_kind: { act: async () => { await logIn('/app/x', 'bankid-high'); await open('/mail/x'); } },
  wrong_provider: { again: true, linked: true, act: (language) => browser.open(stage('wrong_provider', language)) },
  wrong_country: { act: async () => { await logIn('/eu/x', 'eidas-se'); await open('/finland/x'); } },
  wrong_method: { act: () => logIn('/strict/x', 'bankid-high') },
  represents_nobody: { act: () => logIn('/job/x', 'employee-none') },
  wrong_organisation: { act: () => logIn('/their-job/x', 'employee') },
  provider_down: { act: () => open('/down/x') },
  provider_busy: { act: providerBusy },
  sessions_uncertain: { act: uncertain },
  overloaded: { act: overloaded },
  access_token_missing: { act: tokenMissing },
  too_many_requests: { act: async () => { await open('/often/x'); await open('/often/x'); } },
  cross_site: { act: () => post('/app/x', 'application/x-www-form-urlencoded', [['a', 'b']], `${options.simulator}/persons.json`) },
  maintenance: { act: () => open('/closed/x') },
  not_found: { act: () => open('/oauth2/nothing') },
  method_not_allowed: { act: () => open('/absent/x') },
  bad_request: { act: () => open('/a%2Fb') },
  too_long: { again: true, act: () => open(`/${'a'.repeat(8_200)}`) },
  wrong_host: { again: true, act: (language) => wrongHost(language) },
  insecure_transport: { again: true, linked: true, act: insecure },
  internal_error: { again: true, linked: true, act: (language) => browser.open(stage('internal_error', language)) },
  app_unreachable: { act: () => open('/gone/x') },
  app_too_slow: { act: () => open('/slow/x') },
  app_busy: { act: busy },
  too_large: { act: () => post('/small/x', 'application/x-www-form-urlencoded', [['a', 'b'.repeat(5_000)]]) },
  signed_out: { act: signedOut },
  signed_out_locally_only: { act: () => open('/oauth2/logout?session=nowhere') },
  branded_maintenance: { logo: true, headings: CLOSED, act: () => browser.open(`${branded}/closed/x`) },
  branded_choice: { logo: true, quiet: true, act: () => browser.open(`${branded}/both/x`) },
  branded_not_found: { logo: true, act: () => browser.open(`${branded}/oauth2/nothing`) },
};

const theStage = createServer((request, response) => {
  const [, name, language] = request.url.split('/');
  const page = staged[name]?.[language];
  if (!page) return response.writeHead(204).end();
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': page.policy });
  response.end(page.html);
});

try {
  mkdirSync(options.screenshots, { recursive: true });
  await new Promise((done) => theStage.listen(0, '127.0.0.1', done));
  await register();
  for (const name of KNOWN.filter((name) => !PAGES[name])) violations.push(`${name}: nobody looks at this page`);
  for (const [name, page] of Object.entries(PAGES)) {
    if (options.only && !options.only.split(',').includes(name)) continue;
    try {
      await look(name, page);
      pages += 1;
    } catch (error) {
      violations.push(`${name}: ${error.message}`);
      console.log(`not ok - ${name}: ${error.message}`);
      await browser.screenshot(join(options.screenshots, `${name}-failed.png`)).catch(() => {});
    }
  }
} finally {
  await browser.close();
  theStage.close();
}
for (const violation of violations) console.log(violation);
console.log(`${pages} pages, ${LANGUAGES.length} languages, ${violations.length} violations`);
process.exit(violations.length === 0 ? 0 : 1);

/** Brings a page about and judges it in every language. */
async function look(name, page) {
  const { again, linked, act } = page;
  const before = violations.length;
  let languages;
  for (const language of LANGUAGES) {
    if (again || language === LANGUAGES[0]) {
      await begin(language);
      await act(language);
      languages = await links();
      assert.equal((again && !linked) ?? false, Object.keys(languages).length === 0, 'links to other languages');
    }
    const where = `${name} in ${language}`;
    const heading = page.headings?.[language] ?? headingOf(staged[name.replace('branded_', '')][language].html);
    if (again) {
      // It cannot be loaded again: it may hold a form.
      await judge(where, { language, heading, ...page }, () => {});
    } else {
      await judge(where, { language, heading, ...page }, () => open(languages[language]));
    }
  }
  console.log(`${violations.length === before ? 'ok' : 'not ok'} - ${name}`);
}

/** The heading of a page, as its source has it. */
function headingOf(html) {
  return /<h1>([^<]*)<\/h1>/.exec(html)[1].replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(code));
}

async function judge(where, { language, heading, quiet, scripted, logo }, load) {
  const broken = (what) => violations.push(`${where}: ${what}`);
  for (const view of VIEWS) {
    await browser.cdp('Emulation.setDeviceMetricsOverride', {
      width: view.width, height: view.height, deviceScaleFactor: view.scale, mobile: false,
    });
    await browser.cdp('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: view.scheme }] });
    if (view === VIEWS[0]) await load();
    // Another mode has another logo, which takes a moment.
    await settled(() => browser.script(`return [...document.images].every((one) => one.complete && one.naturalWidth > 0)`));
    const seen = await browser.script(`return {
      lang: document.documentElement.lang,
      code: document.querySelector('code')?.textContent,
      heading: document.querySelector('h1')?.textContent,
      wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
      scripts: document.scripts.length,
      buttons: document.querySelectorAll('main form button').length,
      broken: [...document.images].filter((image) => !image.complete || image.naturalWidth === 0).length,
      loaded: performance.getEntriesByType('resource').map(({ name }) => name),
    }`);
    if (seen.heading !== heading) broken(`${view.name}: it says ${seen.heading}`);
    if (seen.lang !== language) broken(`${view.name}: the page is in ${seen.lang}`);
    if (!seen.code && !quiet) broken(`${view.name}: there is no reference`);
    if (seen.wide) broken(`${view.name}: it is wider than the window`);
    const own = ({ origin, pathname }) => origin === branded && pathname.startsWith('/oauth2/logo/');
    const foreign = seen.loaded.filter((url) => !logo || !own(new URL(url)));
    if (foreign.length > 0) broken(`${view.name}: it loads ${foreign}`);
    if (seen.broken > 0 || (logo && seen.loaded.length === 0)) broken(`${view.name}: its logo is not there`);
    if (seen.scripts !== (scripted ? 1 : 0) || (scripted && seen.buttons === 0)) {
      broken(`${view.name}: it needs a script`);
    }
    if (view.axe) {
      for (const { id, nodes } of await axe()) broken(`${view.name}: ${id}: ${nodes}`);
    }
    if (view.picture) await picture(`${where.replaceAll(' ', '-')}-${view.name}.png`);
  }
  await byKeyboard(broken);
  await holds(broken);
}

/** Waits for what takes a moment; what comes after it says whether it came. */
async function settled(condition) {
  for (let times = 0; times < 60 && !(await condition()); times += 1) await new Promise((done) => setTimeout(done, 50));
}

/** The whole page, however long it is. */
async function picture(name) {
  const { data } = await browser.cdp('Page.captureScreenshot', { captureBeyondViewport: true, format: 'png' });
  writeFileSync(join(options.screenshots, name), Buffer.from(data, 'base64'));
}

/** What axe-core finds. */
function axe() {
  return browser.script(`${AXE}; return axe.run(document, ${JSON.stringify(RULES)}).then(({ violations }) =>
    violations.map(({ id, nodes }) => ({ id, nodes: nodes.map(({ target }) => target.join(' ')).join(', ') })))`);
}

/** Each link and button is reached with Tab, in the order of the page, and shows that it is. */
async function byKeyboard(broken) {
  const wanted = await browser.script(`document.activeElement?.blur?.(); window.scrollTo(0, 0);
    return [...document.querySelectorAll('a[href], button, input:not([type=hidden])')].length`);
  const reached = [];
  for (let at = 0; at < wanted; at += 1) {
    for (const type of ['keyDown', 'keyUp']) {
      await browser.cdp('Input.dispatchKeyEvent', { type, key: 'Tab', code: 'Tab', windowsVirtualKeyCode: 9 });
    }
    reached.push(await browser.script(`const one = document.activeElement;
      const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden])')];
      return { at: all.indexOf(one), outlined: parseFloat(getComputedStyle(one).outlineWidth) >= 2
        && getComputedStyle(one).outlineStyle !== 'none' }`));
  }
  reached.forEach(({ at, outlined }, expected) => {
    if (at !== expected) broken(`keyboard: Tab ${expected + 1} is at ${at}`);
    if (!outlined) broken(`keyboard: nothing shows that ${at} has the focus`);
  });
}

/** The policy forbids what a page does not need: scripts and styles of others, images, frames, connections. */
async function holds(broken) {
  await browser.script(`
    const violated = new Set();
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => violated.add(effectiveDirective));
    const add = (name, change) => { const one = document.createElement(name); change(one); document.body.append(one); };
    add('script', (one) => { one.textContent = 'window.broken = true'; });
    add('style', (one) => { one.textContent = 'body { color: red }'; });
    add('img', (one) => { one.src = 'http://127.0.0.1:1/x.png'; });
    add('iframe', (one) => { one.src = 'http://127.0.0.1:1/'; });
    add('base', (one) => { one.href = 'http://127.0.0.1:1/'; });
    fetch('http://127.0.0.1:1/').catch(() => {});
    window.violated = violated;`);
  const wanted = ['script-src-elem', 'style-src-elem', 'img-src', 'frame-src', 'base-uri', 'connect-src'];
  const told = () => browser.script(`return [...window.violated, window.broken ? 'BROKEN' : '']`);
  await settled(async () => {
    const found = await told();
    return wanted.every((directive) => found.includes(directive));
  });
  const forbidden = await told();
  for (const directive of wanted) {
    if (!forbidden.includes(directive)) broken(`policy: ${directive} is not held`);
  }
  if (forbidden.includes('BROKEN')) broken('policy: a script ran');
}

/** An empty browser whose person reads a language. */
async function begin(language) {
  await control({ reset: true });
  await browser.cdp('Network.clearBrowserCookies');
  await browser.cdp('Emulation.setScriptExecutionDisabled', { value: false });
  await open(`/oauth2/language?to=${language}`);
}

async function open(target) {
  await browser.open(new URL(target, options.gateway).href);
}

async function logIn(target, person) {
  await open(target);
  await browser.arrive('the login page of the simulator', ({ origin }) => origin === options.simulator);
  await choose(person);
}

async function choose(person) {
  await browser.click(`button[name=person][value="${person}"]`);
  await browser.arrive('the gateway', ({ origin }) => origin === options.gateway);
}

/** Sends a form, from a page of the application or another. */
async function post(target, type, fields, from = `${options.gateway}/public`) {
  await browser.open(from);
  await browser.script(`const form = document.createElement('form');
    form.method = 'post';
    form.enctype = ${JSON.stringify(type)};
    form.action = ${JSON.stringify(new URL(target, options.gateway).href)};
    for (const [name, value] of ${JSON.stringify(fields)}) {
      const field = form.appendChild(document.createElement('textarea'));
      [field.name, field.value] = [name, value];
    }
    HTMLFormElement.prototype.submit.call(document.body.appendChild(form))`);
  await browser.arrive('the answer', ({ href }) => href === new URL(target, options.gateway).href);
}

async function unscripted(act) {
  await browser.cdp('Emulation.setScriptExecutionDisabled', { value: true });
  await act();
  await browser.cdp('Emulation.setScriptExecutionDisabled', { value: false });
}

async function control(orders) {
  const response = await fetch(`${options.simulator}/control`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(orders),
  });
  assert.equal(response.status, 200, await response.text());
}

async function lying(name, times, act) {
  await control({ lies: [{ name, times }] });
  await act();
}

/** The ways in; each is pressed where no script runs, and leads to its provider. */
async function choice() {
  for (const [way, issuer] of [['ansattporten', '/ansattporten/'], ['idporten:eidas', '/idporten/']]) {
    await open('/both/x');
    const { x, y } = await browser.script(`const { x, y, width, height } =
      document.querySelector('button[value="${way}"]').getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 }`);
    await unscripted(async () => {
      for (const type of ['mousePressed', 'mouseReleased']) {
        await browser.cdp('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 1 });
      }
      await browser.arriveUnscripted(`the login page of ${way}`, ({ origin, pathname }) =>
        origin === options.simulator && pathname.startsWith(issuer));
    });
  }
  await open('/both/x');
}

/** The gateway as a client of the second provider. */
async function register() {
  const { gateway } = options;
  await control({
    client: {
      issuer: 'ansattporten',
      client_id: 'portvakt-pages',
      jwks: JSON.parse(readFileSync(options.jwks, 'utf8')),
      redirect_uris: [`${gateway}/oauth2/callback`],
      post_logout_redirect_uris: [`${gateway}/oauth2/logout/callback`],
      frontchannel_logout_uri: `${gateway}/oauth2/logout/frontchannel`,
    },
  });
}

/** Where the page is in each language. */
function links() {
  return browser.script(`return Object.fromEntries([...document.querySelectorAll('nav a[hreflang]')]
    .map((link) => [link.hreflang, link.href]))`);
}

/** The provider ends each session before the gateway has heard of it. */
async function ended() {
  await open('/app/x');
  await browser.arrive('the login page of the simulator', ({ origin }) => origin === options.simulator);
  // A session that the provider has ended is refused, and asked for anew once.
  await control({ delay_milliseconds: { token: 1_500 } });
  for (let times = 0; times < 2; times += 1) {
    await browser.script(`setTimeout(() => document.querySelector('button[value="bankid-high"]').click(), 50)`);
    await new Promise((done) => setTimeout(done, 900));
    await control({ end_session: { person: 'bankid-high' } });
    await browser.arrive('what comes next', ({ origin, pathname }) => origin === options.gateway || pathname.includes('authorize'));
  }
}

/** A login that the provider cannot bring to its level: a test's hint says who authenticates, and how. */
async function unreachable() {
  // `fetch` would say that it is a script's request.
  const started = await new Promise((done, failed) => {
    get(`${options.gateway}/oauth2/login?redirect=/high/x`, { headers: { accept: 'text/html' } }, done).on('error', failed);
  });
  started.resume();
  for (const line of started.headers['set-cookie']) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    await browser.cdp('Network.setCookie', { url: options.gateway, name, value, path: '/', secure: true, httpOnly: true });
  }
  await browser.open(`${started.headers.location}&login_hint=testid:24929935140_idporten-loa-substantial`);
  await browser.arrive('the gateway', ({ origin }) => origin === options.gateway);
}

async function tooOld() {
  await control({ lies: [{ name: 'id_token_stale_auth_time', times: 2 }] });
  await open('/recent/x');
  await browser.arrive('the login page of the simulator', ({ origin }) => origin === options.simulator);
  await browser.click('button[name=person][value="bankid-high"]');
  await browser.arrive('the login page again', ({ origin }) => origin === options.simulator);
  await choose('bankid-high');
}

async function loop() {
  await logIn('/app/x', 'bankid-high');
  for (let times = 0; times < 4; times += 1) {
    await browser.cdp('Network.deleteCookies', { name: '__Host-portvakt', url: options.gateway });
    await open('/app/x');
  }
}

async function resent() {
  await post('/app/x', 'application/x-www-form-urlencoded', [['text', 'abc']]);
  await browser.click('main ol a');
  const form = await browser.enterOtherTab();
  await browser.arrive('the login page of the simulator', ({ origin }) => origin === options.simulator);
  await choose('bankid-high');
  await browser.closeTab(form);
  await unscripted(async () => {
    await browser.click('main form button');
    await browser.arriveUnscripted('the page that sends it', ({ pathname }) => pathname === '/oauth2/resume');
  });
}

/** Where a page is that nobody is driven to. */
function stage(name, language) {
  return `http://127.0.0.1:${theStage.address().port}/${name}/${language}`;
}

/** Somebody whom the employees' provider vouches for as a private person. */
async function privately() {
  await control({ id_token_claims: { acr: 'private' } });
  await logIn('/job/x', 'employee');
}

/** The provider takes its time, and one client begins more logins than its share. */
async function providerBusy() {
  await control({ delay_milliseconds: { par: 4_000 } });
  // `fetch` would say that it is a script's request.
  const login = () => new Promise((done) => {
    get(`${options.gateway}/oauth2/login?redirect=/app/x`, { headers: { accept: 'text/html' } }, (response) => {
      response.resume().on('close', done);
    }).on('error', done);
  });
  const begun = Array.from({ length: 100 }, login);
  await new Promise((done) => setTimeout(done, 500));
  await open('/app/x');
  await control({ delay_milliseconds: { par: 0 } });
  await Promise.all(begun);
}

/** Nobody can say which sessions have ended: their file is a folder. */
async function uncertain() {
  const [file, aside] = [options.revocations, `${options.revocations}.aside`];
  const ready = (wanted) => until(async () => ((await fetch(`${options.admin}/readyz`)).status === 200) === wanted);
  renameSync(file, aside);
  mkdirSync(join(file, 'occupied'), { recursive: true });
  await ready(false);
  await open('/app/x');
  rmSync(file, { recursive: true });
  renameSync(aside, file);
  await ready(true);
}

/** As many requests as the gateway carries are under way. */
async function overloaded() {
  const held = new AbortController();
  const requests = [];
  const hold = () => requests.push(fetch(`${options.gateway}/held/x`, { signal: held.signal }).catch(() => {}));
  try {
    for (let times = 0; times < 150; times += 1) hold();
    await until(async () => {
      // One that is refused in its place would leave room for ever.
      hold();
      return (await fetch(`${options.gateway}/public`)).status === 503;
    });
    await open('/public');
  } finally {
    held.abort();
    await Promise.all(requests);
  }
  await until(async () => (await fetch(`${options.gateway}/public`)).status === 200);
}

/** The provider's token is too long to be kept. */
async function tokenMissing() {
  await control({ access_token_padding: 9_000 });
  await logIn('/app/x', 'bankid-high');
  await open('/token/x');
}

/** A form that is sent past the load balancer's TLS. A link would be led to https. */
async function insecure(language) {
  await browser.cdp('Network.enable');
  await browser.cdp('Network.setExtraHTTPHeaders', { headers: { 'Accept-Language': language } });
  await post(`${options.balanced}/x`, 'application/x-www-form-urlencoded', [['a', 'b']]);
  await browser.cdp('Network.setExtraHTTPHeaders', { headers: {} });
}

async function until(condition) {
  for (let times = 0; times < 1_200; times += 1) {
    if (await condition()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error('waited in vain');
}

async function busy() {
  const held = new AbortController();
  fetch(`${options.gateway}/busy/x`, { signal: held.signal }).catch(() => {});
  await new Promise((done) => setTimeout(done, 300));
  await open('/busy/x');
  held.abort();
}

async function signedOut() {
  await logIn('/app/x', 'bankid-high');
  await open('/oauth2/logout');
  await browser.arrive('the signed-out page', ({ origin, pathname }) =>
    origin === options.gateway && pathname === '/oauth2/logout/callback');
}

/** A name that is not this host's. Its cookies are none of ours: the browser says which language is read. */
async function wrongHost(language) {
  await browser.cdp('Network.enable');
  await browser.cdp('Network.setExtraHTTPHeaders', { headers: { 'Accept-Language': language } });
  await browser.open(options.gateway.replace('localhost', '127.0.0.1'));
  await browser.cdp('Network.setExtraHTTPHeaders', { headers: {} });
}
