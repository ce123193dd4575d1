// The workers of a pool: how they start, how one that is lost is dismissed and another started in its place, a few times,
// and how all end. What they run is the pool's business.

import { Member, STACK_BYTES } from './member.js';
import { MESSAGE } from './protocol.js';
import { spawn } from './spawn.js';

/** @typedef {import('./control.js').Control} Control */
/** @typedef {import('./memory.js').Memory} Memory */

/** A worker's script may have to be downloaded; what forbids it or lacks it is told by an event long before this. */
const START_TIMEOUT_MS = 20_000;

/** Times in a row that a worker is started in the place of one that has done nothing yet. */
const MOST_TRIES = 4;

/** Programs after which a worker counts as one that works. */
const ENOUGH_JOINED = 3;

/**
 * @typedef {object} CrewOptions
 * @property {Memory} memory
 * @property {WebAssembly.Module} module
 * @property {Control} control
 * @property {boolean} reportsDone  whether a worker that completes a program says so
 * @property {import('./spawn.js').WorkerSource} [script]  instead of js/engine/worker.js
 * @property {number} [startTimeout]  ms, for tests
 * @property {(epoch: number) => void} onDone  a worker has completed that program
 * @property {(reason: string, held: boolean) => void} onLost  a worker is not counted on any more; whether it was in the middle of a
 *   program, to whose memory it may still write: `lingers` says how long
 */

/** Workers. */
export class Crew {
    #options;
    /** Those at work. @type {Member[]} */
    #members = [];
    /** Those that were dismissed in the middle of a program. @type {Member[]} */
    #lingering = [];
    /** Those that are starting, and what gives up on each. @type {Map<Member, (reason: string) => void>} */
    #starting = new Map();
    #ended = false;
    /** What could not be had again, and why. @type {string[]} */
    notes = [];

    /** @param {CrewOptions} options */
    constructor(options) {
        this.#options = options;
    }

    /** Workers that can be counted on now. */
    get count() {
        return this.#members.length;
    }

    /** Whether one of them may be in the middle of a program. */
    get busy() {
        return this.#members.some((member) => member.busy);
    }

    /** Whether one that has been lost may still write to the memory of the program that it was lost in. */
    get lingers() {
        if (this.#lingering.length > 0) {
            this.#lingering = this.#lingering.filter((member) => member.lingers);
        }
        return this.#lingering.length > 0;
    }

    /**
     * Starts workers and waits until each has said that it is ready.
     * @param {number} wanted
     * @throws {Error} naming the worker and the reason when one does not start; none is left running then
     * @throws {RangeError} when the memory has no room for their stacks
     */
    async start(wanted) {
        /** @type {Member[]} */
        const first = [];
        try {
            for (let i = 1; i <= wanted; i++) {
                first.push(new Member(this.#options.memory, i, `worker ${i} of ${wanted}`));
            }
        } catch (error) {
            first.forEach((member) => member.leave());
            throw error;
        }
        const starts = first.map((member) => this.#start(member));
        try {
            await Promise.all(starts);
        } catch (error) {
            this.end();
            await Promise.allSettled(starts);
            throw error;
        }
    }

    /**
     * @param {Member} member
     * @returns {Promise<void>}
     */
    #start(member) {
        const { memory, module, control, reportsDone, script, startTimeout = START_TIMEOUT_MS, onDone } = this.#options;
        return new Promise((resolve, reject) => {
            let ready = false;
            /** @param {string} reason */
            const fail = (reason) => {
                settled();
                if (ready) {
                    this.#lose(member, reason);
                } else {
                    member.dismiss();
                    reject(new Error(`createRuntime: ${member.name} did not start: it ${reason}`));
                }
            };
            const timer = setTimeout(() => fail(`was silent for ${startTimeout} ms`), startTimeout);
            const settled = () => {
                clearTimeout(timer);
                this.#starting.delete(member);
            };
            this.#starting.set(member, fail);
            const onMessage = (/** @type {any} */ message) => {
                if (message?.type === MESSAGE.READY && this.#starting.has(member)) {
                    settled();
                    ready = true;
                    this.#members.push(member);
                    member.thread?.idle();
                    resolve();
                } else if (message?.type === MESSAGE.DONE) {
                    onDone(message.epoch);
                } else if (message?.type === MESSAGE.FAILED) {
                    fail(`failed: ${message.reason}`);
                }
            };
            spawn({ onMessage, onEnd: fail, onGone: () => member.leave() }, script).then((thread) => {
                member.thread = thread;
                if (member.tries > 0) {
                    thread.idle(); // nobody waits for one that stands in for another
                }
                if (!this.#starting.has(member)) {
                    thread.end();
                    return;
                }
                thread.post({
                    type: MESSAGE.START,
                    module,
                    memory: memory.handle,
                    stackTop: member.stack + STACK_BYTES,
                    control: control.address,
                    report: control.report,
                    life: member.life,
                    thread: member.number,
                    reportsDone,
                });
            }).catch((error) => {
                fail(`could not be created: ${error?.message ?? error}`);
                member.leave(); // nothing runs on its stack
            });
        });
    }

    /**
     * A worker is not counted on any more, and another is started in its place.
     * @param {Member} member
     * @param {string} reason
     */
    #lose(member, reason) {
        const at = this.#members.indexOf(member);
        if (at < 0 || this.#ended) {
            return;
        }
        this.#members.splice(at, 1);
        const held = member.busy;
        member.dismiss();
        if (held) {
            this.#lingering.push(member);
        }
        const loss = `${member.name} ${reason}`;
        this.#replace(member, loss);
        this.#options.onLost(loss, held);
    }

    /** @param {(member: Member) => boolean} which of those that are counted on are lost @param {string} reason */
    lose(which, reason) {
        for (const member of this.#members.filter(which)) {
            this.#lose(member, reason);
        }
    }

    /**
     * @param {Member} lost
     * @param {string} reason
     */
    #replace(lost, reason) {
        const tries = lost.joined >= ENOUGH_JOINED ? 1 : lost.tries + 1;
        if (this.#ended) {
            return;
        }
        try {
            if (tries > MOST_TRIES) {
                throw new Error(`and ${MOST_TRIES} more in its place`);
            }
            const member = new Member(this.#options.memory, lost.number, lost.name);
            member.tries = tries;
            this.#start(member).catch((error) => this.#replace(member, error.message));
        } catch (error) {
            this.notes.push(`a worker less: ${reason}, ${/** @type {Error} */ (error).message}`);
        }
    }

    /** Ends them all, and whatever is starting. */
    end() {
        this.#ended = true;
        for (const giveUp of [...this.#starting.values()]) {
            giveUp('was ended');
        }
        for (const member of this.#members) {
            member.dismiss();
        }
        this.#members.length = 0;
    }
}
