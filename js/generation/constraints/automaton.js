// An automaton over bytes, built as it is used: states, transitions, and the tokens that each state allows.

import { Expressions, waysOf } from './expressions.js';

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./vocabulary.js').TokenBytes} TokenBytes */

const SPACE = ' '.charCodeAt(0);

/** A state: the rest of the text has to match one of its expressions. */
export class State {
    /** @param {Expression[]} ways */
    constructor(ways) {
        this.ways = ways;
        /** At most so many tokens are needed for the shortest rest. */
        this.fewest = ways.reduce((least, { fewest }) => Math.min(least, fewest), Infinity);
        this.worst = ways.reduce((most, { worst }) => Math.max(most, worst), 0);
        /** Whether something may follow. */
        this.goesOn = ways.some(({ kind }) => kind !== 'nothing');
        /** Transitions by byte; null: the byte is not allowed; undefined: not asked for yet. @type {(State | null | undefined)[]} */
        this.next = [];
        /** The representative of the states that allow the same tokens, as no token is long enough to tell them apart. @type {State | null} */
        this.like = null;
        /** The allowed tokens, a bit for each; null: not computed yet. @type {Uint32Array | null} */
        this.allowed = null;
    }

    /** Whether the text may end. */
    get accepts() {
        return this.fewest === 0;
    }
}

export class Automaton {
    /**
     * @param {TokenBytes} tokens
     * @param {(expressions: Expressions) => Expression} build
     */
    constructor(tokens, build) {
        this.tokens = tokens;
        this._expressions = new Expressions(tokens);
        /** @type {Map<string, State>} */
        this._states = new Map();
        const start = this._state(waysOf(build(this._expressions)));
        this.start = tokens.lost > 0 ? this._behindSpace(start) : start;
        this._path = /** @type {State[]} */ (new Array(tokens.longest + 1));
    }

    /** Number of states. */
    get size() {
        return this._states.size;
    }

    /** @param {Expression[]} ways @returns {State} */
    _state(ways) {
        const key = ways.map(({ id }) => id).sort((a, b) => a - b).join();
        let state = this._states.get(key);
        if (!state) {
            state = new State(ways);
            this._states.set(key, state);
        }
        return state;
    }

    /** @param {State} start @returns {State} the same for a tokenizer whose decoder drops a text's first space, or all that it begins with */
    _behindSpace(start) {
        const state = new State(start.ways);
        state.fewest += Number(state.fewest > 0 && this.step(start, SPACE) !== null);
        state.next[SPACE] = this.tokens.lost > 1 ? state : start;
        state.like = state;
        return state;
    }

    /** @param {State} state @param {number} byte @returns {State | null} */
    step(state, byte) {
        const known = state.next[byte];
        if (known !== undefined) {
            return known;
        }
        /** @type {Map<number, Expression>} */
        const ways = new Map();
        const seen = new Set();
        this._expressions.leading(state.ways, byte).forEach((way) => this._expressions.derive(way, byte, ways, seen));
        const next = ways.size === 0 ? null : this._state(this._expressions.united([...ways.values()]));
        state.next[byte] = next;
        return next;
    }

    /** @param {State} state @param {number} token @returns {State | null} null: it must not follow */
    after(state, token) {
        const bytes = this.tokens.of(token);
        let next = bytes && /** @type {State | null} */ (state);
        for (let i = 0; next && bytes && i < bytes.length; i++) {
            next = this.step(next, bytes[i]);
        }
        return next;
    }

    /**
     * The tokens that may follow.
     * @param {State} state
     * @param {number} room how many tokens may still come, this one included
     * @returns {Uint32Array} a bit for each token; not to be changed
     */
    allowed(state, room) {
        if (room <= state.worst) {
            return this._walk(state, room - 1);
        }
        state.like ??= this._state(state.ways.map((way) => this._expressions.within(way, this.tokens.longest)));
        state.like.allowed ??= this._walk(state.like, Infinity);
        return state.like.allowed;
    }

    /**
     * @param {State} state
     * @param {number} most tokens that may come after this one
     * @returns {Uint32Array}
     */
    _walk(state, most) {
        const { ids, bytes, starts, common, size } = this.tokens;
        const allowed = new Uint32Array(Math.ceil(size / 32));
        const path = this._path;
        path[0] = state;
        // Tokens are sorted: one that has the first `dead` bytes in common with the last one fails where that failed.
        let dead = Infinity;
        for (let i = 0; i < ids.length; i++) {
            let depth = common[i];
            if (depth >= dead) {
                continue;
            }
            dead = Infinity;
            const length = starts[i + 1] - starts[i];
            for (; depth < length; depth++) {
                const next = this.step(path[depth], bytes[starts[i] + depth]);
                if (next === null) {
                    dead = depth + 1;
                    break;
                }
                path[depth + 1] = next;
            }
            if (depth === length && path[length].fewest <= most && path[length].fewest < Infinity) {
                allowed[ids[i] >>> 5] |= 1 << (ids[i] & 31);
            }
        }
        return allowed;
    }
}
