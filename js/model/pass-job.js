// PassJob: a pass over the next tokens of some texts, as a job of the runtime.

import { moveOn } from '../blocks/decoder.js';
import { PAGE } from '../engine/interface.js';
import { recordPass } from './pass.js';

/** @typedef {import('./cache-row.js').CacheRow} CacheRow */
/** @typedef {import('./description.js').Attention} Attention */
/** @typedef {import('./network.js').Network} Network */
/** @typedef {import('./pass.js').Pass} Pass */
/** @typedef {import('./pass.js').Segment} Segment */
/** @typedef {import('../engine/program.js').Program} Program */

/**
 * What is read in one go: the next tokens of some texts.
 * @typedef {object} Run
 * @property {CacheRow} row
 * @property {ArrayLike<number>} ids at least one
 *
 * @typedef {object} Wanted what a reading shall give
 * @property {number} logits address of [runs][V], of each run's last token; with `every` [ids][V], of one run. 0: none
 * @property {number} hidden address of [runs][width], of each run's last token after the final norm; 0 with `every`
 * @property {boolean} every
 * @property {boolean} [passing] with `every`: logits are those of the last pass alone, [CHUNK][V]
 * @property {{ layer: number, address: number }[]} [states] of one run: hidden states after layers, [ids][width] each
 *
 * @typedef {object} AttentionWatch scores of layers
 * @property {readonly number[]} layers that have attention
 * @property {(layer: number, scores: Float32Array, t: number, index: number) => void} read [heads][t][index + t] of the pass
 */

/** @type {Wanted} */
export const NOTHING = { logits: 0, hidden: 0, every: false };

/**
 * One pass over tokens that fit into it, as a job of the runtime. Used again and again: nothing is left behind, and a pass that differs
 * from the last one only in its tokens and their places runs the program that was recorded for that.
 */
export class PassJob {
    /** @param {Network} network */
    constructor(network) {
        this._network = network;
        /** @type {Run[]} */
        this._runs = [];
        this._from = 0;
        this._count = 0;
        this._last = false;
        /** @type {Wanted} */
        this._wanted = NOTHING;
        /** @type {AttentionWatch | null} */
        this.watch = null;
        /** Aborts a pass; nothing of that pass is in the text then. @type {AbortSignal | null | undefined} */
        this.signal = undefined;
        /** Runs it joined with others (together.js); null: the runtime runs it. @type {{ run(job: PassJob): Promise<void> } | null} */
        this.together = null;
        /** @type {Pass} */
        this._pass = {
            segments: [], rows: 0, length: 0, tokens: 0, positions: 0, every: false, hidden: 0, results: 0, logits: 0, scores: null, states: null,
        };
        /** One for each run; a pass consists of those that have tokens left. @type {Segment[]} */
        this._segments = [];
        /** What the last program depends on, see _isAsRecorded(). @type {unknown[]} */
        this._recordedFor = [];
        this._noted = 0;
        this._recorded = 0;
    }

    /**
     * Sets the next pass: tokens [from, from + count) of each run, as far as it has them.
     * @param {Run[]} runs
     * @param {number} from
     * @param {number} count
     * @param {boolean} last whether every run ends with this pass
     * @param {Wanted} wanted
     */
    set(runs, from, count, last, wanted) {
        this._runs = runs;
        this._from = from;
        this._count = count;
        this._last = last;
        this._wanted = wanted;
    }

    /** Runs it. @returns {Promise<void>} */
    run() {
        return this.together ? this.together.run(this) : this._network.runtime._run(this, this.signal);
    }

    /** Whether it wants only the results of its runs' last tokens, so that it can be part of a joint pass. */
    get joins() {
        return this._last && !this._wanted.every && !this._wanted.states && this.watch === null;
    }

    /** Tokens that it reads. */
    get tokens() {
        return this._runs.reduce((sum, { ids }) => sum + this._part(ids), 0);
    }

    /** Length of the longest of its texts once its runs have been read. */
    get length() {
        return this._runs.reduce((most, { row, ids }) => Math.max(most, row.lengthWith(ids.length - this._from)), 0);
    }

    /** The rest of its runs, as runs of a joint pass. @returns {Run[]} */
    rest() {
        return this._runs.map(({ row, ids }) => ({ row, ids: this._from === 0 ? ids : Array.prototype.slice.call(ids, this._from) }));
    }

    /** Where its results go, and how many rows they have. */
    results() {
        const { logits, hidden } = this._wanted;
        return { logits, hidden, count: this._runs.length };
    }

    /** @throws {Error} if the model or a cache has been disposed */
    check() {
        this._network.check();
        for (let i = 0; i < this._runs.length; i++) {
            this._runs[i].row.check();
        }
    }

    /** @param {Program} program */
    record(program) {
        const pass = this._pass;
        this._placeSegments(pass);
        if (this._isAsRecorded() && program.resume(this._recorded)) {
            moveOn(program, pass.segments, this._last ? this._wanted.logits : 0);
            this._writeTokens(program, pass);
        } else {
            this._recordAnew(program, pass);
        }
        this._recorded = program.keep();
    }

    /** @param {Program} program @param {Pass} pass */
    _recordAnew(program, pass) {
        const network = this._network;
        const { description: { width, vocabulary } } = network;
        const { every, passing, hidden, logits } = this._wanted;
        pass.tokens = program.scratch(4 * pass.rows);
        pass.positions = program.scratch(4 * pass.rows);
        pass.segments.forEach((segment) => {
            segment.windows = this._roomForWindows(program, segment);
            // Its steps until the next page begins run the same program.
            segment.places = segment.placed ? program.scratch(4 * PAGE * Math.ceil((segment.index + segment.t) / PAGE)) : 0;
        });
        this._writeTokens(program, pass);
        pass.every = every;
        pass.hidden = every ? program.scratch(4 * width * pass.rows) : hidden;
        pass.logits = 0;
        pass.results = this._runs.length;
        if (logits !== 0 && every) {
            pass.logits = logits + (passing ? 0 : 4 * this._from * vocabulary);
        } else if (this._last) {
            pass.logits = logits;
        }
        pass.scores = this._recordWatch(program, pass);
        pass.states = this._states();
        recordPass(network, program, pass);
    }

    /** @param {Pass} pass */
    _placeSegments(pass) {
        pass.rows = 0;
        pass.length = 0;
        let count = 0;
        for (let i = 0; i < this._runs.length; i++) {
            const { row, ids } = this._runs[i];
            const t = this._part(ids);
            if (t > 0) {
                const segment = this._segments[i] ??= { caches: [], index: 0, slot: 0, past: [], t: 0, result: -1, windows: null };
                segment.caches = row.caches;
                segment.index = row.length;
                segment.slot = row.slot(row.length);
                row.slotsBefore(this._network.reach, segment.past);
                segment.placed = this._network.biased && (row.positions !== null || segment.slot !== segment.index);
                segment.t = t;
                segment.result = this._from + t === ids.length ? i : -1;
                pass.segments[count++] = segment;
                pass.rows += t;
            }
            // Rotations are those of the whole run, not of the part that this pass reads.
            pass.length = Math.max(pass.length, row.lengthWith(ids.length - this._from));
        }
        pass.segments.length = count;
    }

    /**
     * Compares everything that a recorded program depends on, except what moveOn() and _writeTokens() can change in it: tokens, positions,
     * places within a page, and the address of the logits.
     * @returns {boolean} whether all of it is as it was the last time
     */
    _isAsRecorded() {
        const { segments, length } = this._pass;
        const { every, hidden, logits } = this._wanted;
        const network = this._network;
        const plain = network.streams && !every && !this._wanted.states && this.watch === null;
        this._noted = 0;
        let same = this._note(plain);
        same = this._note(network.runtime.threads) && same;
        same = this._note(network.lengthKey(length)) && same;
        same = this._note(hidden) && same;
        same = this._note(this._last && logits !== 0) && same;
        same = this._note(this._runs.length) && same;
        same = this._note(segments.length) && same;
        for (let i = 0; i < segments.length; i++) {
            const { caches, index, slot, t, placed, result } = segments[i];
            same = this._note(caches) && same;
            same = this._note(slot !== index && network.windows.length > 0) && same;
            same = this._note(placed) && same;
            same = this._note(t) && same;
            same = this._note(Math.ceil((index + t) / PAGE)) && same;
            same = this._note(result) && same;
        }
        return same && plain;
    }

    /** @param {unknown} value @returns {boolean} whether it is what was noted here the last time */
    _note(value) {
        const at = this._noted++;
        const same = this._recordedFor[at] === value;
        this._recordedFor[at] = value;
        return same;
    }

    /** @param {Program} program @param {Pass} pass */
    _writeTokens({ words, floats }, { tokens, positions }) {
        let at = 0;
        for (let i = 0; i < this._runs.length; i++) {
            const { row, ids } = this._runs[i];
            for (let j = 0, n = this._part(ids); j < n; j++, at++) {
                words[tokens / 4 + at] = ids[this._from + j];
                words[positions / 4 + at] = row.angle(row.length + j);
            }
            if (this._part(ids) > 0) {
                const { windows, placed, places = 0, index, t } = this._segments[i];
                windows?.forEach((mask, window) => row.ring?.writeMask(mask, window, row.length));
                for (let place = 0; placed && place < index + t; place++) {
                    floats[places / 4 + row.slot(place)] = row.position(place) - row.position(index) + index;
                }
            }
        }
    }

    /** @param {Program} program @param {Segment} segment */
    _roomForWindows(program, { index, slot, t }) {
        if (slot === index) {
            return null;
        }
        const within = this._network.windows.filter((window) => window < index + t);
        return new Map(within.map((window) => [window, program.scratch(index + t)]));
    }

    /** @param {Program} program @param {Pass} pass @returns {Map<number, number> | null} */
    _recordWatch(program, { segments, rows }) {
        if (this.watch === null) {
            return null;
        }
        return new Map(this.watch.layers.map((layer) => {
            const { heads } = /** @type {Attention} */ (this._network.description.layers[layer].attention);
            return [layer, program.scratch(4 * heads * rows * (segments[0].index + rows))];
        }));
    }

    /** @returns {Map<number, number> | null} where this pass's go */
    _states() {
        const { width } = this._network.description;
        const { states } = this._wanted;
        return states ? new Map(states.map(({ layer, address }) => [layer, address + 4 * this._from * width])) : null;
    }

    /** @param {ArrayLike<number>} ids */
    _part(ids) {
        return Math.max(0, Math.min(this._count, ids.length - this._from));
    }

    finish() {
        const { scores, segments } = this._pass;
        const { index, slot, t } = segments[0];
        const { runtime: { memory }, description: { layers } } = this._network;
        if (scores) {
            for (const [layer, address] of scores) {
                const { heads } = /** @type {Attention} */ (layers[layer].attention);
                const all = memory.f32(address, heads * t * (index + t));
                this.watch?.read(layer, slot === index ? all : inOrder(all, index + t, this._runs[0].row), t, index);
            }
        }
        const key = this._network.lengthKey(this._pass.length);
        for (let i = 0; i < this._runs.length; i++) {
            const { row, ids } = this._runs[i];
            row.append(ids, this._from, this._part(ids), key);
        }
    }
}

/**
 * Scores in the order of the caches' places, put in the order of the text.
 * @param {Float32Array} scores [heads][places]
 * @param {number} places
 * @param {CacheRow} row
 */
const inOrder = (scores, places, row) =>
    scores.map((_, i) => scores[i - i % places + row.slot(i % places)]);
