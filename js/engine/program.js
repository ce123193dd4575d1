// The recorder of programs: operations in the layout of src/cmha.h, written straight into the runtime's memory, and
// what they need for as long as they run: scratch space, inputs copied in, blocks for results.

import { ATTENTION, CACHE, CACHE_WORDS, FLAG, KEPT, OP, OP_WORDS, PAGE, PANEL } from './interface.js';
import { Given } from './given.js';
import { checkedSize, sizeOf } from './size.js';
import { Tensor, bytesPerElement } from './tensor.js';

/** @typedef {import('./runtime.js').Runtime} Runtime */
/** @typedef {import('./tensor.js').TensorLike} TensorLike */
/** @typedef {import('./tensor.js').DType} DType */

const INITIAL_OPERATIONS = 128;
/** First word of an operation's arguments. */
const ARGUMENTS = ATTENTION.q;
const SCRATCH_CHUNK = 64 * 1024;

/**
 * The program being recorded; a runtime has one and uses it again and again.
 *
 * Operations are appended with append(), which returns the index of a zeroed operation's first word; its fields are then written
 * with the tables of js/engine/interface.js, of an attention before attentionDone():
 *
 *     const x = program.input(query), y = program.scratch(4 * rows * n);
 *     const op = program.append(KIND.LINEAR), words = program.words;
 *     words[op + LINEAR.x] = x;
 *
 * Anything that may allocate (input, scratch, result, appending an operation) may also make the memory grow: take
 * `words` and `floats` afterwards. An operation must be complete before the next one is appended.
 */
export class Program {
    #runtime;
    #memory;
    /** Address of the operations, and how many fit. */
    #address = 0;
    #capacity = 0;
    /** Operations from the first on that hold what earlier programs wrote; those after them are zero. */
    #written = 0;
    /**
     * Chunks of the scratch region. There is one, kept from call to call until the memory is needed for something else; a call
     * that needs more adds chunks, which the next call finds as one. @type {number[]}
     */
    #chunks = [];
    #chunkAt = 0;
    #chunkEnd = 0;
    #scratchUsed = 0;
    #scratchReserved = 0;
    /** Results of the program; the array is never shortened, which would make the engine allocate it anew. */
    #results = /** @type {(Tensor | null)[]} */ ([]);
    #resultCount = 0;
    /** What keep() was told: the program's serial, its operations, and where its scratch ends. */
    #kept = { serial: 0, count: 0, end: 0 };

    /** @param {Runtime} runtime */
    constructor(runtime) {
        this.#runtime = runtime;
        this.#memory = runtime.memory;
        /** Number of operations recorded. */
        this.count = 0;
        /** Counts programs, so that a tensor can tell whether this one uses it. */
        this.serial = 1;
        this.#reserve(INITIAL_OPERATIONS);
    }

    /** Address of the first operation. */
    get address() {
        return this.#address;
    }

    /** The whole memory as 32-bit words; not to be kept (see above). */
    get words() {
        return this.#memory.words;
    }

    /** The whole memory as floats; not to be kept (see above). */
    get floats() {
        return this.#memory.floats;
    }

    /**
     * Appends an operation; an attention wants attentionDone() once its fields are written.
     * @param {number} kind of KIND
     * @param {number} [flags]  FLAG.CONCURRENT: need not wait for the operations ahead of it
     * @returns {number} index of the operation's first word
     */
    append(kind, flags = 0) {
        if (this.count === this.#capacity) {
            this.#reserve(2 * this.#capacity);
        }
        const { words } = this.#memory;
        const first = this.#address / 4;
        if (this.count === 0) {
            words.fill(0, first, first + this.#written * OP_WORDS); // all in one go: a call of fill() costs more than it does
            this.#written = 0;
        }
        const op = first + this.count * OP_WORDS;
        words[op + OP.kind] = kind;
        words[op + OP.flags] = this.count === 0 ? flags & ~FLAG.CONCURRENT : flags;
        this.count++;
        return op;
    }

    /**
     * Completes an attention: gives it its scratch and appends its second phase, which a long cache needs.
     * @param {number} op  what append() returned, every field written but `scratch`
     */
    attentionDone(op) {
        const { wasm, threads } = this.#runtime;
        const bytes = wasm.cmha_op_scratch(4 * op, threads);
        if (bytes === 0) {
            return; // a second phase reads what the first has left in scratch
        }
        const address = this.scratch(bytes);
        this.words[op + ATTENTION.scratch] = address;
        const next = wasm.cmha_op_next(4 * op);
        if (next !== 0) {
            const offset = op - this.#address / 4;
            const second = this.append(next, 0);
            const from = this.#address / 4 + offset;
            this.words.copyWithin(second + ARGUMENTS, from + ARGUMENTS, from + OP_WORDS);
        }
    }

    /**
     * Space that is valid until the program has run.
     * @param {number} bytes
     * @returns {number} its address, a multiple of 64; the contents are whatever was there
     */
    scratch(bytes) {
        const size = Math.ceil(bytes / 64) * 64;
        // The other way round NaN and what is below 0 would pass; like this the memory refuses them.
        if (!(size >= 0 && this.#chunkAt + size <= this.#chunkEnd)) {
            this.#addChunk(size);
        }
        const address = this.#chunkAt;
        this.#chunkAt += size;
        this.#scratchUsed += size;
        return address;
    }

    /**
     * A cache in scratch, for keys and values that are not kept.
     * @param {number} batch
     * @param {number} length  positions
     * @param {number} heads  of keys and values
     * @param {number} keyDim
     * @param {number} valueDim
     * @returns {number} its address; the contents are whatever was there
     */
    cache(batch, length, heads, keyDim, valueDim) {
        const page = Math.min(PAGE, Math.ceil(length / PANEL) * PANEL);
        const rowPages = Math.ceil(length / page);
        const bytes = this.#runtime.wasm.cmha_cache_page_bytes(KEPT.F32, page, heads, keyDim, valueDim);
        const pages = this.scratch(batch * rowPages * bytes);
        const table = this.scratch(4 * batch * rowPages);
        const address = this.scratch(4 * CACHE_WORDS);
        const { words } = this.#memory;
        for (let i = 0; i < batch * rowPages; i++) {
            words[table / 4 + i] = pages + i * bytes;
        }
        const at = address / 4;
        words[at + CACHE.pages] = table;
        words[at + CACHE.rowPages] = rowPages;
        words[at + CACHE.page] = page;
        words[at + CACHE.heads] = heads;
        words[at + CACHE.d] = keyDim;
        words[at + CACHE.v] = valueDim;
        words[at + CACHE.type] = KEPT.F32;
        return address;
    }

    /**
     * Makes a tensor's data available to the operations: a Tensor of this runtime lies where they can read it, anything
     * else is copied into scratch.
     * @param {TensorLike} tensor  checked by asTensorLike(), or of the package's own making
     * @returns {number} address of its first element
     */
    input(tensor) {
        if (tensor instanceof Tensor && tensor._runtime === this.#runtime && tensor._address !== 0) {
            tensor._usedBy = this.serial;
            if (tensor._live && !this.#runtime._blocks) {
                return this.#copy(tensor);
            }
            return tensor._address;
        }
        const given = tensor instanceof Given ? tensor : Given.read(tensor.shape, tensor.data, 'input');
        const address = this.scratch(given.byteLength);
        given.write(this.#memory, address);
        return address;
    }

    /**
     * Copies a tensor that the user can write to, for a call that returns before it has been computed.
     * @param {Tensor} tensor
     * @returns {number}
     */
    #copy(tensor) {
        const { _address: from, byteLength } = tensor;
        const address = this.scratch(byteLength);
        this.#memory.bytes.copyWithin(address, from, from + byteLength);
        return address;
    }

    /**
     * A tensor for the program to write. It becomes an ordinary result once the program has run, and is freed if it
     * does not.
     * @param {readonly number[]} shape  kept as it is: pass a frozen array
     * @param {DType} dtype
     * @param {number} [size] numbers that the shape has, for those who know
     * @returns {Tensor} resident; `_address` is where its elements go
     */
    result(shape, dtype, size = sizeOf(shape, 'the result')) {
        const bytes = checkedSize('the result', size, bytesPerElement(dtype));
        const address = this.#memory.alloc(bytes);
        const tensor = Tensor._result(this.#runtime, shape, dtype, address);
        tensor._usedBy = this.serial;
        this.#results[this.#resultCount++] = tensor;
        return tensor;
    }

    /**
     * Multiply-adds, about: decides whether waking other threads can pay. It depends on shapes alone, never on timing.
     * @returns {number}
     */
    work() {
        return this.#runtime.wasm.cmha_program_work(this.#address, this.count);
    }

    /**
     * Says that what has been recorded so far is to run again: resume() can bring it back as long as nothing else has been recorded.
     * A program with results cannot be kept: each result belongs to one run.
     * @returns {number} what to give to resume()
     */
    keep() {
        this.#kept.serial = this.serial;
        this.#kept.count = this.count;
        this.#kept.end = this.#chunkAt;
        return this.serial;
    }

    /**
     * Instead of recording: brings back the operations that were kept, and what their scratch space holds.
     * @param {number} kept what keep() gave
     * @returns {boolean} whether that was possible; if not, the program is empty and has to be recorded
     */
    resume(kept) {
        const { serial, count, end } = this.#kept;
        if (kept !== serial || serial + 1 !== this.serial || this.count > 0 || this.#chunks.length !== 1) {
            return false;
        }
        this.count = count;
        this.#chunkAt = end;
        this.#scratchUsed = end - this.#chunks[0];
        return true;
    }

    /** The program has run: its scratch is free again, its results are handed to the keeper of unread results. */
    _complete() {
        const { _results } = this.#runtime;
        for (let i = 0; i < this.#resultCount; i++) {
            _results.add(/** @type {Tensor} */ (this.#results[i]));
        }
        this.#reset();
    }

    /**
     * The program will not run, or not to its end: its results and its scratch space are taken back.
     * @param {boolean} lingers  a worker that was lost may still be running it: what that worker may write to is not used again
     *   before the runtime frees it
     */
    _abandon(lingers) {
        this.#kept.serial = 0;
        for (let i = 0; i < this.#resultCount; i++) {
            this.#results[i]?.dispose();
        }
        if (lingers) {
            this.#leaveBehind();
        }
        this.#reset();
    }

    /** Gives up the scratch region, and the operations, in which that worker may still count down its tasks. */
    #leaveBehind() {
        for (const chunk of this.#chunks.splice(0)) {
            this.#runtime._free(chunk);
        }
        this.#chunkAt = 0;
        this.#chunkEnd = 0;
        this.#written = this.count;
        this.count = 0;
        try {
            this.#reserve(this.#capacity); // the old ones are never used again, see there
        } catch {
            // No room for others: that worker's count may then make the next call stall, and be given up too.
        }
    }

    #reset() {
        while (this.#resultCount > 0) {
            this.#results[--this.#resultCount] = null;
        }
        this.#written = Math.max(this.#written, this.count);
        this.count = 0;
        this.serial++;
        if (this.#chunks.length > 1) {
            // One chunk of the whole size from the next call on.
            this.#freeChunks();
            this.#scratchReserved = this.#scratchUsed;
        }
        this.#chunkAt = this.#chunks.length === 1 ? this.#chunks[0] : 0;
        this.#scratchUsed = 0;
    }

    /** Bytes of the scratch region while it is only kept for the next call. */
    get spareBytes() {
        return this.#scratchUsed > 0 || this.#chunks.length === 0 ? 0 : this.#memory.sizeOf(this.#chunks[0]);
    }

    /**
     * Gives back the scratch region, which is kept for the next call, unless something of it is in use.
     * @returns {boolean} whether anything was freed
     */
    _giveBack() {
        if (this.spareBytes === 0) {
            return false;
        }
        this.#freeChunks();
        // The calls after a large one reserve what they need, not what it needed.
        this.#scratchReserved = 0;
        return true;
    }

    #freeChunks() {
        for (const chunk of this.#chunks) {
            this.#memory.free(chunk);
        }
        this.#chunks.length = 0;
        this.#chunkAt = 0;
        this.#chunkEnd = 0;
        this.#kept.serial = 0;
    }

    /** @param {number} size  that the next piece takes */
    #addChunk(size) {
        const first = this.#chunks.length === 0;
        let bytes = Math.max(size, SCRATCH_CHUNK, first ? this.#scratchReserved : 0);
        // What goes beyond the need of the moment is taken only where nobody has to give up anything for it.
        let chunk = this.#memory.offer(bytes);
        if (chunk === 0) {
            bytes = size;
            chunk = this.#memory.alloc(bytes);
        }
        this.#chunks.push(chunk);
        this.#chunkAt = chunk;
        this.#chunkEnd = chunk + bytes;
    }

    /**
     * Makes room for so many operations. The old ones stay allocated: a worker that wakes late may still look at their claim words,
     * which must never become anything else. Sizes double, so this costs at most as much again.
     * @param {number} operations
     */
    #reserve(operations) {
        const address = this.#memory.alloc(operations * OP_WORDS * 4);
        const words = this.#memory.words;
        words.fill(0, address / 4, address / 4 + operations * OP_WORDS);
        if (this.count > 0) {
            const from = this.#address / 4;
            words.copyWithin(address / 4, from, from + this.count * OP_WORDS);
        }
        this.#address = address;
        this.#capacity = operations;
        this.#written = 0;
    }
}
