// WebKit for tests: GTK's small browser on a screen that nobody sees (Xvfb), driven by its WebDriver. puppeteer does not speak
// that protocol, of which a handful of commands is enough here.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { which } from '../../src/build/system.js';

/** A slow machine under load is no failure; something that hangs is. */
const PATIENCE_MS = 60_000;
/** What WebDriver calls an element. */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

const driver = which('WebKitWebDriver');
const screen = which('xvfb-run');
const binary = ['x86_64', 'aarch64'].flatMap((machine) => ['webkit2gtk-4.1', 'webkitgtk-6.0', 'webkit2gtk-4.0']
    .map((version) => `/usr/lib/${machine}-linux-gnu/${version}/MiniBrowser`)).find((path) => existsSync(path));

/** Why there is no WebKit to test in, or false. */
export const noWebKit = !(driver && screen && binary)
    && "no WebKit was found (Debian's webkit2gtk-driver, libwebkit2gtk-4.1-0 and xvfb)";

/** One window of WebKit, with a profile of its own. */
export class WebKit {
    /** @param {string} address of the driver @param {string} session */
    constructor(address, session) {
        this.address = address;
        this.session = session;
    }

    /**
     * @param {import('node:test').TestContext} t closes it
     * @param {Record<string, string | number>} [settings] of GTK: how a visitor has set up the desktop
     * @param {string[]} [features] that are switched on
     * @returns {Promise<WebKit>}
     */
    static async open(t, settings = {}, features = []) {
        const port = await freePort();
        const config = await mkdtemp(join(tmpdir(), 'webkit-'));
        await mkdir(join(config, 'gtk-3.0'));
        const lines = Object.entries(settings).map(([name, value]) => `gtk-${name}=${value}`);
        await writeFile(join(config, 'gtk-3.0/settings.ini'), ['[Settings]', ...lines, ''].join('\n'));
        const child = spawn(String(screen), ['-a', String(driver), `--port=${port}`], {
            detached: true, stdio: 'ignore',
            // In a container, as root, its own sandbox cannot be built.
            env: { ...process.env, XDG_CONFIG_HOME: config, WEBKIT_DISABLE_COMPOSITING_MODE: '1', WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1' },
        });
        const window = new WebKit(`http://127.0.0.1:${port}`, '');
        t.after(async () => {
            if (window.session) await window.send('DELETE', '').catch(() => {});
            // The whole group: the screen and the browser are children of its.
            if (child.pid) process.kill(-child.pid, 'SIGKILL');
            await rm(config, { recursive: true, force: true });
        });
        const end = performance.now() + PATIENCE_MS;
        while (!await fetch(`${window.address}/status`).then(() => true, () => false)) {
            assert.ok(performance.now() < end, 'WebKitWebDriver does not start');
            await sleep(200);
        }
        const switches = features.length > 0 ? [`--features=${features.map((name) => `+${name}`)}`] : [];
        const options = { binary, args: ['--automation', ...switches] };
        const { sessionId } = await window.send('POST', '/session', {
            capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': options } },
        });
        window.session = sessionId;
        await window.send('POST', '/timeouts', { script: PATIENCE_MS });
        return window;
    }

    /** @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} */
    async send(method, path, body) {
        const base = this.session ? `${this.address}/session/${this.session}` : this.address;
        const response = await fetch(base + path, { method, ...body && { body: JSON.stringify(body) } });
        const { value } = /** @type {any} */ (await response.json());
        if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
        return value;
    }

    /** @param {string} url */
    goto(url) {
        return this.send('POST', '/url', { url });
    }

    /**
     * Runs a function in the page.
     * @template {any[]} A, R
     * @param {(...args: A) => R | Promise<R>} body
     * @param {A} args
     * @returns {Promise<R>}
     */
    async evaluate(body, ...args) {
        return this.run(`(${body})(...arguments[0])`, args);
    }

    /**
     * @param {string} expression  evaluated in the page, which may forbid it to do so by itself
     * @param {any[]} [args]  `arguments[0]` in it
     * @param {string} [before]  statements that come first
     * @returns {Promise<any>} what it gives, or promises
     */
    async run(expression, args = [], before = '') {
        const script = `${before};\nconst done = arguments[arguments.length - 1];
            (async () => ${expression})().then((value) => done({ value }), (error) => done({ error: String(error) }));`;
        const { value, error } = await this.send('POST', '/execute/async', { script, args: [args] });
        if (error !== undefined) throw new Error(error);
        return value;
    }

    /**
     * Waits until it holds; a page that is being loaded has nothing to say.
     * @template {any[]} A
     * @param {(...args: A) => any} body
     * @param {A} args
     */
    async until(body, ...args) {
        const end = performance.now() + PATIENCE_MS;
        while (!await this.evaluate(body, ...args).catch(() => false)) {
            assert.ok(performance.now() < end, `never: ${body} ${args}`);
            await sleep(100);
        }
    }

    /** @param {string[]} keys one after the other; those of `held` stay down meanwhile @param {string[]} [held] */
    async press(keys, held = []) {
        const down = (/** @type {string} */ value) => ({ type: 'keyDown', value });
        const up = (/** @type {string} */ value) => ({ type: 'keyUp', value });
        const actions = [...held.map(down), ...keys.flatMap((value) => [down(value), up(value)]), ...held.map(up)];
        await this.send('POST', '/actions', { actions: [{ type: 'key', id: 'keyboard', actions }] });
    }

    /** @param {number} width of the window, which its bar keeps from being narrow @returns {Promise<number>} of the page */
    async resize(width) {
        const { width: whole } = await this.send('POST', '/window/rect', { width, height: 900 });
        await this.until((outer) => outerWidth === outer, whole);
        await this.settle();
        return this.evaluate(() => innerWidth);
    }

    /** Waits until what was asked for is drawn. */
    async settle() {
        await this.evaluate(() => new Promise((resolve) => {
            requestAnimationFrame(() => requestAnimationFrame(() => resolve(null)));
        }));
    }

    /** @param {string} selector @param {string} text typed there, or the path of a file that is picked */
    async type(selector, text) {
        const { [ELEMENT]: id } = await this.send('POST', '/element', { using: 'css selector', value: selector });
        await this.send('POST', `/element/${id}/value`, { text });
    }
}

/** @returns {Promise<number>} */
async function freePort() {
    const server = createServer();
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(undefined)); });
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    await new Promise((resolve) => { server.close(resolve); });
    return port;
}
