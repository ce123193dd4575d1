#!/usr/bin/env node
// npx cached-attention "Once upon a time", npx cached-attention chat, npx cached-attention inspect: a language model in
// the terminal. What the command line says, and who does it.
//
// The text goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (the
// text so far has been written).

import { readFileSync } from 'node:fs';
import { addAbortSignal } from 'node:stream';
import { parseArgs } from 'node:util';
import { Chat } from './terminal/chat.js';
import { generate } from './terminal/generate.js';
import { inspect } from './terminal/inspect.js';
import { withModel } from './terminal/open.js';
import { PARSE, UsageError, inDashes, settings } from './terminal/options.js';
import { textFor } from './terminal/sanitize.js';

const HELP = `Usage: cached-attention [options] [prompt]
       cached-attention chat --model <where> [options]
       cached-attention inspect --model <where> [options]

Continues a text; or holds a conversation, turn by turn; or says what a model is. Without a prompt the text is read from
stdin, without the line break at its end, or begun by the model where stdin is a terminal; the prompt "-" is read from stdin
in any case. Behind "--" chat and inspect are prompts. In a chat Ctrl-C stops the answer, a second one leaves; so does the
end of the input.

  --model <where>             a file, folder or URL; or owner/name on the hub where no such folder exists
                              (default: the small model of stories that comes along)
  --file, --revision <name>   which file and which version of owner/name
  --weights <name>            auto computes on the weights as they are stored, float32 decodes them first
  --context-length <n>        the most positions a text may take (default: the model's own)
  --cache-dtype <name>        how keys and values are kept
  --system <text>             in a chat: what it begins with
  --max-new-tokens <n>        stop after so many tokens (default: when the text ends or the context is full)
  --sampler <name>            greedy, top_k, top_p, random, beam or contrastive
                              (default: top_p if --top-p is given without --top-k, random
                              if --min-p alone is, else top_k)
  --temperature <x>           below 1 plays safer, above 1 wilder, 0 always takes the likeliest token (default: 1)
  --top-k <n>                 draw from the n likeliest tokens (default for top_k: 5)
  --top-p <x>                 draw from the likeliest tokens that make up the share x of the probability,
                              of the n likeliest where --top-k is given
  --min-p <x>                 draw from tokens at least x times as likely as the likeliest
  --repetition-penalty <x>    above 1 makes tokens that have occurred less likely
  --seed <n>                  the same seed, the same text
  --stop <text>               end before this text; may be given more than once
  --workers <n|auto>          threads beside the main one (default: auto)
  --simd <variant>            auto, relaxed or simd128 (default: auto)
  -h, --help, --version
`;

/** @typedef {'generate' | 'chat' | 'inspect'} Command */

/** @returns {{ values: Record<string, any>, command: Command, rest: string[] }} */
function readArguments() {
    try {
        const { values, positionals, tokens } = parseArgs({ options: PARSE, allowPositionals: true, tokens: true });
        const first = tokens.find(({ kind }) => kind === 'positional' || kind === 'option-terminator');
        const isCommand = first?.kind === 'positional' && ['chat', 'inspect'].includes(positionals[0]);
        const command = isCommand ? /** @type {Command} */ (positionals[0]) : 'generate';
        return { values, command, rest: positionals.slice(isCommand ? 1 : 0) };
    } catch (error) {
        throw new UsageError(/** @type {Error} */ (error).message, { cause: error });
    }
}

/** @param {AbortSignal} signal @returns {Promise<string>} all of stdin but the line break at its end, echo's or an editor's */
async function readStdin(signal) {
    process.stdin.setEncoding('utf8');
    let text = '';
    for await (const chunk of addAbortSignal(signal, process.stdin)) text += chunk;
    return text.replace(/\r?\n$/, '');
}

/** What interrupts, and what is done about it. */
class Interruption {
    #loading = new AbortController();
    code = 0;
    /** @type {Chat | null} which decides itself what Ctrl-C means */
    chat = null;

    constructor() {
        process.on('SIGINT', () => this.#ctrlC());
        process.stdout.on('error', () => this.#stop());
    }

    get signal() {
        return this.#loading.signal;
    }

    #ctrlC() {
        if (this.chat) return this.chat.interrupt();
        // What does not stop is left where it is by a second one.
        if (this.signal.aborted) process.exit(130);
        this.code = 130;
        return this.#stop();
    }

    #stop() {
        this.#loading.abort();
        this.chat?.leave();
    }
}

/**
 * @param {Command} command
 * @param {string[]} rest what stands beside the options
 * @param {import('./terminal/options.js').Settings} options
 * @param {Interruption} interruption
 * @returns {Promise<void>}
 */
async function run(command, rest, options, interruption) {
    const { signal } = interruption;
    if (command === 'inspect') return withModel(options, signal, inspect);
    if (command === 'chat') {
        return withModel(options, signal, async ({ model }) => {
            const terminal = { input: process.stdin, output: process.stdout, notes: process.stderr };
            interruption.chat = new Chat(model, options.generate, terminal, options.system);
            if (!await interruption.chat.run() && !signal.aborted) interruption.code = 130;
        });
    }
    const isPiped = rest[0] === '-' || (rest.length === 0 && !process.stdin.isTTY);
    const prompt = isPiped ? await readStdin(signal) : rest[0] ?? '';
    return withModel(options, signal, (opened) => generate(opened, prompt, options.generate, signal));
}

/** @returns {Promise<number>} the exit code */
async function main() {
    const { values, command, rest } = readArguments();
    if (values.help) {
        process.stdout.write(HELP);
        return 0;
    }
    if (values.version) {
        const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
        process.stdout.write(`${version}\n`);
        return 0;
    }
    const most = command === 'generate' ? 1 : 0;
    if (rest.length > most) {
        throw new UsageError(most === 0 ? `${command} must stand alone with its options, got ${JSON.stringify(rest[0])}`
            : `one prompt is expected, got ${rest.length}: put it in quotes`);
    }
    const options = settings(command, values);
    const interruption = new Interruption();
    try {
        await run(command, rest, options, interruption);
    } catch (error) {
        if (!interruption.signal.aborted) throw error;
        if (interruption.code === 130 && process.stdout.bytesWritten > 0) process.stdout.write('\n');
    }
    return interruption.code;
}

/** @param {unknown} cause says why, and that the exit code is one of failure */
function fail(cause) {
    const error = /** @type {Error} */ (inDashes(cause));
    const message = textFor(process.stderr, error.message.replaceAll(/\s*\n\s*/g, ' '));
    process.stderr.write(`cached-attention: ${message}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
}

process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
    // Whoever reads the text has had enough (`| head`): that is no failure, as a full disk is.
    if (error.code !== 'EPIPE') fail(new Error(`cannot write: ${error.message}`, { cause: error }));
});
process.stderr.on('error', () => {});
try {
    const code = await main();
    process.exitCode ||= code;
} catch (cause) {
    fail(cause);
}
