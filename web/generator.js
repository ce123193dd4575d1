/**
 * The worker that loads the model and computes; the page itself never does.
 *
 * One command runs at a time: a new one aborts the one before it and waits for it to end. Each report carries the run of
 * the command that it answers. See messages.js for the shapes.
 */

import { createRuntime } from '../js/index.js';
import { huggingFace, loadModel } from '../js/generation/index.js';
import { keepFiles, lost, openSource } from './library.js';
import { distribution, lens, maps, probabilities, readAgain, score } from './reading.js';
import { Texts, write } from './writing.js';

/** @import { Command, ModelFacts, Report, Source } from './messages.js' */

/**
 * @typedef {object} Open what is loaded
 * @property {any} runtime
 * @property {any} model
 * @property {Texts} texts caches by branch
 * @property {Source} source
 * @property {File[] | null} files
 */

/** @typedef {(message: Report, transfer?: Transferable[]) => void} Tell */

/** @type {Open | null} */
let open = null;
let abort = new AbortController();
/** The model that comes along is on its way before anybody asks. */
const OWN = new URL('../dist/embedded/model.gguf', import.meta.url);
/** @type {Promise<ReadableStream | null | undefined> | null} */
let ownModel = fetch(OWN).then(({ ok, body }) => ok ? body : null, () => null);
/** @type {Promise<void>} */
let last = Promise.resolve();

self.onmessage = ({ data: { run, command } }) => {
    abort.abort();
    if (command === null) return;
    const { signal } = abort = new AbortController();
    /** @type {Tell} */
    const tell = (message, transfer = []) => self.postMessage({ run, message }, { transfer });
    last = last.then(() => {
        signal.throwIfAborted();
        return carryOut(command, tell, signal);
    }).catch(error => {
        // A failed import names no cause: what blocks a script, an extension or a policy, tells the page nothing.
        tell({ type: 'error', message: String(error?.message ?? error), cancelled: signal.aborted, choices: error?.choices });
    });
};

/**
 * @param {Command} command
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
async function carryOut(command, tell, signal) {
    if (command.type === 'load') return load(command.source, command.workers, tell, signal);
    if (!open) throw new Error('The model is not loaded.');
    const { model, texts } = open;
    if (command.type === 'write') return write(open, command, tell, signal);
    if (command.type === 'read') return readAgain(model, texts, command, tell, signal);
    if (command.type === 'maps') return maps(model, texts, command, tell, signal);
    if (command.type === 'distribution') return distribution(model, texts, command, tell, signal);
    if (command.type === 'lens') return lens(model, texts, command, tell, signal);
    if (command.type === 'probabilities') return probabilities(model, command.ids, tell, signal);
    if (command.type === 'explain') {
        return tell({ type: 'explained', report: { runtime: open.runtime.explain(), model: model.explain() } });
    }
    if (command.type === 'score') return score(model, command.text, tell, signal);
    if (!open.files) throw new Error('There are no files to keep.');
    await keepFiles(open.source.kind === 'own' ? '' : open.source.name, open.files, tell, signal);
    return tell({ type: 'kept' });
}

/**
 * The model before stays until the new one is there: what cannot be loaded leaves the page as it was.
 * @param {Source} source
 * @param {number | 'auto'} workers
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
async function load(source, workers, tell, signal) {
    const { given, files } = await openSource(source, huggingFace, tell, signal);
    const [wasm, worker] = ['../dist/wasm/', './vendor/worker.js'].map(path => new URL(path, import.meta.url));
    const runtime = await createRuntime({ workers, wasm, worker });
    try {
        const own = await ownModel;
        ownModel = null;
        const model = await loadModel(runtime, given ?? own ?? OWN, {
            signal,
            onProgress: (/** @type {{ loaded: number, total: number }} */ { loaded, total }) =>
                tell({ type: 'progress', phase: 'load', loaded, total })
        });
        open?.texts.clear();
        open?.model.dispose();
        open?.runtime.dispose();
        open = { runtime, model, texts: new Texts(model), source, files };
        tell({ type: 'ready', explain: runtime.explain(), model: factsOf(model, source), resources: resources() });
    } catch (error) {
        runtime.dispose();
        // The page says what is to be done.
        if (source.kind === 'hub' && given.folder && /** @type {any} */ (error).code === 'lost') throw lost(given.folder, error, 'Ask for the model again.');
        throw error;
    }
}

/** What was loaded here, for the page to work offline. */
function resources() {
    return [self.location.href, ...performance.getEntriesByType('resource').map(entry => entry.name)];
}

/**
 * @param {any} model
 * @param {Source} source
 * @returns {ModelFacts}
 */
function factsOf(model, source) {
    const explained = model.explain();
    const { chatTemplate, keyValueHeads } = explained;
    return {
        name: source.kind === 'own' ? 'TinyStories' : source.name,
        layers: model.layers,
        attentionLayers: model.attentionLayers,
        heads: model.heads,
        keyValueHeads,
        contextLength: model.contextLength,
        vocabularySize: model.vocabularySize,
        parameters: model.parameters,
        cacheBytesPerToken: model.cacheBytesPerToken,
        noChat: chatTemplate === 'yes' ? null : chatTemplate.replace(/^none: /, ''),
        endTokens: [...model.endTokens],
        explained
    };
}
