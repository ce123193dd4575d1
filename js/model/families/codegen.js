// CodeGen (Nijkamp et al. 2022): a GPT-J whose queries, values and keys are fused, in four parts of each for as many devices.

import { checkFormat } from '../../check.js';
import { gptj } from './gptj.js';

const DEVICES = 4;

/** @type {import('./common.js').Family} */
export const codegen = {
    ...gptj,
    name: 'codegen',
    types: ['codegen'],
    qkv: { order: ['attn_q', 'attn_v', 'attn_k'], groups: DEVICES },
    describe(f, file) {
        const description = gptj.describe(f, file);
        const { width } = description;
        checkFormat(width % DEVICES === 0, 'config-invalid', `${f.where}: n_embd must be a multiple of ${DEVICES}, got ${width}`);
        return description;
    },
};
