// The address of the model that comes with the package.

import { assetsWhereTheyWere, shippedAssets } from '../assets.js';
import { isNode, nodeModule } from '../engine/threads.js';

/** @returns {Promise<URL>} its address @throws {Error} where a bundle has left it behind */
export async function modelAddress() {
    if (isNode && !(await isThere())) {
        await assetsWhereTheyWere();
    }
    try {
        return shippedAssets().model();
    } catch (cause) {
        throw new Error('loadModel: this bundle does not say where it lies, so the model of the package is not found; '
            + 'give its address, or that of another model, as source', { cause });
    }
}

/** @returns {Promise<boolean>} whether Node can read it there */
async function isThere() {
    try {
        await nodeModule('node:fs/promises').access(shippedAssets().model());
        return true;
    } catch {
        return false;
    }
}
