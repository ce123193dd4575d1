// The demo page in Chromium: when its first letters stand there, what shifts meanwhile, and its frames while it writes.

import { firstLetters, framesOfWriting } from '../lib/demo.js';
import { quantile } from '../lib/race.js';
import { atLeast, atMost, number, percent, table } from '../lib/report.js';

const LOADS = 9;
/** A frame of 60 in a second, and what a clock may be off. */
const FRAME_MS = 1000 / 60 + 1;
const ms = (/** @type {number} */ value) => `${number(value)} ms`;

/** @param {import('../lib/line-up.js').Context} context */
export async function run({ say }) {
    const first = await firstLetters(LOADS);
    const frames = await framesOfWriting();
    if (first === null || frames === null) {
        say('No Chromium was found (set CHROME_PATH)');
        return { musts: [], data: null };
    }
    const { cold, times, shifts } = first;
    say(`The first letter that the model writes, after the load began, warm HTTP cache: ${ms(quantile(times, 0.5))} ` +
        `(${times.map((time) => time.toFixed(0)).join(', ')}); cold: ${ms(cold)}\n`);
    const rows = frames.map(({ width, pace, intervals, longTasks, drawn, busy }) => [
        `${width} px, ${pace === 0 ? 'full speed' : `${pace} tokens/s`}`,
        intervals.length, ...[0.5, 0.99, 1].map((p) => number(quantile(intervals, p))),
        intervals.filter((interval) => interval > FRAME_MS).length, drawn, number(busy), longTasks.length,
    ]);
    say(table([['ms between frames', 'frames', 'median', 'p99', 'most', 'late', 'drawn', 'busy', 'tasks > 50 ms'], ...rows]));
    const intervals = frames.flatMap((run) => run.intervals);
    const onTime = intervals.filter((interval) => interval <= FRAME_MS).length / intervals.length;
    return {
        musts: [
            atMost(2, 'first letter, first visit, warm cache', `${LOADS} loads`, quantile(times, 0.5), 1000, ms),
            atMost(2, 'layout shift until a story stands', '1440 px', Math.max(...shifts), 0.02),
            atLeast(2, 'frames on time while it writes', `${intervals.length} frames`, onTime, 0.99, percent),
            atMost(2, 'tasks over 50 ms while it writes', 'both widths', frames.flatMap(({ longTasks }) => longTasks).length, 0),
        ],
        data: { first, frames },
    };
}
