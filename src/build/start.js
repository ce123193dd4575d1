// What `npm start` does: set up, compile, and serve the demo page. Arguments go to web/serve.js.

import { join } from 'node:path';
import { buildWasm } from './build.js';
import { buildDist } from './dist.js';
import { buildPage } from './page.js';
import { setup } from '../setup/setup.js';
import { main, root, say, show, unlock } from './system.js';

await main(async () => {
    const tools = setup();
    say('Building');
    buildWasm(tools);
    await buildDist();
    await buildPage();
    unlock();
    return show(process.execPath, [join(root, 'web/serve.js'), ...process.argv.slice(2)]);
});
