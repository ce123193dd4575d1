/**
 * What the panels have in common: the worker, what it does now, the model that is loaded, and the text that is looked at.
 * Panels hear of changes by events: 'model' (another one is loaded, of which no text here is), 'state', 'text' (tokens came, or
 * another text is shown), 'end' (a text has come to its end for now).
 */

import { Client } from './client.js';
import { find, keepFocus } from './find.js';
import { Inspector } from './inspector.js';
import { bytes, Meters } from './meters.js';
import { fromForm, toRunOptions } from './settings.js';
import { missingFeatures } from './support.js';

/** @import { Explanation, Figures, ModelFacts, Prompt, Report, RunOptions, Source } from './messages.js' */
/** @import { Trace } from './trace.js' */

/** What takes less time than this shows no progress. */
const SOON_MS = 1000;

/** @typedef {'loading' | 'ready' | 'writing' | 'broken'} State */
/** @typedef {{ id: number, trace: Trace }} Text whose cache the worker keeps by its number */
/**
 * @typedef {{ prompt: Prompt, parent?: number | null, drop?: number[], options?: Partial<RunOptions> }} Task what is written
 *   into a text
 */

/** @param {string} text @returns {string} with a full stop */
export function sentence(text) {
    return /[.!?]$/.test(text) ? text : `${text}.`;
}

export class App extends EventTarget {
    /** @param {{ onBranch: (position: number, candidate: any) => void, onLane: () => void }} events */
    constructor({ onBranch, onLane }) {
        super();
        this.form = /** @type {HTMLFormElement} */ (find('settings'));
        this.meters = new Meters();
        this.inspector = new Inspector(text => this.say(text), {
            onBranch, onLane, onInspect: position => this.tell('inspect', { position })
        });
        this.client = new Client(reason => this.onDeath(reason), seconds => this.onSilence(seconds));
        /** @type {State} */
        this.state = 'loading';
        /** @type {Source} */
        this.source = { kind: 'own' };
        /** @type {ModelFacts | null} */
        this.model = null;
        /** @type {Explanation | null} */
        this.explained = null;
        this.layer = 0;
        /** What the worker has loaded. @type {string[]} */
        this.resources = [];
        /** The text that is looked at. @type {Text | null} */
        this.text = null;
        /** Counts what was asked to be written. */
        this.tasks = 0;
        /** The text stands still from the moment that Stop is pressed, whatever is still on its way. */
        this.isStopped = false;
        this.isAgain = false;
        /** Whether each token is measured without a cache too. */
        this.isCold = false;
        /** @type {Figures | null} */
        this.figures = null;
        /** The last of what is asked while nothing is written. @type {Promise<any>} */
        this.looking = Promise.resolve();
    }

    /** @param {string} type @param {any} [detail] */
    tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }

    /** To those who listen instead of looking. @param {string} text */
    say(text) {
        find('announcer').textContent = text;
    }

    /**
     * @param {string} text
     * @param {number} [share] of the work done, 0..1
     */
    showStatus(text, share) {
        const progress = /** @type {HTMLProgressElement} */ (find('progress'));
        find('status').textContent = text;
        progress.hidden = share === undefined;
        progress.value = share ?? 0;
    }

    /** @param {{ done: number, total: number }} progress in tokens */
    showReading({ done, total }) {
        this.showStatus(`Reading: ${done} of ${total} tokens`, done / total);
    }

    /**
     * @param {string | null} text null: all is well
     * @param {'restart' | 'close' | 'none'} [way] out of it
     */
    notify(text, way = 'restart') {
        find('notice').hidden = text === null;
        find('notice').classList.remove('late');
        find('restart').hidden = way !== 'restart';
        find('dismiss').hidden = way !== 'close';
        find('notice-text').textContent = text ?? '';
        keepFocus();
    }

    /** Whether there is a model to write with: not while another one is loaded, nor when the worker is gone. */
    get canWrite() {
        return this.state === 'ready' || this.state === 'writing';
    }

    /** Whether no other token has room after a text. @param {Trace} trace */
    isFull({ tokens }) {
        return tokens.length >= (this.model?.contextLength ?? Infinity);
    }

    /** @param {State} state */
    enter(state) {
        this.state = state;
        this.inspector.isWriting = state === 'writing';
        find('story').setAttribute('aria-busy', String(state === 'writing'));
        this.tell('state');
    }

    // ------------------------------------------------------------------------------------------------------- the model

    /** Starts the worker, with the model that was there. */
    start() {
        const missing = missingFeatures();
        if (missing.length) {
            this.enter('broken');
            this.notify(`This browser lacks ${missing.join(' and ')}. ${find('notice-text').textContent}`, 'none');
            return;
        }
        this.model = null;
        try {
            this.client.start();
        } catch (error) {
            this.onDeath(error instanceof Error ? error.message : String(error));
            return;
        }
        this.load(this.source);
    }

    /**
     * Whatever was being written is given up. A model that cannot be loaded leaves the one before it.
     * @param {Source} source
     * @param {(report: Report) => void} [onReport]
     * @returns {Promise<Report | null>} the last report
     */
    async load(source, onReport = () => {}) {
        this.tasks++;
        this.enter('loading');
        this.notify(null);
        this.showStatus('Loading the model', 0);
        const { workers } = fromForm(this.form);
        const last = await this.client.ask({ type: 'load', source, workers }, report => {
            if (report.type === 'progress') {
                const { loaded, total } = report;
                this.showStatus(`Loading the model: ${bytes(loaded)}${total ? ` of ${bytes(total)}` : ''}`, total ? loaded / total : 0);
            }
            if (report.type === 'remark') this.notify(report.text, 'close');
            onReport(report);
        });
        if (last?.type === 'ready') this.onModel(last, source);
        else if (last?.type === 'error') this.onNoModel(last);
        return last;
    }

    /**
     * @param {Extract<Report, { type: 'ready' }>} ready
     * @param {Source} source
     */
    onModel({ explain, model, resources }, source) {
        const isSame = source === this.source && this.explained !== null;
        this.resources = resources;
        this.source = source;
        this.model = this.meters.model = model;
        this.explained = explain;
        this.meters.reset();
        this.meters.explain(explain);
        if (!isSame) this.tell('model');
        this.enter('ready');
        const [all, some] = [model.layers, model.attentionLayers.length];
        this.showStatus(`${all} layers${some < all ? `, ${some} of them with` : ' of'} ${model.heads} heads, ${bytes(explain.bytesInUse)}`);
        if (isSame) this.goOnLooking();
    }

    /** The text that was looked at before the same model was loaded once more: it may have been left in the middle. */
    goOnLooking() {
        this.tell('end');
        const { text, layer } = this;
        if (!text || text.trace.tokens.length === 0) return;
        if (text.trace.layer !== layer || text.trace.rows.length < text.trace.tokens.length - 1) this.lookAgain(text);
    }

    /** @param {Extract<Report, { type: 'error' }>} error */
    onNoModel({ message, cancelled }) {
        const text = `The model could not be loaded: ${sentence(message)}`;
        if (this.model) {
            this.enter('ready');
            this.showStatus(`${this.model.name} is still here.`);
            if (!cancelled) this.notify(text, 'close');
        } else {
            this.enter('broken');
            this.showStatus('');
            this.notify(cancelled ? 'Loading was cancelled.' : `${text} The connection may be gone, or an extension or a policy of ` +
                'this browser may block the page’s scripts. Then start again.');
        }
    }

    // ------------------------------------------------------------------------------------------------------- the text

    /** @param {Text} text to be looked at */
    show(text) {
        this.text = text;
        this.inspector.show(text.trace);
        this.tell('text');
    }

    /** @returns {Trace | null} */
    get trace() {
        return this.text?.trace ?? null;
    }

    /**
     * Writes into a text.
     * @param {Text} text
     * @param {Task} task
     * @returns {Promise<{ finish: string, held: number, length: number } | null>} null when it was given up for something
     *   else, or failed, which the page says
     */
    async write(text, { prompt, parent = null, drop = [], options = {} }) {
        const task = ++this.tasks;
        const settings = { ...fromForm(this.form), layer: this.layer + 1 };
        text.trace.origin = { prompt, settings, options };
        this.notify(null);
        this.enter('writing');
        this.showStatus('Reading the prompt');
        this.say('Writing.');
        this.isStopped = false;
        this.figures = null;
        this.meters.reset();
        let read = { held: 0, length: 0 };
        let last;
        let skip = 0;
        let fresh = false;
        do {
            this.isAgain = false;
            const run = { ...toRunOptions(settings), cold: this.isCold, ...options, layer: this.layer };
            const from = fresh ? null : parent;
            const type = /** @type {const} */ ('write');
            const command = { type, branch: text.id, parent: from, prompt, options: run, skip, fresh, drop };
            last = await this.client.ask(command, report => {
                if (report.type === 'begin' && !fresh) read = report;
                this.onReport(text, report, run.pace);
            });
            skip = text.trace.written;
            fresh = true;
        } while (this.isAgain);
        if (task !== this.tasks || last === null) return null;
        if (last.type === 'error' && !last.cancelled) {
            this.enter('ready');
            this.showStatus('');
            this.notify(`This could not be written: ${sentence(last.message)} Change the prompt or the settings, or start again.`);
            return null;
        }
        return { ...read, finish: this.onDone(text, last) };
    }

    /**
     * @param {Text} text
     * @param {Report} report
     * @param {number} pace
     */
    onReport({ trace }, report, pace) {
        if (report.type === 'begin') {
            if (report.skip === 0 && report.tokens.length > 0) {
                trace.begin(report.tokens, this.layer, report.held);
                this.inspector.show(trace);
            }
        } else if (report.type === 'prefill') {
            if (report.done < report.total) this.showReading(report);
        } else if (report.type === 'items') {
            if (this.isStopped) return;
            if (this.figures === null) this.showStatus('Writing');
            trace.append(report.tokens, report.candidates);
            trace.addRows(report.start, report.rows);
            trace.costs.push(...report.costs);
            this.figures = report.figures;
            this.meters.show(report.figures, trace, pace, false);
        }
        this.inspector.invalidate();
        this.tell('text');
    }

    /**
     * @param {Text} text
     * @param {Report} last
     */
    onDone({ trace }, last) {
        const finish = last.type === 'done' ? last.finish : 'stopped';
        const count = `${trace.written} token${trace.written === 1 ? '' : 's'}`;
        /** @type {Record<string, string>} */
        const texts = {
            end: `The end, after ${count}`,
            length: `${count}, as many as asked for`,
            context: `${count}: the context is full`,
            stopped: `Stopped after ${count}`
        };
        this.enter('ready');
        if (this.figures) this.meters.show(this.figures, trace, 0, true);
        if (last.type === 'done') {
            this.explained = last.explain;
            this.meters.explain(last.explain);
        }
        this.showStatus(texts[finish] ?? `Finished after ${count}`);
        this.say(texts[finish] ?? `Finished after ${count}`);
        this.inspector.invalidate();
        this.tell('text');
        this.tell('end');
        return finish;
    }

    stop() {
        this.isStopped = true;
        this.client.stop();
    }

    /**
     * While a text is being written it is written again from the start, unseen up to where it stands: the same seed gives
     * the same tokens. A finished one is only read again.
     * @param {number} chosen layer, from 0
     */
    async chooseLayer(chosen) {
        this.layer = this.inspector.layer = chosen;
        this.inspector.invalidate();
        const { text } = this;
        if (this.state === 'writing' && text) {
            text.trace.look(chosen);
            this.isAgain = true;
            this.client.giveUp();
        } else if (this.state === 'ready' && text && text.trace.tokens.length > 0) {
            await this.lookAgain(text);
        }
    }

    /**
     * Asks something of a text that stands: one thing after the other, and none while something is written or loaded.
     * @param {import('./messages.js').Command} command
     * @param {(report: Report) => void} [onReport]
     * @returns {Promise<Report | null>}
     */
    look(command, onReport = () => {}) {
        return this.looking = this.looking.then(async () => {
            if (this.state !== 'ready') return null;
            const said = find('status').textContent ?? '';
            const since = performance.now();
            let isShown = false;
            const last = await this.client.ask(command, report => {
                if (report.type === 'prefill') {
                    isShown ||= performance.now() - since > SOON_MS;
                    if (!isShown) return;
                    this.showReading(report);
                }
                onReport(report);
            });
            if (isShown && this.state === 'ready') this.showStatus(said);
            return last;
        });
    }

    /**
     * The attention of the chosen layer over a text that stands.
     * @param {Text} text
     */
    async lookAgain({ id, trace }) {
        const rows = await this.look({ type: 'read', branch: id, ids: trace.readIds, layer: this.layer });
        if (rows?.type !== 'rows' || rows.layer !== this.layer) return;
        trace.look(rows.layer);
        trace.addRows(rows.start, rows.rows);
        this.inspector.invalidate();
    }

    // --------------------------------------------------------------------------------------------- when the worker is ill

    /** @param {string} reason */
    onDeath(reason) {
        this.tasks++;
        this.enter('broken');
        this.showStatus('');
        this.notify(`The worker that runs the model has stopped: ${sentence(reason)} Start again, or load the page anew.`);
    }

    /** @param {number} seconds 0: it speaks again */
    onSilence(seconds) {
        this.notify(seconds === 0 ? null
            : `The worker that runs the model has been silent for ${seconds} seconds. Wait a little, or start again.`);
    }
}
