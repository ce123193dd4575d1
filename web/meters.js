/** The figures: speed, delay, memory, and how the arithmetic runs on this device. */

/** @import { Figures, ModelFacts } from './messages.js' */

const REFRESH_MS = 200;

export class Meters {
    /** @param {(id: string) => HTMLElement} find */
    constructor(find) {
        this.speed = find('speed');
        this.first = find('first-token');
        this.cache = find('cache');
        this.positions = find('positions');
        this.simd = find('simd');
        this.threads = find('threads');
        this.reasons = find('reasons');
        this.memory = find('memory');
        this.shownAt = 0;
        /** @type {ModelFacts | null} */
        this.model = null;
    }

    /**
     * @param {Figures} figures
     * @param {number} positions tokens in the cache
     * @param {boolean} final whether these are the last of the run: shown whatever the time
     */
    show({ count, firstMs, computingMs, cacheBytes }, positions, final) {
        const now = performance.now();
        if (!final && now - this.shownAt < REFRESH_MS) return;
        this.shownAt = now;
        const perSecond = count > 1 ? (count - 1) * 1000 / (computingMs - firstMs) : 0;
        this.speed.textContent = perSecond ? `${round(perSecond)}` : '–';
        this.first.textContent = count ? milliseconds(firstMs) : '–';
        this.cache.textContent = bytes(cacheBytes);
        this.positions.textContent = `${positions} of ${this.model?.maxLength ?? '?'} positions`;
    }

    reset() {
        this.shownAt = 0;
        for (const element of [this.speed, this.first, this.cache]) element.textContent = '–';
        this.positions.textContent = '';
    }

    /**
     * What runtime.explain() says, in words.
     * @param {Record<string, any>} explain
     */
    explain(explain) {
        const workers = Number(explain.workers ?? 0);
        this.simd.textContent = explain.simd === 'relaxed' ? 'Relaxed' : 'SIMD128';
        this.threads.textContent = String(workers + 1);
        this.memory.textContent = workers ? `1 + ${workers} worker${workers > 1 ? 's' : ''}` : 'no workers';
        this.reasons.textContent = '';
    }
}

/** @param {number} value */
function round(value) {
    return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(2);
}

/** @param {number} ms */
function milliseconds(ms) {
    return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number} count */
export function bytes(count) {
    if (count < 1000) return `${count} B`;
    return count < 1e6 ? `${(count / 1e3).toFixed(0)} kB` : `${(count / 1e6).toFixed(count < 1e7 ? 2 : 1)} MB`;
}
