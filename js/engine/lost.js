// WorkerLostError: what a call gets that a worker took with it.

/**
 * A worker was lost (it trapped, was ended or hung) while this call was being computed, and the call with it. The
 * runtime goes on: the next call works, and a new worker is started. A cache that the call was to update may hold some
 * of the new positions; making the call again writes them all.
 */
export class WorkerLostError extends Error {
    /** @param {string} reason */
    constructor(reason) {
        super(`a worker was lost, and this call with it; later calls go on: ${reason}`);
        this.name = 'WorkerLostError';
    }
}
