// Where the expected results that are not in this repository lie, if they are there.

import { existsSync } from 'node:fs';

const found = ['../../../shared/', '../../../../shared/'].map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(new URL('models/keras/files/manifest.json', url)));

/** The folder keras of the shared models. */
export const KERAS = new URL('models/keras/', found ?? new URL('../../../shared/', import.meta.url));

/** For node:test: false where they are there. */
export const skip = found ? false : `no ${KERAS.pathname}: only the committed fixtures are tested`;
