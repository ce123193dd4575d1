// How a template that cannot run is refused.

import { FormatError } from '../../check.js';

/** @param {string} what @param {number} line @returns {FormatError} */
export function invalid(what, line) {
    return new FormatError('template-invalid', `the chat template is invalid, line ${line}: ${what.slice(0, 300)}`);
}

/** @param {string} feature @param {number} line @returns {FormatError} */
export function unsupported(feature, line) {
    return new FormatError('template-unsupported',
        `the chat template needs ${feature.slice(0, 300)} (line ${line}), which is not supported`);
}
