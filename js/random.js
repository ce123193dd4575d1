// The layer's own random numbers. Keras's streams differ from backend to backend, so there is none to reproduce: what
// is kept is the distribution, and that a seed decides the stream. xoshiro128** (Blackman & Vigna 2018, "Scrambled
// linear pseudorandom number generators"), its state filled by splitmix32 from a seed of 53 bits.

/** @returns {number} a seed of 32 random bits */
export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

/**
 * One 32-bit number from another, every bit of it depending on every bit given (the finalizer of MurmurHash3).
 * @param {number} value
 * @returns {number} 0 <= result < 2^32
 */
export function scramble(value) {
    let x = value | 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return (x ^ (x >>> 16)) >>> 0;
}

/** A seeded stream of numbers. */
export class Random {
    /** @param {number} seed a safe integer, of either sign */
    constructor(seed) {
        const state = new Uint32Array(4);
        const high = Math.floor(seed / 2 ** 32) | 0;
        let counter = (seed | 0) ^ scramble(high);
        for (let i = 0; i < 4; i++) {
            counter = (counter + 0x9e3779b9) | 0;
            state[i] = scramble(counter);
        }
        this._state = state;
        /** The second of a pair of normal numbers, not yet handed out. */
        this._spare = NaN;
    }

    /** @returns {number} 32 random bits as an unsigned integer */
    bits() {
        const s = this._state;
        const scaled = Math.imul(s[1], 5);
        const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0;
        const shifted = s[1] << 9;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = (s[3] << 11) | (s[3] >>> 21);
        return result;
    }

    /** @returns {number} uniform in [0, 1), a multiple of 2^-53 */
    uniform() {
        return ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) * 2 ** -53;
    }

    /** @returns {number} normal, mean 0, standard deviation 1 (Marsaglia's polar method) */
    normal() {
        const spare = this._spare;
        if (spare === spare) {
            this._spare = NaN;
            return spare;
        }
        for (;;) {
            const x = 2 * this.uniform() - 1;
            const y = 2 * this.uniform() - 1;
            const square = x * x + y * y;
            if (square > 0 && square < 1) {
                const factor = Math.sqrt(-2 * Math.log(square) / square);
                this._spare = y * factor;
                return x * factor;
            }
        }
    }

    /** @returns {number} normal, drawn again while more than 2 from the mean 0 */
    truncatedNormal() {
        for (;;) {
            const x = this.normal();
            if (x >= -2 && x <= 2) return x;
        }
    }
}
