/** The page's end of the worker: starts it, sends commands, and notices when it goes silent. */

import { moduleWorker } from './support.js';

/** @import { Command, Report } from './messages.js' */

const SILENCE_MS = 10_000;

/** After these the worker waits for the page. @type {Report['type'][]} */
const FINAL = ['ready', 'done', 'rows', 'distribution', 'lens', 'probabilities', 'score', 'kept', 'explained', 'error'];

/** @typedef {{ run: number, onReport: (report: any) => void, resolve: (report: any) => void }} Running */

/**
 * A command at a time: whoever gives one hears its reports, and gets the last of them; null when another command took its
 * place, or the worker is gone.
 */
export class Client {
    /**
     * @param {(reason: string) => void} onDeath the worker is of no use any more; start() makes a new one
     * @param {(seconds: number) => void} onSilence it owes an answer, and may yet give it; 0: there it is
     */
    constructor(onDeath, onSilence) {
        this.onDeath = onDeath;
        this.onSilence = onSilence;
        /** @type {Worker | null} */
        this.worker = null;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.timer = undefined;
        this.isSilent = false;
        this.runs = 0;
        /** @type {Running | null} */
        this.running = null;
    }

    /** Ends the worker there may be, and starts another. */
    start() {
        this.end();
        const worker = this.worker = moduleWorker(new URL('./generator.min.js', import.meta.url));
        worker.onmessage = ({ data: { run, message } }) => {
            if (worker === this.worker) this.hear(run, message);
        };
        worker.onerror = event => {
            event.preventDefault();
            if (worker !== this.worker) return;
            this.die(event.message || 'its script, or one that it imports, could not be loaded');
        };
        worker.onmessageerror = () => worker === this.worker && this.die('a message from it could not be read');
    }

    end() {
        clearTimeout(this.timer);
        this.worker?.terminate();
        this.worker = null;
        this.giveUp();
    }

    /** Whoever waits for a command waits no longer. */
    giveUp() {
        const { running } = this;
        this.running = null;
        running?.resolve(null);
    }

    /**
     * @template {Report['type']} T the last report
     * @param {Command} command
     * @param {(report: Report) => void} [onReport] is told all but the last
     * @returns {Promise<Extract<Report, { type: T | 'error' }> | null>}
     */
    ask(command, onReport = () => {}) {
        this.giveUp();
        const { worker } = this;
        const run = ++this.runs;
        this.watch(worker !== null);
        if (!worker) return Promise.resolve(null);
        try {
            worker.postMessage({ run, command });
        } catch (error) {
            // What cannot be sent fails as what the worker refuses does; nobody waits any more for the command before it.
            this.stop();
            this.watch(false);
            const message = `The worker cannot be sent this: ${error instanceof Error ? error.message : error}`;
            return Promise.resolve(/** @type {any} */ ({ type: 'error', message, cancelled: false }));
        }
        return new Promise(resolve => {
            this.running = { run, onReport, resolve };
        });
    }

    /** The command that runs ends as soon as it can, and says so. */
    stop() {
        this.worker?.postMessage({ run: 0, command: null });
    }

    /**
     * @param {number} run
     * @param {Report} report
     */
    hear(run, report) {
        if (this.isSilent) this.onSilence(0);
        this.isSilent = false;
        if (run !== this.running?.run) return;
        const { onReport, resolve } = this.running;
        const isLast = FINAL.includes(report.type) || (report.type === 'map' && report.isLast);
        this.watch(!isLast);
        if (!isLast) return onReport(report);
        this.running = null;
        resolve(report);
    }

    /** @param {boolean} busy whether the worker owes the page a message */
    watch(busy) {
        clearTimeout(this.timer);
        if (busy) this.timer = setTimeout(() => this.fallSilent(), SILENCE_MS);
    }

    fallSilent() {
        this.isSilent = true;
        this.onSilence(SILENCE_MS / 1000);
    }

    /** @param {string} reason */
    die(reason) {
        this.end();
        this.onDeath(reason);
    }
}
