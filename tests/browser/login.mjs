// A person with a real browser in the demo: a link deep into the application, login at the simulator,
// the page that was asked for, logout, and nothing left for whoever sits down next.
//
//   node login.mjs --gateway http://localhost:8080 --admin http://127.0.0.1:8081
//        --simulator http://127.0.0.1:8082 [--person bankid-high] [--screenshots FOLDER]

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openBrowser } from './webdriver.mjs';

const { values: options } = parseArgs({
  options: {
    gateway: { type: 'string', default: 'http://localhost:8080' },
    admin: { type: 'string', default: 'http://127.0.0.1:8081' },
    simulator: { type: 'string', default: 'http://127.0.0.1:8082' },
    person: { type: 'string', default: 'bankid-high' },
    screenshots: { type: 'string' },
  },
});
const SESSION = '__Host-portvakt';
// With a query and escapes, so that losing or rewriting either shows.
const DEEP_LINK = '/app/letters/7?year=2026&q=%C3%A5';

if (options.screenshots) mkdirSync(options.screenshots, { recursive: true });
assert.equal((await fetch(`${options.admin}/readyz`)).status, 200, 'the gateway is not ready');
const persons = await (await fetch(`${options.simulator}/persons.json`)).json();
const person = persons.find(({ id }) => id === options.person);
assert.ok(person?.fnr, `the simulator knows no ${options.person} with a number`);
const level = /^idporten-loa-(\w+)$/.exec(person.level)?.[1] ?? person.level;

const browser = await openBrowser();
let passed = 0;
try {
  await step('a public page says nothing about anybody', async () => {
    await browser.open(`${options.gateway}/public/`);
    assert.deepEqual(await told(), {});
  });
  await step('a deep link leads to the login page of the provider', async () => {
    await browser.open(options.gateway + DEEP_LINK);
    await atLoginPage();
  });
  await step('after login the page that was asked for shows the person and the level', async () => {
    await browser.click(`button[name=person][value="${options.person}"]`);
    await browser.arrive('the page asked for', ({ origin }) => origin === options.gateway);
    assert.equal(await browser.url(), options.gateway + DEEP_LINK);
    await showsThePerson();
  });
  await step('the session cookie is out of reach of scripts and of other sites', async () => {
    const cookie = (await browser.cookies()).find(({ name }) => name === SESSION);
    assert.ok(cookie, `there is no cookie ${SESSION}`);
    assert.deepEqual(
      { httpOnly: cookie.httpOnly, secure: cookie.secure, path: cookie.path, sameSite: cookie.sameSite },
      { httpOnly: true, secure: true, path: '/', sameSite: 'Lax' },
    );
    assert.equal(await browser.script('return document.cookie'), '');
  });
  await step(`a route that demands level high ${level === 'high' ? 'opens' : 'asks for a stronger login'}`, async () => {
    await browser.open(`${options.gateway}/high/`);
    if (level === 'high') await showsThePerson();
    else await atLoginPage();
  });
  await step('logout goes by the provider and ends on the signed-out page', async () => {
    await browser.open(`${options.gateway}/oauth2/logout`);
    await browser.arrive('the signed-out page', ({ origin, pathname }) =>
      origin === options.gateway && pathname === '/oauth2/logout/callback');
    const names = (await browser.cookies()).map(({ name }) => name);
    assert.ok(!names.includes(SESSION), 'the session cookie is still there');
  });
  await step('Back shows nothing private', async () => {
    for (let steps = await browser.script('return history.length'); steps > 0; steps -= 1) {
      await browser.back();
      const { origin } = new URL(await browser.url());
      // The simulator's login page lists everybody; it is not the application's.
      if (origin === options.gateway) assert.ok(!(await browser.source()).includes(person.fnr), 'Back shows the number');
    }
  });
  await step('the same link asks for a login again', async () => {
    await browser.open(options.gateway + DEEP_LINK);
    await atLoginPage();
  });
  await step('a form sent without a session is kept while the person logs in in another tab, and arrives', async () => {
    await browser.open(`${options.gateway}/public/`);
    await browser.script(`const form = document.createElement('form');
      form.method = 'post';
      form.action = ${JSON.stringify(DEEP_LINK)};
      for (const name of ['submit', 'action', 'text']) {
        const field = form.appendChild(document.createElement('textarea'));
        [field.name, field.value] = [name, '\\n "line"\\n'];
      }
      HTMLFormElement.prototype.submit.call(document.body.appendChild(form))`);
    await browser.click('main ol a');
    const form = await browser.enterOtherTab();
    await atLoginPage();
    await browser.click(`button[name=person][value="${options.person}"]`);
    await browser.arrive('the start page', ({ origin, pathname }) => origin === options.gateway && pathname === '/');
    await browser.closeTab(form);
    await browser.click('main form button');
    await browser.arrive('where the form goes', ({ href }) => href === options.gateway + DEEP_LINK);
    await showsThePerson();
  });
} catch (error) {
  if (options.screenshots) await browser.screenshot(join(options.screenshots, 'failed.png')).catch(() => {});
  console.error(`not ok - ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
console.log(`browser: ${passed} passed, ${process.exitCode ? 1 : 0} failed`);

async function step(sentence, act) {
  await act().catch((error) => {
    throw new Error(`${sentence}: ${error.message}`, { cause: error });
  });
  passed += 1;
  console.log(`ok - ${sentence}`);
  if (options.screenshots) {
    await browser.screenshot(join(options.screenshots, `${passed}-${sentence.replaceAll(/\W+/g, '-')}.png`));
  }
}

async function atLoginPage() {
  await browser.arrive('the login page of the simulator', ({ origin }) => origin === options.simulator);
  assert.ok(await browser.find('form [name=person]'), 'the page of the simulator has no login form');
}

async function showsThePerson() {
  const headers = await told();
  assert.equal(headers['x-identity-fnr'], person.fnr, 'the application was told another number, or none');
  assert.equal(headers['x-identity-loa'], level, 'the application was told another level, or none');
  assert.equal(headers['x-identity-kind'], person.kind, 'the application was told another kind, or none');
}

/** What the sample application's page says it was told. */
function told() {
  return browser.script(`return Object.fromEntries([...document.querySelectorAll('tr')]
    .filter((row) => row.querySelector('td'))
    .map((row) => [row.cells[0].textContent.toLowerCase(), row.cells[1].querySelector('code').textContent]))`);
}
