// The bench page in Chromium: the layer cases beside the peers, each in a web worker of its own, with the threads that
// they have in a browser. (`npm start` serves the same page without the peers; there it also sweeps lengths.)

import { measurePage } from '../lib/page.js';
import { table } from '../lib/report.js';

/** @param {import('../lib/line-up.js').Context} context */
export async function run({ peers, say }) {
    const result = await measurePage(peers);
    if (result === null) {
        say('No Chromium was found (set CHROME_PATH)');
        return { musts: [], data: null };
    }
    const { machine, rows } = result;
    say(`${machine}\n\nms, median (p10-p90) over the rounds, and the share of the limit\n`);
    // The page has a row per case; here contestants are the rows, as in the other parts.
    say(table(rows[0].map((_, i) => rows.map((row) => row[i].replace('\n', ', ').replace(' of the limit', '')))));
    return { musts: [], data: result };
}
