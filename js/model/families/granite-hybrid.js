// Granite 4's small models without experts and state spaces (IBM 2025): a Granite with a fused gate, which may rotate nothing.

import { LLAMA_NAMES } from './common.js';
import { describeGranite } from './granite.js';

/** @type {import('./common.js').Family} */
export const graniteHybrid = {
    name: 'granitemoehybrid',
    types: ['granitemoehybrid'],
    prefixes: ['model.'],
    names: {
        ...LLAMA_NAMES,
        'layers.#.shared_mlp.input_linear': 'blk.#.ffn_gate_up',
        'layers.#.shared_mlp.output_linear': 'blk.#.ffn_down',
    },
    describe(f, file) {
        const experts = f.index('num_local_experts', 8);
        if (experts > 0) {
            f.unsupported('num_local_experts', experts);
        }
        const types = f.any('layer_types', 'layers_block_type') ?? ['linear_attention'];
        const other = [types].flat().find((type) => type !== 'attention' && type !== 'full_attention');
        if (other !== undefined) {
            f.unsupported('layer_types', other);
        }
        f.word('normalization_function', { rmsnorm: true }, 'rmsnorm');
        // What only experts and state spaces read.
        f.ignore('init_method', 'intermediate_size', 'num_experts_per_tok', 'router_aux_loss_coef', 'time_step_limit',
            'mamba_n_heads', 'mamba_n_groups', 'mamba_d_state', 'mamba_d_head', 'mamba_d_conv', 'mamba_expand', 'mamba_chunk_size',
            'mamba_conv_bias', 'mamba_proj_bias');
        const rotates = f.word('position_embedding_type', { rope: true, nope: false }, 'nope');
        return describeGranite(f, file, { rotates, inner: 'shared_intermediate_size' });
    },
};
