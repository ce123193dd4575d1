/** The figures: speed, delay, memory, and how the arithmetic runs on this device. */

import { find } from './find.js';

/** @import { Explanation, Figures, ModelFacts } from './messages.js' */
/** @import { Trace } from './trace.js' */

const REFRESH_MS = 200;
const FIELDS = [
    'speed', 'each', 'first-token', 'prompt-length', 'cache', 'positions', 'simd', 'simd-kind', 'threads', 'memory'
];

export class Meters {
    constructor() {
        this.fields = Object.fromEntries(FIELDS.map(name => [name, find(name)]));
        this.fallbacks = find('fallbacks');
        this.shownAt = 0;
        /** @type {ModelFacts | null} */
        this.model = null;
    }

    /** @param {Record<string, string>} texts by field */
    set(texts) {
        for (const [name, text] of Object.entries(texts)) this.fields[name].textContent = text;
    }

    /**
     * @param {Figures} figures
     * @param {Trace} trace
     * @param {number} pace tokens per second that are shown at most, 0 for all there are
     * @param {boolean} isFinal whether these are the last of the run: shown whatever the time
     */
    show({ count, firstMs, computingMs, cacheBytes, positions }, trace, pace, isFinal) {
        const now = performance.now();
        if (!isFinal && now - this.shownAt < REFRESH_MS) return;
        this.shownAt = now;
        const each = count > 1 ? (computingMs - firstMs) / (count - 1) : 0;
        this.set({
            speed: each ? round(1000 / each) : '–',
            each: each ? pace ? `shown at ${pace}/s` : `${milliseconds(each)} each` : '',
            'first-token': milliseconds(firstMs),
            'prompt-length': `prompt of ${trace.promptLength}`,
            cache: bytes(positions * (this.model?.cacheBytesPerToken ?? 0)),
            positions: `of ${bytes(cacheBytes)}`
        });
    }

    reset() {
        this.shownAt = 0;
        this.set({ speed: '–', each: '', 'first-token': '–', 'prompt-length': '', cache: '–', positions: '' });
    }

    /**
     * What runtime.explain() says, in words; what could not be had is told with its reason.
     * @param {Explanation} explanation
     */
    explain({ variant, memory, threads, fallbacks }) {
        this.set({
            simd: variant === 'relaxed' ? 'Relaxed' : 'SIMD128',
            'simd-kind': variant === 'relaxed' ? 'fused rounding' : 'strict rounding',
            threads: String(threads),
            memory: `${memory} memory`
        });
        this.fallbacks.replaceChildren(...fallbacks.map(text =>
            Object.assign(document.createElement('li'), { textContent: text })));
    }
}

/** With two digits, or all those before the point. @param {number} value */
export function round(value) {
    return value >= 99.5 ? Math.round(value).toLocaleString('en') : value.toPrecision(2);
}

/** @param {number} ms */
function milliseconds(ms) {
    return ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number} count */
export function bytes(count) {
    if (count < 1000) return `${count} B`;
    if (count < 1e6) return `${(count / 1e3).toFixed(0)} kB`;
    return count < 1e9 ? `${(count / 1e6).toFixed(count < 1e7 ? 2 : 1)} MB` : `${(count / 1e9).toFixed(2)} GB`;
}
