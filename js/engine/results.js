// The keeper of unread results: bounds what they hold of the runtime's memory, without the user disposing of anything.

/** @typedef {import('./tensor.js').Tensor} Tensor */

/** Unread results may hold this much, or twice the largest of them. */
const BUDGET = 1024 * 1024;

/** Small results leave together, but not more than this: one that is kept unread keeps its batch. */
const BATCH = 256 * 1024;

/**
 * Unread results from the oldest to the youngest, a list threaded through the tensors themselves. It is the only thing
 * that refers to a result that its user has dropped; finalizers would cost more than the results do.
 */
export class Results {
    /** @type {Tensor | null} */
    #oldest = null;
    /** @type {Tensor | null} */
    #youngest = null;
    #largest = 0;

    /** @param {import('./memory.js').Memory} memory */
    constructor(memory) {
        this.memory = memory;
        /** What they take of the memory. */
        this.bytes = 0;
    }

    /** @param {Tensor} tensor  a result that has just been written; one that has been read already needs no keeping */
    add(tensor) {
        if (tensor._address === 0) {
            return;
        }
        const bytes = this.memory.sizeOf(tensor._address);
        tensor._older = this.#youngest;
        if (this.#youngest) {
            this.#youngest._younger = tensor;
        } else {
            this.#oldest = tensor;
            this.#largest = 0;
        }
        this.#youngest = tensor;
        this.bytes += bytes;
        this.#largest = Math.max(this.#largest, bytes);
        const budget = Math.max(BUDGET, 2 * this.#largest);
        if (this.bytes > budget) {
            this.#moveOut(budget / 2, 0);
        }
    }

    /** @param {Tensor} tensor  one that is read, disposed of, or about to be moved out */
    remove(tensor) {
        const { _older: older, _younger: younger } = tensor;
        if (!older && this.#oldest !== tensor) {
            return; // not handed over yet: its program has not run
        }
        if (older) {
            older._younger = younger;
        } else {
            this.#oldest = younger;
        }
        if (younger) {
            younger._older = older;
        } else {
            this.#youngest = older;
        }
        tensor._older = null;
        tensor._younger = null;
        this.bytes -= this.memory.sizeOf(tensor._address);
    }

    /**
     * Moves out all that can be, because the memory is needed for something else.
     * @param {number} serial  of the program being recorded: what it reads must stay where it is
     * @returns {boolean} whether anything was freed
     */
    evict(serial) {
        const before = this.bytes;
        this.#moveOut(0, serial);
        return this.bytes < before;
    }

    /**
     * Moves the oldest out until no more than `target` is left.
     * @param {number} target
     * @param {number} serial  tensors used by this program stay
     */
    #moveOut(target, serial) {
        const all = [];
        let left = this.bytes;
        for (let tensor = this.#oldest; tensor && left > target; tensor = tensor._younger) {
            if (serial === 0 || tensor._usedBy !== serial) {
                left -= this.memory.sizeOf(tensor._address);
                all.push(tensor);
            }
        }
        for (let first = 0; first < all.length;) {
            let end = first;
            let words = 0;
            do {
                words += Math.ceil(all[end++].byteLength / 4);
            } while (end < all.length && 4 * words + all[end].byteLength <= BATCH);
            const batch = new Uint32Array(words);
            let word = 0;
            for (; first < end; first++) {
                const tensor = all[first];
                this.remove(tensor);
                tensor._moveTo(batch, word);
                word += Math.ceil(tensor.byteLength / 4);
            }
        }
        this.#largest = 0;
        for (let tensor = this.#oldest; tensor; tensor = tensor._younger) {
            this.#largest = Math.max(this.#largest, this.memory.sizeOf(tensor._address));
        }
    }
}
