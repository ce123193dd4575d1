/** The page's end of the worker: starts it, sends commands, and notices when it goes silent. */

import { moduleWorker } from './support.js';

/** @import { Command, Report } from './messages.js' */

const SILENCE_MS = 10_000;
/** After these the worker waits for the page. @type {Report['type'][]} */
const FINAL = ['ready', 'done', 'rows', 'error'];

export class Client {
    /**
     * @param {(message: Report) => void} onReport
     * @param {(reason: string) => void} onDeath the worker is of no use any more; start() makes a new one
     * @param {(seconds: number) => void} onSilence it owes an answer, and may yet give it
     */
    constructor(onReport, onDeath, onSilence) {
        this.onReport = onReport;
        this.onDeath = onDeath;
        this.onSilence = onSilence;
        /** @type {Worker | null} */
        this.worker = null;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.timer = undefined;
    }

    /** Ends the worker there may be, and starts another. */
    start() {
        this.end();
        const worker = this.worker = moduleWorker(new URL('./generator.js', import.meta.url));
        worker.onmessage = ({ data }) => {
            if (worker !== this.worker) return;
            this.watch(!FINAL.includes(data.type));
            this.onReport(data);
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
    }

    /** @param {Command} command */
    send(command) {
        this.worker?.postMessage(command);
        if (command.type !== 'stop') this.watch(true);
    }

    /** @param {boolean} busy whether the worker owes the page a message */
    watch(busy) {
        clearTimeout(this.timer);
        if (busy) this.timer = setTimeout(() => this.onSilence(SILENCE_MS / 1000), SILENCE_MS);
    }

    /** @param {string} reason */
    die(reason) {
        this.end();
        this.onDeath(reason);
    }
}
