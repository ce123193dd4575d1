// A worker of Meters (meters.js): the first message starts it, every later one is a measurement.

import { serveMeter } from './meters.js';

/** @type {any} the page's side, or Node's */
const port = typeof self === 'undefined' ? (await import('node:worker_threads')).parentPort : self;
/** @type {ReturnType<typeof serveMeter> | undefined} */
let measure;
const onMessage = (/** @type {any} */ message) => {
    if (measure) {
        port.postMessage(measure(message));
    } else {
        measure = serveMeter(message);
        port.postMessage('ready');
    }
};
if (port.on) port.on('message', onMessage);
else port.onmessage = (/** @type {MessageEvent} */ event) => onMessage(event.data);
