// The process that one contestant has to itself: module and options come as arguments, calls as messages. Contestants
// so never share an engine, a memory or a thread pool, and all but the one being timed are asleep.
//
// A contestant is { name, prepare(case) -> output, run(case), ... }; `time` is answered here.

import { time } from './timing.js';

const [module, options] = process.argv.slice(2);
const contestant = await (await import(new URL(module, import.meta.url).href)).create(JSON.parse(options));

process.on('message', async (/** @type {{ method: string, args: any[] }} */ { method, args }) => {
    try {
        const value = method === 'time' ? await time(contestant, args[0], args[1]) : await contestant[method](...args);
        process.send?.({ value });
    } catch (error) {
        process.send?.({ error: error instanceof Error ? error.stack : String(error) });
    }
});
process.on('disconnect', () => process.exit());
process.send?.({ value: contestant.name });
