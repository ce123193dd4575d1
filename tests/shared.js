// What lies beside the project, in ../shared: expected numbers of other implementations, too large to be committed. Tests
// of them are skipped where it is absent.

import { existsSync } from 'node:fs';

/** @param {string} path of a folder in ../shared, with a slash at its end @returns {URL | undefined} it, if it is there */
export function sharedFolder(path) {
    const folder = new URL(`../../shared/${path}`, import.meta.url);
    return existsSync(folder) ? folder : undefined;
}
