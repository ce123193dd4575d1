// Addresses of workers that are text, not a file: loaded where there is no file, or none that may be used.

import { isNode } from './threads.js';

export { WORKER_TEXT } from '../inlined/worker-text.js';

/** One address for each text, for as long as the page lives: a worker may fetch it later than it is made. @type {Map<string, string>} */
const blobs = new Map();

/** A page may list the names of policies that it allows. @type {any} */
let policy = null;

/** @param {string} text of a module @returns {any} a URL, or what a page trusts as one */
export function addressOfText(text) {
    if (isNode) {
        return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
    }
    let url = blobs.get(text);
    if (url === undefined) {
        url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
        blobs.set(text, url);
    }
    const policies = /** @type {any} */ (globalThis).trustedTypes;
    return policies ? trusted(policies, url) : url;
}

/** @param {any} policies @param {string} url made above, of this package's own text @returns {string} */
function trusted(policies, url) {
    policy ??= policies.createPolicy('cached-attention', { createScriptURL: (/** @type {string} */ address) => address });
    return policy.createScriptURL(url);
}
