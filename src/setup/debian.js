// Debian and its relatives: which packages there are, and installing them.

import { existsSync } from 'node:fs';
import { SetupError, capture, run, say, which } from '../build/system.js';

/** Whether apt manages this machine. */
export function hasApt() {
    return process.platform === 'linux' && which('apt-get') !== null && existsSync('/var/lib/dpkg/status');
}

/**
 * The versions that apt would install.
 * @param {string[]} packages @returns {Map<string, string>} without those that apt does not know
 */
export function candidates(packages) {
    const found = new Map();
    let name = '';
    for (const line of (capture('apt-cache', ['policy', ...packages]) ?? '').split('\n')) {
        if (/^\S.*:$/.test(line)) name = line.slice(0, -1);
        const version = /^ {2}Candidate: (?!\(none\))(.*)$/.exec(line);
        if (version) found.set(name, version[1]);
    }
    return found;
}

let updated = false;

/** Fetches apt's package lists, once per run. @param {string} why */
function updateLists(why) {
    if (updated) return;
    say(`  apt-get update: ${why}`);
    asRoot(['update'], {
        what: 'Fetching the package lists',
        why: 'without them apt cannot install anything',
        todo: 'check the network and the sources in /etc/apt, then run this again',
    });
    updated = true;
}

/** Makes sure that apt has lists at all: minimal images come without. */
export function ensureLists() {
    if (candidates(['cmake']).size === 0) updateLists('this machine has no package lists yet');
}

/**
 * Installs packages, all at once.
 * @param {string[]} packages @param {string} why
 */
export function install(packages, why) {
    let known = candidates(packages);
    if (known.size < packages.length) {
        updateLists('a package is not in the lists that are here');
        known = candidates(packages);
    }
    const unknown = packages.filter((name) => !known.has(name));
    if (unknown.length > 0) {
        throw new SetupError({
            what: `This machine's package sources do not have: ${unknown.join(', ')}`,
            why,
            todo: 'use a newer release (Debian 12 or later, Ubuntu 24.04 or later), or install these tools in your own way ' +
                'and run this again',
        });
    }
    const options = {
        what: `Installing ${packages.join(' ')}`,
        why,
        todo: `run it by hand to see more: apt-get install --no-install-recommends ${packages.join(' ')}`,
    };
    const args = ['install', '--yes', '--no-install-recommends', ...packages];
    say(`  apt-get install ${packages.join(' ')}`);
    try {
        asRoot(args, options);
    } catch (error) {
        if (updated || !canBeRoot()) throw error;
        // Lists that are a few weeks old name versions that the mirror no longer holds.
        updateLists('the installation failed, perhaps because the lists are old');
        asRoot(args, options);
    }
}

function canBeRoot() {
    return process.getuid?.() === 0 || which('sudo') !== null;
}

/** @param {string[]} args @param {{ what: string, why: string, todo: string }} options */
function asRoot(args, options) {
    // Another apt may be at work: wait for it rather than fail.
    const apt = ['DPkg::Lock::Timeout=900', 'Dpkg::Use-Pty=0', 'Acquire::Retries=3']
        .flatMap((option) => ['-o', option])
        .concat(args);
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    if (!canBeRoot()) {
        throw new SetupError({
            what: `${options.what} needs root, and there is no sudo on this machine`,
            why: options.why,
            todo: `as root: apt-get ${args.join(' ')}`,
        });
    }
    if (process.getuid?.() === 0) run('apt-get', apt, { ...options, env });
    else run('sudo', ['DEBIAN_FRONTEND=noninteractive', 'apt-get', ...apt], { ...options, env });
}
