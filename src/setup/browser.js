// A Chromium for the browser tests, and a Firefox where there is one.

import { existsSync } from 'node:fs';
import { which } from '../build/system.js';

/** Where Chromium or Chrome is, or null; CHROME_PATH goes first. @returns {string | null} */
export function findBrowser() {
    const named = process.env.CHROME_PATH;
    if (named && existsSync(named)) return named;
    const applications = ['Google Chrome', 'Chromium'].map(
        (name) => `/Applications/${name}.app/Contents/MacOS/${name}`,
    );
    return (
        which('chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome') ??
        applications.find((path) => existsSync(path)) ??
        null
    );
}

/** Where Firefox is, or null; FIREFOX_PATH goes first. @returns {string | null} */
export function findFirefox() {
    const named = process.env.FIREFOX_PATH;
    if (named && existsSync(named)) return named;
    const application = '/Applications/Firefox.app/Contents/MacOS/firefox';
    return which('firefox', 'firefox-esr') ?? (existsSync(application) ? application : null);
}

/**
 * What a headless Chromium is started with: no sandbox where there cannot be one (root in a container), no GPU, and no
 * requests of its own.
 */
export const browserArguments = [
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
];
