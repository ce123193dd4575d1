// The web worker that a peer has to itself in the bench page: what host.js is in Node. The first message names the
// module and its options. A classic worker, because TensorFlow.js comes to a browser as scripts only.

/** @type {any} */
let contestant = null;

/** @param {{ module: string, options: object, scripts: string[] }} start */
async function begin({ module, options, scripts }) {
    /** @type {any} */ (self).importScripts(...scripts);
    contestant = await (await import(module)).create(options);
    return contestant.name;
}

self.onmessage = async ({ data }) => {
    try {
        const { method, args } = data;
        let value;
        if (contestant === null) value = await begin(data);
        else if (method === 'time') value = await (await import('./timing.js')).time(contestant, args[0], args[1]);
        else value = await contestant[method](...args);
        self.postMessage({ value });
    } catch (error) {
        self.postMessage({ error: error instanceof Error ? error.message : String(error) });
    }
};
