/** The page: form, buttons and worker, joined. What is computed is computed in generator.js. */

import { Client } from './client.js';
import { Inspector } from './inspector.js';
import { bytes, Meters } from './meters.js';
import { fromForm, fromHash, hasStory, toForm, toHash, toRunOptions } from './settings.js';
import { missingFeatures } from './support.js';

/** @import { Report, RunOptions, Figures } from './messages.js' */

const MOST_WORKERS = 8;

/** @param {string} id */
function find(id) {
    return /** @type {HTMLElement} */ (document.getElementById(id));
}

const form = /** @type {HTMLFormElement} */ (find('settings'));
const writeButton = /** @type {HTMLButtonElement} */ (find('write'));
const stopButton = /** @type {HTMLButtonElement} */ (find('stop'));
const progress = /** @type {HTMLProgressElement} */ (find('progress'));

const meters = new Meters(find);
const inspector = new Inspector(find, say, remember);
const { trace } = inspector;
const client = new Client(onReport, onDeath, onSilence);

/** @typedef {'loading' | 'ready' | 'writing' | 'broken'} State */
/** @type {State} */
let state = 'loading';
let run = 0;
let layer = 0;
/** What the run in progress was asked. @type {RunOptions | null} */
let options = null;
/** Asked for while the model was loading. */
let isWriteWanted = false;
/** The text stands still from the moment that Stop is pressed, whatever is still on its way. */
let isStopped = false;
let isSilent = false;
/** @type {Figures | null} */
let figures = null;

/** @param {string} text */
function say(text) {
    find('announcer').textContent = text;
}

/**
 * @param {string} text
 * @param {number} [share] of the work done, 0..1
 */
function showStatus(text, share) {
    find('status').textContent = text;
    progress.hidden = share === undefined;
    progress.value = share ?? 0;
}

/** @param {string} text */
function sentence(text) {
    return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** @param {State} next */
function enter(next) {
    state = next;
    const isWriting = state === 'writing';
    if (!isWriting && document.activeElement === stopButton) writeButton.focus();
    stopButton.disabled = !isWriting;
    find('story').setAttribute('aria-busy', String(isWriting));
}

/**
 * @param {string | null} text null: all is well
 * @param {boolean} [canRestart]
 */
function notify(text, canRestart = true) {
    find('notice').hidden = text === null;
    find('notice').classList.remove('late');
    find('restart').hidden = !canRestart;
    find('notice-text').textContent = text ?? '';
}

// ------------------------------------------------------------------------------------------------- what is asked for

function start() {
    const missing = missingFeatures();
    if (missing.length) {
        enter('broken');
        notify(`This browser lacks ${missing.join(' and ')}, which this page computes with. Chrome or Edge 91, ` +
            'Firefox 114 and Safari 16.4, or anything newer, have them.', false);
        return;
    }
    try {
        client.start();
    } catch (error) {
        onDeath(error instanceof Error ? error.message : String(error));
        return;
    }
    load();
}

/** Whatever was being written is given up. */
function load() {
    run++;
    enter('loading');
    notify(null);
    showStatus('Loading the model', 0);
    client.send({ type: 'load', workers: fromForm(form).workers });
}

function write() {
    if (state === 'broken') return;
    if (state === 'loading') {
        isWriteWanted = true;
        say('The story will begin when the model is here.');
        return;
    }
    const settings = fromForm(form);
    settings.layer = layer + 1;
    settings.head = inspector.lane;
    toForm(form, settings);
    history.replaceState(null, '', toHash(settings));
    notify(null);
    enter('writing');
    showStatus('Reading the prompt');
    say('Writing.');
    isStopped = false;
    figures = null;
    meters.reset();
    trace.begin([], layer);
    inspector.clear();
    options = toRunOptions(settings);
    client.send({ type: 'write', run: ++run, options });
}

function stop() {
    isStopped = true;
    client.send({ type: 'stop' });
}

function writeAnother() {
    toForm(form, { ...fromForm(form), seed: crypto.getRandomValues(new Uint32Array(1))[0] % 100_000 });
    write();
}

/** The address of a story follows what is looked at. */
function remember() {
    if (!hasStory(location.hash)) return;
    const view = { layer: layer + 1, head: inspector.lane };
    history.replaceState(null, '', toHash({ ...fromHash(location.hash), ...view }));
}

/**
 * While a story is being written it is written again from the start, unseen up to where it stands: the same seed gives
 * the same tokens. A finished one is only read again.
 * @param {number} chosen layer, from 0
 */
function chooseLayer(chosen) {
    layer = chosen;
    remember();
    if (state === 'writing' && options) {
        options = { ...options, layer };
        trace.look(layer);
        client.send({ type: 'write', run: ++run, options, skip: trace.written });
    } else if (state === 'ready' && trace.tokens.length) {
        client.send({ type: 'read', run: ++run, ids: trace.readIds, layer });
    }
    inspector.invalidate();
}

// ------------------------------------------------------------------------------------------------- what comes back

/** @param {Report} message */
function onReport(message) {
    if (isSilent) notify(null);
    isSilent = false;
    if ('run' in message && message.run !== run) return;
    switch (message.type) {
        case 'progress':
            onProgress(message);
            break;
        case 'ready':
            onReady(message);
            break;
        case 'begin':
            if (message.skip === 0) trace.begin(message.tokens, layer);
            inspector.invalidate();
            break;
        case 'prefill':
            showStatus(`Reading the prompt: ${message.done} of ${message.total} tokens`, message.done / message.total);
            break;
        case 'items':
            onItems(message);
            break;
        case 'rows':
            trace.look(message.layer);
            trace.rows.push(...message.rows);
            inspector.invalidate();
            break;
        case 'done':
            onDone(message);
            break;
        case 'error':
            onError(message);
    }
}

/** @param {Extract<Report, { type: 'progress' }>} message */
function onProgress({ loaded, total }) {
    showStatus(`Loading the model: ${bytes(loaded)} of ${bytes(total)}`, loaded / total);
}

/** @param {Extract<Report, { type: 'ready' }>} message */
function onReady({ explain, model }) {
    meters.model = model;
    meters.explain(explain);
    const asked = fromHash(location.hash);
    layer = Math.min(asked.layer, model.layers) - 1;
    showLayers(model.layers);
    inspector.setHeads(model.heads, asked.head);
    enter('ready');
    const size = `${(model.parameters / 1e6).toFixed(1)} million parameters`;
    showStatus(`${size}, ${model.layers} layers of ${model.heads} heads, ${bytes(explain.bytesInUse)} in memory`);
    if (isWriteWanted) write();
    isWriteWanted = false;
}

/** @param {Extract<Report, { type: 'items' }>} message */
function onItems(message) {
    if (isStopped) return;
    if (figures === null) showStatus('Writing');
    trace.append(message.tokens, message.candidates);
    trace.rows.push(...message.rows);
    figures = message.figures;
    meters.show(figures, trace, options?.pace ?? 0, false);
    inspector.invalidate();
}

/** @param {Extract<Report, { type: 'done' }>} message */
function onDone({ finish, explain }) {
    const count = `${trace.written} token${trace.written === 1 ? '' : 's'}`;
    /** @type {Record<string, string>} */
    const texts = {
        end: `The end, after ${count}`,
        length: `${count}, as many as asked for`,
        context: `${count}: the context is full`,
        stopped: `Stopped after ${count}`
    };
    enter('ready');
    if (figures) meters.show(figures, trace, options?.pace ?? 0, true);
    meters.explain(explain);
    showStatus(texts[finish] ?? `Finished after ${count}`);
    say(texts[finish] ?? `Finished after ${count}`);
    inspector.invalidate();
}

/** @param {Extract<Report, { type: 'error' }>} message */
function onError({ during, message }) {
    showStatus('');
    if (during === 'load') {
        enter('broken');
        notify(`The model could not be loaded: ${sentence(message)} Check that the server runs, then start again.`);
    } else {
        enter('ready');
        notify(`This could not be written: ${sentence(message)} Change the prompt or the settings, or start again.`);
    }
}

/** @param {string} reason */
function onDeath(reason) {
    enter('broken');
    showStatus('');
    notify(`The worker that runs the model has stopped: ${sentence(reason)} Start again, or load the page anew.`);
}

/** @param {number} seconds */
function onSilence(seconds) {
    isSilent = true;
    notify(`The worker that runs the model has been silent for ${seconds} seconds. Wait a little, or start again.`);
}

/** @param {number} count */
function showLayers(count) {
    const set = find('layers');
    for (const label of set.querySelectorAll('label')) label.remove();
    for (let i = 0; i < count; i++) {
        const label = document.createElement('label');
        const input = document.createElement('input');
        Object.assign(input, { type: 'radio', name: 'layer', value: String(i), checked: i === layer });
        input.addEventListener('change', () => chooseLayer(i));
        label.append(input, Object.assign(document.createElement('span'), { textContent: String(i + 1) }));
        set.append(label);
    }
}

// ------------------------------------------------------------------------------------------------------- the page

function offerWorkers() {
    const select = /** @type {HTMLSelectElement} */ (form.elements.namedItem('workers'));
    const most = Math.min(navigator.hardwareConcurrency || 1, MOST_WORKERS);
    for (let workers = 1; workers <= most; workers++) select.add(new Option(String(workers), String(workers)));
    select.addEventListener('change', () => {
        if (state !== 'broken') load();
    });
}

form.addEventListener('submit', event => {
    event.preventDefault();
    write();
});
stopButton.addEventListener('click', stop);
find('another').addEventListener('click', writeAnother);
find('restart').addEventListener('click', start);
for (const input of find('scales').querySelectorAll('input')) {
    input.addEventListener('change', () => inspector.setScale({ mode: /** @type {any} */ (input.value) }));
}
find('skip-first').addEventListener('change', ({ target }) => {
    inspector.setScale({ skipFirst: /** @type {HTMLInputElement} */ (target).checked });
});
document.addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        write();
    } else if (event.key === 'Escape') {
        if (state === 'writing') stop();
        else inspector.pin(-1);
    }
});
addEventListener('hashchange', () => {
    toForm(form, fromHash(location.hash));
    isWriteWanted = hasStory(location.hash);
    if (state !== 'broken') load();
});

offerWorkers();
toForm(form, fromHash(location.hash));
isWriteWanted = hasStory(location.hash);
start();
