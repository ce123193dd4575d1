// What `npm start` does: set up, compile, and serve the demo page. Arguments go to web/serve.js.

import { join } from 'node:path';
import { buildAll } from './build.js';
import { setup } from '../setup/setup.js';
import { main, root, show, unlock } from './system.js';

await main(async () => {
    await buildAll(setup());
    unlock();
    return show(process.execPath, [join(root, 'web/serve.js'), ...process.argv.slice(2)]);
});
