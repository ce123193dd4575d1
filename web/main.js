/** The page: panels and worker, joined. What is computed is computed in generator.js. */

import { App } from './app.js';
import { CachePanel } from './cache-panel.js';
import { ChatPanel } from './chat-panel.js';
import { ChoicePanel } from './choice-panel.js';
import { CodePanel } from './code-panel.js';
import { find } from './find.js';
import { LensPanel } from './lens-panel.js';
import { MapsPanel } from './maps-panel.js';
import { ModelsPanel } from './models-panel.js';
import { ScorePanel } from './score-panel.js';
import { isolate, keepPage } from './offline.js';
import { MOST_WORKERS, fromForm, fromHash, hasStory, toForm, toText } from './settings.js';
import { Tour } from './tour.js';
import { WritePanel, modelOf } from './write-panel.js';

/** Loaded with the first answer, which may be offline. */
const MARKDOWN = new URL('vendor/markdown.js', location.href).href;
const KEEP_AFTER_MS = 1500;
const VISITED = 'cached-attention: visited';
/** Tokens per second that one can read along with. */
const READING_PACE = 12;

/** @param {number} position @param {import('./messages.js').Candidate} candidate */
const onBranch = (position, candidate) => {
    if (!app.canWrite) return;
    if (chat.isOpen) chat.branch(position, candidate);
    else write.branch(position, candidate);
};
const app = new App({ onBranch, onLane: () => write.remember() });
const { inspector } = app;
/** Whether the page begins by itself. */
let isShown = false;
const write = new WritePanel(app);
const chat = new ChatPanel(app);
const models = new ModelsPanel(app);
new CachePanel(app);
new ChoicePanel(app);
new LensPanel(app);
new ScorePanel(app);
new CodePanel(app, () => chat.isOpen ? chat.asked : null);
const tour = new Tour();
const coloured = /** @type {HTMLInputElement} */ (find('coloured'));
coloured.addEventListener('change', () => inspector.colour(coloured.checked));
new MapsPanel(app, (layer, lane) => {
    if (coloured.checked) coloured.click();
    inspector.lane = lane;
    inspector.lanes.choose(lane, null);
    if (layer === app.layer) return inspector.invalidate();
    app.layer = layer;
    showLayers();
    chooseLayer(layer);
});

function showLayers() {
    const set = find('layers');
    const layers = app.model?.attentionLayers ?? [];
    for (const child of [...set.querySelectorAll('label, select')]) child.remove();
    if (layers.length > 12) {
        const select = document.createElement('select');
        select.setAttribute('aria-label', 'Layer');
        for (const i of layers) select.add(new Option(String(i + 1), String(i), false, i === app.layer));
        select.addEventListener('change', () => chooseLayer(Number(select.value)));
        set.append(select);
        return;
    }
    for (const i of layers) {
        const label = document.createElement('label');
        const input = document.createElement('input');
        Object.assign(input, { type: 'radio', name: 'layer', value: String(i), checked: i === app.layer });
        input.addEventListener('change', () => chooseLayer(i));
        label.append(input, Object.assign(document.createElement('span'), { textContent: String(i + 1) }));
        set.append(label);
    }
}

/** @param {number} layer */
function chooseLayer(layer) {
    app.chooseLayer(layer);
    write.remember();
}

/** Shows the layer and the head that the address names. */
function lookAsAsked() {
    const { model } = app;
    if (!model) return;
    const asked = fromHash(location.hash);
    const [first] = model.attentionLayers;
    app.layer = inspector.layer = model.attentionLayers.findLast(layer => layer < asked.layer) ?? first;
    showLayers();
    inspector.setHeads(model.heads, asked.head);
}

app.addEventListener('model', () => {
    lookAsAsked();
    if (chat.isOpen) choosePanel(true);
});
const showSettings = () => {
    find('knobs-text').textContent = toText(fromForm(app.form));
};
app.form.addEventListener('input', showSettings);
app.addEventListener('state', () => {
    showSettings();
    if (app.state !== 'ready') return;
    if (write.isWanted) write.write(isShown ? { pace: matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : READING_PACE } : {});
    isShown = false;
});
// Once everything is there, it is kept for the next time; the first text comes first.
app.addEventListener('model', () => setTimeout(() => keepPage([...app.resources, MARKDOWN]), KEEP_AFTER_MS), { once: true });

/** @param {boolean} isChat */
function choosePanel(isChat) {
    const noChat = app.model?.noChat ?? null;
    find('write-panel').hidden = isChat;
    find('chat-panel').hidden = !isChat;
    find('no-chat').hidden = !isChat || noChat === null;
    find('no-chat-text').textContent = `This model cannot chat, having no chat template: ${noChat ?? ''}.`;
    // What it says is of the other panel's text.
    if (app.state === 'ready') app.showStatus('');
    if (isChat) {
        write.wanted = null;
        chat.open();
    } else {
        write.open();
    }
}

function offerWorkers() {
    const select = /** @type {HTMLSelectElement} */ (app.form.elements.namedItem('workers'));
    for (let workers = 1; workers <= MOST_WORKERS; workers++) select.add(new Option(String(workers), String(workers)));
    select.addEventListener('change', () => {
        if (app.state !== 'broken') app.load(app.source);
    });
}

for (const input of find('modes').querySelectorAll('input')) {
    input.addEventListener('change', () => choosePanel(input.value === 'chat'));
}
find('choose-chat').addEventListener('click', () => models.open());
find('restart').addEventListener('click', () => app.start());
find('dismiss').addEventListener('click', () => app.notify(null));
find('step-close').addEventListener('click', () => inspector.pin(-1));
for (const input of find('scales').querySelectorAll('input')) {
    input.addEventListener('change', () => inspector.setScale({ mode: /** @type {any} */ (input.value) }));
}
for (const input of find('directions').querySelectorAll('input')) {
    input.addEventListener('change', () => inspector.setView({ isForward: input.value === 'forward' }));
}
find('skip-first').addEventListener('change', ({ target }) => {
    inspector.setScale({ skipFirst: /** @type {HTMLInputElement} */ (target).checked });
});
document.addEventListener('keydown', event => {
    // What is being composed is ended by the same keys.
    if (event.isComposing || document.querySelector('dialog[open]')) return;
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        if (chat.isOpen) chat.send();
        else write.write();
    } else if (event.key === 'Escape') {
        if (tour.isOpen) tour.go(-1);
        else if (app.state === 'writing') app.stop();
        else inspector.pin(-1);
    }
});

/** What the address says. */
function arrive() {
    toForm(app.form, fromHash(location.hash));
    write.wanted = hasStory(location.hash) ? { model: fromHash(location.hash).model } : null;
}

addEventListener('hashchange', () => {
    const { workers } = fromForm(app.form);
    arrive();
    const { model } = fromHash(location.hash);
    if (write.wanted) find('modes').querySelector('input')?.click();
    if (app.state === 'broken') return;
    if (model !== modelOf(app) && (model !== '' || write.wanted)) {
        if (model === '') app.load({ kind: 'own' });
        else models.arrive(model);
    } else {
        lookAsAsked();
        if (!app.model || fromForm(app.form).workers !== workers) app.load(app.source);
        else if (write.isWanted) write.write();
    }
});
app.showStatus('Loading');
// A host without the headers for threads: a service worker sets them, after one reload.
if (await isolate()) app.showStatus('Loading once more, so that all cores can be used');
else begin();

/** @returns {boolean} true once in a browser that remembers, never in one that does not */
function isFirstVisit() {
    try {
        if (localStorage.getItem(VISITED) !== null) return false;
        localStorage.setItem(VISITED, 'yes');
        return true;
    } catch {
        return false;
    }
}

function begin() {
    offerWorkers();
    arrive();
    if (location.hash === '' && isFirstVisit()) {
        isShown = true;
        write.wanted = { model: null };
    }
    app.start();
    models.arrive(fromHash(location.hash).model);
}
