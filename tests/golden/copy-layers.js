// Makes the committed fixtures of the layers around the cached one from the full set: node tests/golden/copy-layers.js
//
// Left out are the tier `info`, layers of Keras that are not said here, attention cases that only vary others (LEFT),
// and from the manifest what no test reads.

import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TIERS, readManifest } from './golden.js';
import { sharedFolder } from '../shared.js';
import { isSaid } from './model-layers.js';

export const LAYERS = new URL('./layers/', import.meta.url);
/** Where the full set lies, if it is there. */
export const SHARED_LAYERS = sharedFolder('models/keras/layers/');

const LEFT = [
    'gqa_equal_heads_is_mha',
    'gqa_key_argument',
    'gqa_no_bias',
    'gqa_window1',
    'gqa_window4',
    'gqa_gate_no_bias',
    'gqa_flash_false',
    'llama_attention',
    'llama_attention_position_scaling_ignored',
    'mistral_attention',
    'mistral_attention_scaled_window',
    'phi3_attention',
    'qwen3_attention',
    'qwen3_attention_mqa',
    'qwen_attention',
    'gemma_attention',
    'rope_llama32',
    'rope_llama31',
    'phi3_attention_su',
    'rope_llama_plain',
    'gemma_attention_gemma2_27b_scale',
    'mistral_attention_head_dim',
    'gqa_float16',
    'llama_attention_error_index_without_cache',
    'phi3_attention_error_index_without_cache',
    'qwen3_attention_error_index_without_cache',
    'qwen_attention_error_index_without_cache',
    'mistral_attention_heads_not_divisible',
    'rope_axes',
    'rope_denominator',
    'gqa_mqa',
    'gqa_heads9_kv3',
];
/** Cases whose configs are kept. */
const CONFIGS = ['gqa_config_everything', 'rope_default', 'alibi_max4', 'sine', 'rms_keras_axis', 'layer_norm'];

/** @param {any} manifest the full one @returns what is committed of it */
export function reduceLayers({ set, seed, keras, keras_hub: kerasHub, backend, cases, suites }) {
    const kept = cases.filter((/** @type {any} */ entry) => TIERS.includes(entry.tier) && isSaid(entry) && !LEFT.includes(entry.name));
    const names = [
        'name',
        'tier',
        'layer',
        'file',
        'constructor',
        'config',
        'build',
        'weights',
        'calls',
        'raises',
        'tolerance',
        'notes',
    ];
    return {
        set,
        seed,
        keras,
        keras_hub: kerasHub,
        backend,
        suites,
        cases: kept.map((/** @type {any} */ entry) =>
            Object.fromEntries(
                names
                    .filter((name) => name in entry && (name !== 'config' || CONFIGS.includes(entry.name)))
                    .map((name) => [name, entry[name]]),
            ),
        ),
    };
}

/** @param {any} manifest @returns {string[]} every file that it names */
export const layerFiles = ({ cases, suites }) => [...cases, ...Object.values(suites)].flatMap(({ file }) => file ?? []);

/** @param {any} manifest @returns {string} a case per line */
export function printLayers({ cases, ...head }) {
    const rows = cases.map((/** @type {any} */ entry) => JSON.stringify(entry));
    return `${JSON.stringify(head).slice(0, -1)},"cases":[\n${rows.join(',\n')}\n]}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    if (SHARED_LAYERS === undefined) throw new Error('there is no ../shared/models/keras/layers to copy from');
    const manifest = reduceLayers(readManifest(SHARED_LAYERS));
    rmSync(LAYERS, { recursive: true, force: true });
    mkdirSync(LAYERS, { recursive: true });
    writeFileSync(new URL('manifest.json', LAYERS), printLayers(manifest));
    for (const file of layerFiles(manifest)) copyFileSync(new URL(file, SHARED_LAYERS), new URL(file, LAYERS));
}
