import { FormatError } from '../check.js';
import { isObject, parseJson } from './json.js';
import { toFloat32 } from './safetensors.js';

/**
 * From untrusted bytes to packed weights: the Hugging Face layout of GPT-2 (config.json, model.safetensors) is read
 * into a checked description first; weights are then streamed tensor by tensor, in the file's order, into the model.
 */

/**
 * A decoder-only model, whatever file it came from.
 * @typedef {object} Description
 * @property {import('../layers/gpt2.js').GPT2Config} network
 * @property {number | null} startToken id that a text begins with
 * @property {number[]} endTokens ids that end one
 *
 * @typedef {import('./safetensors.js').TensorInfo} TensorInfo
 * @typedef {import('../layers/gpt2.js').GPT2CausalLM} GPT2CausalLM
 */

/** @type {Record<string, import('../layers/gpt2.js').GPT2Config['activation']>} */
const ACTIVATIONS = {
    gelu_new: 'gelu_approximate', gelu_pytorch_tanh: 'gelu_approximate', gelu_fast: 'gelu_approximate', gelu: 'gelu',
    relu: 'relu', linear: 'linear',
};

/** Floats of an embedding that are read and packed at a time. */
const BLOCK = 1 << 18;

/** @param {boolean} condition @param {string} code @param {string} message @returns {asserts condition} */
function check(condition, code, message) {
    if (!condition) {
        throw new FormatError(code, message);
    }
}

/**
 * @param {Uint8Array} bytes of config.json
 * @returns {{ config: Record<string, any>, description: Description }}
 * @throws {FormatError} `config-not-json`, `config-invalid`, `config-unsupported`
 */
export function parseConfig(bytes) {
    const { value: config } = parseJson(bytes, 'config');
    check(isObject(config), 'config-invalid', 'config.json should be an object');
    check(config.model_type === 'gpt2', 'config-unsupported',
        `config.json: model_type ${JSON.stringify(config.model_type)} is not supported; gpt2 is`);
    for (const [name, usual] of [['scale_attn_weights', true], ['scale_attn_by_inverse_layer_idx', false],
        ['add_cross_attention', false]]) {
        const given = config[String(name)] ?? usual;
        check(given === usual, 'config-unsupported', `config.json: ${name} should be ${usual}`);
    }
    const activation = config.activation_function ?? 'gelu_new';
    check(typeof activation === 'string' && Object.hasOwn(ACTIVATIONS, activation), 'config-unsupported',
        `config.json: the activation ${JSON.stringify(activation)} is not supported`);
    const epsilon = config.layer_norm_epsilon ?? 1e-5;
    check(Number.isFinite(epsilon) && epsilon > 0, 'config-invalid',
        'config.json: layer_norm_epsilon should be above 0');
    const hiddenDim = count(config, 'n_embd');
    const numHeads = count(config, 'n_head');
    check(hiddenDim % numHeads === 0, 'config-invalid', 'config.json: n_embd should be a multiple of n_head');
    const vocabularySize = count(config, 'vocab_size');
    return {
        config,
        description: {
            network: {
                vocabularySize,
                numLayers: count(config, 'n_layer'),
                numHeads,
                hiddenDim,
                intermediateDim: config.n_inner == null ? 4 * hiddenDim : count(config, 'n_inner'),
                dropout: 0,
                maxSequenceLength: count(config, config.n_positions == null ? 'n_ctx' : 'n_positions'),
                layerNormEpsilon: epsilon,
                activation: ACTIVATIONS[activation],
                tieWeights: config.tie_word_embeddings !== false,
                kernelInitializer: 'zeros',
            },
            startToken: tokens(config, 'bos_token_id', vocabularySize)[0] ?? null,
            endTokens: tokens(config, 'eos_token_id', vocabularySize),
        },
    };
}

/** @param {Record<string, any>} config @param {string} name @returns {number} */
function count(config, name) {
    const value = config[name];
    check(Number.isInteger(value) && value > 0 && value < 2 ** 31, 'config-invalid',
        `config.json: ${name} should be a positive integer, is ${JSON.stringify(value)}`);
    return value;
}

/** @param {Record<string, any>} config @param {string} name @param {number} vocabularySize @returns {number[]} */
function tokens(config, name, vocabularySize) {
    const value = config[name] ?? [];
    const ids = Array.isArray(value) ? value : [value];
    for (const id of ids) {
        check(Number.isInteger(id) && id >= 0 && id < vocabularySize, 'config-invalid',
            `config.json: ${name} should be a token, is ${JSON.stringify(value)}`);
    }
    return ids;
}

/**
 * What a tensor of the file has to be and where it goes.
 * @typedef {object} Target
 * @property {number[]} shape
 * @property {(model: GPT2CausalLM, values: Float32Array, first: number) => void} load takes rows from `first` on
 * @property {boolean} [byRows] whether it may come in blocks of rows, a multiple of 8 each
 */

/**
 * The tensors of a GPT-2, by the names that Hugging Face gives them.
 * @param {import('../layers/gpt2.js').GPT2Config} network
 * @returns {Iterable<[string, Target]>}
 */
function* targets({ vocabularySize, maxSequenceLength = 0, numLayers, hiddenDim: f, intermediateDim, tieWeights }) {
    yield ['wte.weight', {
        shape: [vocabularySize, f], byRows: true,
        load: (model, values, first) => model._loadEmbedding(model._embedding, values, first),
    }];
    if (!tieWeights) {
        yield ['lm_head.weight', {
            shape: [vocabularySize, f], byRows: true,
            load: (model, values, first) => model._loadEmbedding(model._head, values, first),
        }];
    }
    yield ['wpe.weight', { shape: [maxSequenceLength, f], load: (model, values) => model._loadPositions(values) }];
    for (let i = 0; i < numLayers; i++) {
        /** @param {GPT2CausalLM} model */
        const parts = (model) => model._decoders[i]._parts;
        const inner = intermediateDim;
        /**
         * @param {string} name
         * @param {number[]} shape
         * @param {(model: GPT2CausalLM, values: Float32Array) => void} load
         */
        const target = (name, shape, load) => /** @type {[string, Target]} */ ([`h.${i}.${name}`, { shape, load }]);
        yield target('ln_1.weight', [f], (model, values) => parts(model).selfNorm.loadGamma(values));
        yield target('ln_1.bias', [f], (model, values) => parts(model).selfNorm.loadBeta(values));
        yield target('attn.c_attn.weight', [f, 3 * f], (model, values) => {
            const { query, key, value } = parts(model).self._parts;
            [query, key, value].forEach((part, n) => part.loadColumns(values.subarray(n * f), 0, f, 3 * f, 1));
        });
        yield target('attn.c_attn.bias', [3 * f], (model, values) => {
            const { query, key, value } = parts(model).self._parts;
            [query, key, value].forEach((part, n) => part.loadBias(values.subarray(n * f, (n + 1) * f)));
        });
        yield target('attn.c_proj.weight', [f, f], (model, values) =>
            parts(model).self._parts.output.loadKernel(values));
        yield target('attn.c_proj.bias', [f], (model, values) => parts(model).self._parts.output.loadBias(values));
        yield target('ln_2.weight', [f], (model, values) => parts(model).norm.loadGamma(values));
        yield target('ln_2.bias', [f], (model, values) => parts(model).norm.loadBeta(values));
        yield target('mlp.c_fc.weight', [f, inner], (model, values) => parts(model).intermediate.loadKernel(values));
        yield target('mlp.c_fc.bias', [inner], (model, values) => parts(model).intermediate.loadBias(values));
        yield target('mlp.c_proj.weight', [inner, f], (model, values) => parts(model).output.loadKernel(values));
        yield target('mlp.c_proj.bias', [f], (model, values) => parts(model).output.loadBias(values));
    }
    yield ['ln_f.weight', { shape: [f], load: (model, values) => model._norm.loadGamma(values) }];
    yield ['ln_f.bias', { shape: [f], load: (model, values) => model._norm.loadBeta(values) }];
}

/**
 * Finds every tensor that the model needs in a file; names may have the prefix `transformer.`.
 * @param {import('./safetensors.js').SafetensorsHeader} header
 * @param {import('../layers/gpt2.js').GPT2Config} network
 * @returns {Map<TensorInfo, Target>}
 * @throws {FormatError} `tensor-missing`, `tensor-shape`, `tensor-dtype`
 */
export function matchTensors(header, network) {
    const byName = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
    const prefix = byName.has('wte.weight') ? '' : 'transformer.';
    const found = new Map();
    for (const [name, target] of targets(network)) {
        const tensor = byName.get(name === 'lm_head.weight' ? name : prefix + name);
        check(tensor !== undefined, 'tensor-missing', `the file has no tensor '${name}'`);
        check(tensor.shape.join() === target.shape.join(), 'tensor-shape',
            `tensor '${tensor.name}' is [${tensor.shape}]; config.json says [${target.shape}]`);
        check(['F32', 'F16', 'BF16'].includes(tensor.dtype), 'tensor-dtype',
            `tensor '${tensor.name}' is ${tensor.dtype}; weights may be F32, F16 or BF16`);
        found.set(tensor, target);
    }
    return found;
}

/**
 * Reads the tensors that follow a header into a model. Only one tensor, of an embedding only a block, is held at a
 * time.
 * @param {GPT2CausalLM} model
 * @param {import('./byte-reader.js').ByteReader} reader at the first tensor
 * @param {import('./safetensors.js').SafetensorsHeader} header
 * @param {Map<TensorInfo, Target>} found
 */
export async function loadTensors(model, reader, header, found) {
    for (const tensor of header.tensors) {
        const what = `tensor '${tensor.name}'`;
        const bytes = tensor.end - tensor.begin;
        const target = found.get(tensor);
        if (!target) {
            await reader.skip(bytes, what);
            continue;
        }
        const rowBytes = bytes / tensor.shape[0];
        const rows = target.byRows ? Math.max(8, Math.floor(BLOCK / tensor.shape[1] / 8) * 8) : tensor.shape[0];
        for (let first = 0; first < tensor.shape[0]; first += rows) {
            const part = await reader.take(Math.min(rows, tensor.shape[0] - first) * rowBytes, what);
            model._check();
            target.load(model, toFloat32(tensor, part), first);
        }
    }
    const rest = await reader.some(1);
    check(rest.length === 0, 'trailing-bytes', 'the file goes on after its last tensor');
}
