// A reporter for node:test: one line per test file, failures in full, and the counts in the file that CMHA_TEST_COUNTS names.

import { appendFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { inspect } from 'node:util';

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/** @param {AsyncIterable<import('node:test/reporters').TestEvent>} events */
export default async function* report(events) {
    /** @type {Counts} */ const total = { passed: 0, failed: 0, skipped: 0 };
    /** @type {string[]} */ const names = [];
    let file = '';
    /** @type {Counts} */ let counts = { ...total };
    /** What files took, with what they do before their first test, by path. @type {Map<string, number>} */
    const times = new Map();

    const closeFile = () => {
        const verdict = counts.failed > 0 ? 'FAILED' : '    ok';
        const line = file === '' ? ''
            : `  ${verdict}  ${relative('', file)}: ${countsText(counts)}, ${((times.get(file) ?? 0) / 1000).toFixed(1)} s\n`;
        total.passed += counts.passed;
        total.failed += counts.failed;
        total.skipped += counts.skipped;
        counts = { passed: 0, failed: 0, skipped: 0 };
        return line;
    };

    for await (const { type, data } of events) {
        if (type === 'test:stdout' || type === 'test:stderr') yield data.message;
        // A file's own, too; before the next one's tests are told of.
        if (type === 'test:complete' && data.nesting === 0) times.set(resolve(data.name), data.details.duration_ms);
        if (type === 'test:start') names[data.nesting] = data.name;
        if (type !== 'test:pass' && type !== 'test:fail') continue;
        if (data.file && data.file !== file) {
            yield closeFile();
            file = data.file;
        }
        // Node reports a file under its own path when it has no test in it, or ended before its tests did.
        const isFile = data.nesting === 0 && resolve(data.name) === file;
        if (data.skip !== undefined || data.todo !== undefined) counts.skipped++;
        else if (type === 'test:fail' || isFile) {
            // A suite fails with its tests, which have been counted and shown; but it can also fail by itself, in a hook.
            const error = type === 'test:fail' ? data.details.error : { cause: 'there is no test in this file' };
            if ('failureType' in error && error.failureType === 'subtestsFailed') continue;
            counts.failed++;
            const name = isFile ? relative('', file) : names.slice(0, data.nesting + 1).join(' > ');
            yield `\n  FAILED  ${name}\n${inspect(error.cause ?? error).replace(/^/gm, '          ')}\n\n`;
        } else if (data.details.type !== 'suite') counts.passed++;
    }
    yield closeFile();
    yield `  ${countsText(total)}\n`;
    if (process.env.CMHA_TEST_COUNTS) appendFileSync(process.env.CMHA_TEST_COUNTS, JSON.stringify(total));
}

/** @param {Counts} counts */
function countsText({ passed, failed, skipped }) {
    return `${passed} passed${failed ? `, ${failed} failed` : ''}${skipped ? `, ${skipped} skipped` : ''}`;
}
