// What became of damaged files: they opened, and their weights were read, or a FormatError refused them; nothing else may be thrown.

import assert from 'node:assert/strict';
import { FormatError } from '../../js/check.js';
import { openModel } from '../../js/files/open.js';

/** @typedef {Awaited<ReturnType<typeof openModel>>} Opened */

/**
 * @param {Parameters<typeof openModel>[0]} source
 * @param {number} round
 * @param {(model: Opened) => Promise<void>} read
 * @returns {Promise<string>} 'opens', or the code of the error
 */
export async function outcome(source, round, read) {
    try {
        const model = await openModel(source);
        try {
            await read(model);
        } finally {
            model.close();
        }
        return 'opens';
    } catch (error) {
        assert.ok(error instanceof FormatError, `round ${round}: ${/** @type {Error} */ (error).stack}`);
        assert.ok(error.message.length < 500, `round ${round}: a message of ${error.message.length}`);
        return error.code;
    }
}
