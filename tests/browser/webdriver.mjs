// Chromium through chromedriver, spoken to in the W3C WebDriver protocol with plain fetch.
// Every wait is for a condition and has an end.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-default-apps',
  '--window-size=1000,900',
];
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';
const PATIENCE = 15_000;

/** Starts a browser with an empty profile; `close` ends it and its driver. */
export async function openBrowser() {
  const profile = mkdtempSync(join(tmpdir(), 'browser-'));
  const driver = spawn('chromedriver', ['--port=0'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => driver.on('exit', resolve).on('error', resolve));
  const endDriver = async () => {
    driver.kill();
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  try {
    const base = `http://127.0.0.1:${await portOf(driver)}`;
    const { sessionId } = await call('POST', `${base}/session`, {
      capabilities: {
        alwaysMatch: {
          timeouts: { pageLoad: PATIENCE, script: PATIENCE, implicit: 0 },
          'goog:chromeOptions': { binary: '/usr/bin/chromium', args: [...FLAGS, `--user-data-dir=${profile}`] },
        },
      },
    });
    return new Browser(`${base}/session/${sessionId}`, endDriver);
  } catch (error) {
    await endDriver();
    throw error;
  }
}

class Browser {
  #session;
  #endDriver;

  constructor(session, endDriver) {
    this.#session = session;
    this.#endDriver = endDriver;
  }

  open(url) { return this.#do('POST', '/url', { url }); }

  back() { return this.#do('POST', '/back', {}); }

  url() { return this.#do('GET', '/url'); }

  source() { return this.#do('GET', '/source'); }

  cookies() { return this.#do('GET', '/cookie'); }

  script(script) { return this.#do('POST', '/execute/sync', { script, args: [] }); }

  /** A command of Chromium's own protocol. */
  cdp(cmd, params = {}) { return this.#do('POST', '/goog/cdp/execute', { cmd, params }); }

  async click(selector) {
    const element = await until(`an element ${selector}`, () => this.find(selector), () => this.url());
    await this.#do('POST', `/element/${element}/click`, {});
  }

  /** The element's handle, or nothing. */
  async find(selector) {
    const found = await this.#do('POST', '/elements', { using: 'css selector', value: selector });
    return found[0]?.[ELEMENT];
  }

  /** Goes to the tab that is not this one, as soon as there is one; returns this one's handle. */
  async enterOtherTab() {
    const here = await this.#do('GET', '/window');
    const other = async () => (await this.#do('GET', '/window/handles')).find((handle) => handle !== here);
    await this.#do('POST', '/window', { handle: await until('another tab', other, () => this.url()) });
    return here;
  }

  /** Closes this tab and goes to another. */
  async closeTab(next) {
    await this.#do('DELETE', '/window');
    await this.#do('POST', '/window', { handle: next });
  }

  /** Waits until the address satisfies `wanted` and the page has loaded. */
  arrive(what, wanted) {
    const there = async () => wanted(new URL(await this.url())) && (await this.script('return document.readyState')) === 'complete';
    return until(what, there, () => this.url());
  }

  /** The same where no script runs: the address alone. */
  arriveUnscripted(what, wanted) {
    return until(what, async () => wanted(new URL(await this.url())), () => this.url());
  }

  async screenshot(file) {
    writeFileSync(file, Buffer.from(await this.#do('GET', '/screenshot'), 'base64'));
  }

  async close() {
    try {
      await this.#do('DELETE', '');
    } finally {
      await this.#endDriver();
    }
  }

  #do(method, path, body) { return call(method, this.#session + path, body); }
}

async function portOf(driver) {
  for await (const line of createInterface(driver.stdout)) {
    const started = /started successfully on port (\d+)/.exec(line);
    if (started) return started[1];
  }
  throw new Error('chromedriver did not start; `make setup` installs it');
}

async function call(method, url, body) {
  const response = await fetch(url, {
    method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(2 * PATIENCE),
  });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${value.error}: ${value.message.split('\n')[0]}`);
  return value;
}

/** Asks again until the answer is true; then returns it. A page that is just leaving may not answer. */
async function until(what, condition, where) {
  const end = performance.now() + PATIENCE;
  let last = '';
  while (performance.now() < end) {
    try {
      const met = await condition();
      if (met) return met;
    } catch (error) {
      last = `; ${error.message}`;
    }
    await pause(50);
  }
  const place = new URL(await where());
  // Without the query: it may hold a code.
  throw new Error(`waited in vain for ${what}; the browser is at ${place.origin}${place.pathname}${last}`);
}
