// The workers that a test starts, so that it can end them.

import { createRequire, syncBuiltinESMExports } from 'node:module';

/** Notes every worker that is started while it is in force. */
export function noteWorkers() {
    const threads = createRequire(import.meta.url)('node:worker_threads');
    const { Worker } = threads;
    /** @type {import('node:worker_threads').Worker[]} */
    const started = [];
    threads.Worker = class extends Worker {
        constructor(/** @type {any[]} */ ...args) {
            super(...args);
            started.push(/** @type {import('node:worker_threads').Worker} */ (/** @type {unknown} */ (this)));
            this.once('exit', () => void started.splice(started.indexOf(/** @type {any} */ (this)), 1));
        }
    };
    syncBuiltinESMExports();
    const end = () => {
        threads.Worker = Worker;
        syncBuiltinESMExports();
    };
    return { started, end };
}
