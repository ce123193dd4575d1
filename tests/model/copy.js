// Makes the committed fixtures from the full set beside the repository and from what random_cases.py makes of other families:
//
//   python tests/model/random_cases.py 2811 144 FOLDER gpt_neo,opt,gpt_bigcode,olmo,ernie4_5,helium,glm,arcee,exaone4,vaultgemma,\
//     granitemoehybrid,hunyuan_v1_dense
//   python tests/model/random_cases.py 72 60 FOLDER lfm2
//   python tests/model/random_cases.py 74 120 FOLDER lfm3
//   for one in '8386 1 FOLDER bloom' '16228 1 FOLDER mpt' '10975 1 FOLDER falcon' '7309 1 FOLDER falcon'; do
//     python tests/model/random_cases.py $one; done
//   python tests/model/random_cases.py 2815 200 FOLDER nanochat,codegen,gptj,modernbert-decoder,xglm,biogpt,openai-gpt,exaone,nemotron,\
//     cohere2 small
//   python tests/model/random_cases.py 351 120 FOLDER opt small
//   node tests/model/copy.js FOLDER
//
// One model for each family and each kind of rotary scaling, with one prompt that tells: past the window, past the
// length that a scaling was made for. The vocabulary is cut to the tokens that the prompt and its continuation use,
// which changes no logit of those that stay: rows of the embedding and of the head are left out, columns of the
// expected logits with them. README.md says where the set comes from.

import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { sharedFolder } from '../shared.js';
import { COMMITTED } from './golden.js';

const SHARED = sharedFolder('models/hf/');

/** Which prompt of each: 2 has 24 tokens, 3 has 48 or more. @type {Record<string, number>} */
const CASES = {
    gemma: 2, gemma2: 3, 'gemma3-text': 3, 'gpt-neox-sequential': 2, 'gpt2-unscaled-inner': 2, granite: 2,
    'llama-mqa-f16': 2,
    'llama-rope-dynamic': 3, 'llama-rope-llama3': 3, 'llama-rope-yarn-options': 3, 'mistral-no-window': 2, olmo2: 2,
    'phi-qknorm': 2, 'phi3-longrope': 3, qwen2: 2, 'qwen3-bias-bf16': 2, smollm3: 2,
    'stablelm-parallel-qknorm': 2, starcoder2: 2,
};

/** The same of FOLDER. @type {Record<string, number>} */
const RANDOM = {
    'arcee-2811-43': 3, 'ernie4_5-2811-28': 3, 'exaone4-2811-128': 3, 'glm-2811-54': 3, 'gpt_bigcode-2811-98': 3, 'gpt_neo-2811-72': 3,
    'granitemoehybrid-2811-70': 3, 'helium-2811-137': 3, 'hunyuan_v1_dense-2811-35': 3, 'olmo-2811-63': 3, 'opt-2811-121': 3,
    'lfm2-72-22': 3, 'lfm2-72-46': 3, 'lfm3-74-105': 3, 'vaultgemma-2811-9': 3, 'bloom-8386-0': 3, 'falcon-10975-0': 2, 'falcon-7309-0': 2,
    'mpt-16228-0': 2,
    'biogpt-2815-185': 2, 'codegen-2815-161': 2, 'cohere2-2815-69': 2, 'exaone-2815-107': 2, 'gptj-2815-82': 2, 'modernbert-decoder-2815-3': 2,
    'nanochat-2815-0': 2, 'nemotron-2815-78': 2, 'openai-gpt-2815-136': 2, 'opt-351-11': 2, 'xglm-2815-114': 2,
};

/** Tensors with a row for each token. */
const BY_TOKEN = /(^|\.)(embed_tokens|wte|embed_in|word_embeddings|tokens_embed|tok_embeddings|lm_head|embed_out|output_projection|decoder)\.(weight|bias)$/;

/** @typedef {{ dtype: string, shape: number[], bytes: Buffer }} Stored */

/** @param {Buffer} file @returns {Map<string, Stored>} */
function read(file) {
    const start = 8 + Number(file.readBigUInt64LE(0));
    /** @type {Record<string, { dtype: string, shape: number[], data_offsets: [number, number] }>} */
    const header = JSON.parse(file.toString('utf8', 8, start));
    delete header.__metadata__;
    return new Map(Object.entries(header).map(([name, { dtype, shape, data_offsets: [from, to] }]) =>
        [name, { dtype, shape, bytes: file.subarray(start + from, start + to) }]));
}

/** @param {Map<string, Stored>} tensors @returns {Buffer} */
function write(tensors) {
    let end = 0;
    const header = Object.fromEntries(Array.from(tensors, ([name, { dtype, shape, bytes }]) =>
        [name, { dtype, shape, data_offsets: [end, end += bytes.length] }]));
    const text = JSON.stringify(header);
    const padded = text.padEnd(Math.ceil(text.length / 8) * 8);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(padded.length));
    return Buffer.concat([length, Buffer.from(padded), ...Array.from(tensors.values(), ({ bytes }) => bytes)]);
}

/** @param {Stored} tensor @param {number[]} rows that stay */
function cutRows({ dtype, shape: [n, ...rest], bytes }, rows) {
    const size = bytes.length / n;
    const kept = rows.map((row) => bytes.subarray(row * size, (row + 1) * size));
    return { dtype, shape: [rows.length, ...rest], bytes: Buffer.concat(kept) };
}

/** @param {Record<string, any>} config @param {number} vocabulary */
const without = (config, vocabulary) =>
    ({ ...config, vocab_size: vocabulary, bos_token_id: null, eos_token_id: null, pad_token_id: null });

/** @param {URL} folder @param {string} name @param {number} prompt */
function copy(folder, name, prompt) {
    /** @param {string} file */
    const readJson = (file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
    const { prompts, tolerance } = readJson('case.json');
    const { ids, greedy, margins, logits } = prompts[prompt];
    const kept = [...new Set([...ids, ...greedy])].sort((a, b) => a - b);
    /** @param {number} id */
    const cut = (id) => kept.indexOf(id);
    const config = readJson('config.json');
    const weights = new Map(readdirSync(folder).filter((file) => /^model.*\.safetensors$/.test(file))
        .flatMap((file) => Array.from(read(readFileSync(new URL(file, folder))))));
    for (const [tensor, stored] of weights) {
        if (BY_TOKEN.test(tensor)) weights.set(tensor, cutRows(stored, kept));
    }
    const expected = read(readFileSync(new URL('expected.safetensors', folder)));
    const { dtype, shape: [t, vocabulary], bytes } = /** @type {Stored} */ (expected.get(logits));
    const places = Array.from({ length: t }, (_, row) => kept.map((id) => row * vocabulary + id)).flat();
    const columns = cutRows({ dtype, shape: [t * vocabulary], bytes }, places);
    writeFileSync(new URL(`${name}.safetensors`, COMMITTED), write(weights));
    const rope = config.rope_parameters ?? {};
    const changing = /dynamic|longrope/.test(rope.rope_type) && rope.alpha === undefined;
    const trained = rope.original_max_position_embeddings ?? config.max_position_embeddings;
    const hasOld = existsSync(new URL('config.old.json', folder));
    const old = hasOld ? without(readJson('config.old.json'), kept.length) : null;
    return {
        expected: { ...columns, shape: [t, kept.length] },
        entry: {
            name, ids: ids.map(cut), greedy: greedy.map(cut), margins, tolerance, length: ids.length + greedy.length,
            sure: changing ? trained : 1e6, config: without(config, kept.length), old,
        },
    };
}

/** Made by random_cases.py. */
const [random] = process.argv.slice(2);
if (SHARED === undefined || random === undefined) throw new Error('there is no ../shared/models/hf, or no folder of random models, to copy from');
const all = [
    ...Object.entries(CASES).map(([name, prompt]) => copy(new URL(`${name}/`, SHARED), name, prompt)),
    ...Object.entries(RANDOM).map(([name, prompt]) => copy(new URL(`hf/${name}/`, `${pathToFileURL(resolve(random))}/`), name, prompt)),
];
writeFileSync(new URL('cases.json', COMMITTED), `[\n${all.map(({ entry }) => JSON.stringify(entry)).join(',\n')}\n]\n`);
const logits = new Map(all.map(({ entry, expected }) => [entry.name, expected]));
writeFileSync(new URL('expected.safetensors', COMMITTED), write(logits));
