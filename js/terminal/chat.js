// cached-attention chat: a conversation, turn by turn. On a terminal with a prompt and line editing; from a pipe each
// line is a turn and the answers alone go out.

import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { speed, stream } from './generate.js';
import { printable, textFor } from './sanitize.js';

/**
 * @typedef {object} Terminal
 * @property {NodeJS.ReadableStream & { isTTY?: boolean }} input
 * @property {import('./generate.js').Output & { columns?: number }} output the answers
 * @property {import('./generate.js').Output} notes everything else
 */

const PROMPT = '> ';
const HINT = 'Ctrl-C stops an answer, a second one leaves; so does Ctrl-D.\n';

/** The lines that are typed. While an answer is written what is typed is not shown, but kept. */
class Lines {
    /** @type {string[]} typed ahead */
    #waiting = [];
    /** @type {((line: string | null) => void) | null} */
    #wanted = null;
    #closed = false;
    #shown = false;
    #isTerminal;

    /**
     * @param {Terminal} terminal
     * @param {() => void} onInterrupt Ctrl-C, which on a terminal is a key while lines are read
     */
    constructor({ input, output }, onInterrupt) {
        this.#isTerminal = Boolean(input.isTTY && output.isTTY);
        // readline asks its output for the terminal's width, to know where a long line goes on.
        const echo = Object.defineProperty(new Writable({
            write: (chunk, _, done) => {
                if (this.#shown) output.write(chunk);
                done();
            },
        }), 'columns', { get: () => output.columns });
        const terminal = this.#isTerminal;
        this.reader = createInterface({ input, output: terminal ? echo : undefined, terminal });
        this.reader.setPrompt(PROMPT);
        this.reader.on('line', (line) => this.#arrived(line));
        this.reader.on('close', () => {
            this.#closed = true;
            this.#wanted?.(null);
        });
        this.reader.on('SIGINT', onInterrupt);
    }

    /** @param {string} line */
    #arrived(line) {
        this.#shown = false;
        // Several lines may come at once: the first answers the question, the others wait.
        const wanted = this.#wanted;
        this.#wanted = null;
        if (wanted) wanted(line);
        else this.#waiting.push(line);
    }

    /** @returns {Promise<string | null>} the next line; null when there is none any more */
    async next() {
        const waiting = this.#waiting.shift();
        if (waiting !== undefined) {
            if (this.#isTerminal) this.echo(`${PROMPT}${printable(waiting)}\n`);
            return waiting;
        }
        if (this.#closed) return null;
        this.#shown = true;
        if (this.#isTerminal) this.reader.prompt(true);
        const line = await new Promise((/** @type {(line: string | null) => void} */ resolve) => {
            this.#wanted = resolve;
        });
        this.#shown = false;
        return line;
    }

    /** Shows a line that was typed ahead. @type {(text: string) => void} */
    echo = () => {};

    close() {
        this.reader.close();
    }
}

/** A conversation with a model. */
export class Chat {
    #model;
    #options;
    #terminal;
    #cache;
    #lines;
    /** @type {{ role: string, content: string }[]} */
    messages;
    /** @type {AbortController | null} of the answer that is being written */
    #answering = null;
    /** Aborted when the user leaves. */
    #left = new AbortController();
    /** @type {Promise<null>} comes then: a model that does not stop is not waited for */
    #leaving = new Promise((resolve) => {
        this.#left.signal.addEventListener('abort', () => resolve(null));
    });

    /**
     * @param {any} model
     * @param {Record<string, any>} options of generate()
     * @param {Terminal} terminal
     * @param {string} [system] what the conversation begins with
     */
    constructor(model, options, terminal, system) {
        this.#model = model;
        this.#options = options;
        this.#terminal = terminal;
        this.messages = system === undefined ? [] : [{ role: 'system', content: system }];
        this.#check();
        this.#cache = model.createCache();
        this.#lines = new Lines(terminal, () => this.interrupt());
        this.#lines.echo = (text) => terminal.output.write(text);
    }

    /** A model that cannot chat says so now, not after the first line. */
    #check() {
        if (!this.#model.tokenizer) throw new Error('this model has no tokenizer, and a chat needs one');
        this.#model.tokenizer.applyChatTemplate([...this.messages, { role: 'user', content: 'Hi' }]);
    }

    /** Ctrl-C: stops the answer; leaves where there is none, or where one is already stopping. */
    interrupt() {
        if (this.#answering && !this.#answering.signal.aborted) this.#answering.abort();
        else this.leave();
    }

    /** Ends the conversation, whatever it is at. */
    leave() {
        this.#answering?.abort();
        this.#left.abort();
        this.#lines.close();
    }

    /** @returns {Promise<boolean>} once the input has ended (true) or Ctrl-C has left (false) */
    async run() {
        const { input, notes } = this.#terminal;
        if (input.isTTY) notes.write(HINT);
        try {
            for (;;) {
                const line = await this.#lines.next();
                if (this.#left.signal.aborted) return false;
                if (line === null) return true;
                if (line.trim() !== '') await this.#turn(line);
                if (this.#left.signal.aborted) return false;
            }
        } finally {
            // The cursor stands behind a prompt, or in an answer.
            if (this.#terminal.output.isTTY) this.#terminal.output.write('\n');
            this.#lines.close();
            // An answer that did not stop may still use it; the runtime, which frees everything, comes next.
            if (!this.#left.signal.aborted) this.#cache.dispose();
        }
    }

    /** @param {string} line */
    async #turn(line) {
        const { input, output, notes } = this.#terminal;
        const count = this.messages.push({ role: 'user', content: line });
        const answer = { role: 'assistant', content: '' };
        this.#answering = new AbortController();
        const { signal } = this.#answering;
        try {
            const items = this.#model.generate([...this.messages], { ...this.#options, cache: this.#cache, signal });
            const writing = stream(items, output, signal, (text) => { answer.content += text; });
            const result = await Promise.race([writing.catch((error) => stopped(error, signal)), this.#leaving]);
            output.write('\n');
            notes.write(result && !signal.aborted ? `(${speed(result)})\n` : '(stopped)\n');
            // What was written before Ctrl-C stays said.
            this.messages.push(answer);
        } catch (error) {
            // A conversation that goes on must not hold a turn without an answer; from a pipe it does not go on.
            this.messages.length = count - 1;
            if (!input.isTTY) throw error;
            notes.write(`\n${textFor(notes, /** @type {Error} */ (error).message)}\n`);
        } finally {
            this.#answering = null;
        }
    }
}

/** @param {unknown} error @param {AbortSignal} signal @returns {null} after Ctrl-C; anything else goes on */
function stopped(error, signal) {
    if (!signal.aborted) throw error;
    return null;
}
