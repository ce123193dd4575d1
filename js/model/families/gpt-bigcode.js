// GPTBigCode (Ben Allal et al. 2023), StarCoder's: a GPT-2 with one head of keys and values, and matrices as they are used.

import { describeGpt2, gpt2 } from './gpt2.js';

/** @type {import('./common.js').Family} */
export const gptBigCode = {
    name: 'gpt_bigcode',
    types: ['gpt_bigcode', 'starcoder'],
    prefixes: gpt2.prefixes,
    names: gpt2.names,
    // Where every head has its own.
    headByHead: true,
    describe: (f, file) => describeGpt2(f, 'gelu_pytorch_tanh', (heads) => {
        // Hints to a library that published files carry along.
        f.ignore('inference_runner', 'max_batch_size', 'max_sequence_length', 'pad_key_length', 'pre_allocate_kv_cache',
            'validate_runner_input');
        // In a folder the number follows from the flag, whatever it says.
        const said = f.countOrNone('num_key_value_heads');
        return file.format === 'gguf' ? said ?? heads : f.flag('multi_query', true) ? 1 : heads;
    }),
};
