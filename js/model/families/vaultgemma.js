// VaultGemma (Google 2025): a Gemma 2 without the norms behind its sublayers.

import { describeGemma2, gemma2 } from './gemma2.js';

/** @type {import('./common.js').Family} */
export const vaultGemma = {
    ...gemma2,
    name: 'vaultgemma',
    types: ['vaultgemma'],
    describe: (f, file) => describeGemma2(f, file, () => [{}, {}]),
};
