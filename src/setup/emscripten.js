// Emscripten: finds one that is new enough, or brings one here.

import {
    existsSync,
    mkdirSync,
    readFileSync,
    readdirSync,
    realpathSync,
    renameSync,
    rmSync,
    writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { candidates, ensureLists, hasApt, install } from './debian.js';
import { SetupError, capture, root, run, say, which } from '../build/system.js';

/** The oldest release that builds this project; CMakeLists.txt says why. */
const MINIMUM = '3.1.69';

/** The Debian release that packages it, and the LLVM that belongs to it. */
const SUITE = 'trixie';
const LLVM = ['clang-19', 'lld-19', 'llvm-19'];

/** Where an unpacked Emscripten is kept: once per checkout, in the ignored build folder. */
const kept = join(root, 'build/toolchain');
const WHY = 'Emscripten compiles the C core (src/*.c) to WebAssembly';

/**
 * @typedef {object} Emscripten
 * @property {string} folder the one that holds emcc
 * @property {string} version
 * @property {string} from how it got here, for people
 * @property {Record<string, string>} env what its programs need in their environment
 */

/** An Emscripten that is here already and new enough, or null. @returns {Emscripten | null} */
export function findEmscripten() {
    const onPath = which('emcc');
    const places = [
        ...(process.env.EMSDK ? [{ folder: join(process.env.EMSDK, 'upstream/emscripten'), from: '$EMSDK' }] : []),
        ...(onPath ? emccFolders(onPath).map((folder) => ({ folder, from: `on the PATH (${onPath})` })) : []),
    ];
    for (const place of places) {
        const version = readVersion(place.folder);
        if (version === null) continue;
        if (atLeast(version, MINIMUM)) return { ...place, version, env: {} };
        say(`  Emscripten ${version}, ${place.from}, is older than ${MINIMUM}: passed over`);
    }
    const folder = join(kept, 'root/usr/share/emscripten');
    const version = existsSync(join(kept, 'em_config')) ? readVersion(folder) : null;
    const llvm = llvmFolder();
    if (version === null || llvm === null) return null;
    writeConfig(llvm);
    return { folder, version, from: 'build/toolchain', env: { EM_CONFIG: join(kept, 'em_config') } };
}

/**
 * Brings an Emscripten to this machine.
 * @returns {Emscripten}
 */
export function installEmscripten() {
    if (!hasApt()) {
        throw new SetupError({
            what: `There is no Emscripten ${MINIMUM} or newer on this machine`,
            why: WHY,
            todo:
                'install it, make sure that `emcc --version` works, and run this again:\n' +
                '- anywhere: the emsdk (emscripten.org, "Getting started")\n' +
                '- macOS: brew install emscripten\n' +
                '- Arch: pacman -S emscripten; Fedora, Alpine and Nix package it too',
        });
    }
    ensureLists();
    const packaged = candidates(['emscripten']).get('emscripten');
    if (packaged && atLeast(packaged, MINIMUM)) {
        say(`  Emscripten: this machine's own package is ${packaged}`);
        install(['emscripten'], WHY);
    } else {
        say(`  Emscripten: this machine's own package is ${packaged ?? 'missing'}, ${MINIMUM} is needed.`);
        const mirror = debianMirror();
        say(`    the one of Debian ${SUITE} goes into build/toolchain; the system keeps its own packages.`);
        if (llvmFolder() === null) install(LLVM, `${WHY}, with LLVM 19 as its compiler`);
        unpackFromSuite(mirror);
    }
    const found = findEmscripten();
    if (found === null) {
        throw new SetupError({
            what: 'Emscripten was installed but is not found',
            why: WHY,
            todo: 'see what `emcc --version` says',
        });
    }
    return found;
}

/** The Debian archive that this machine's own apt uses. @returns {string} */
function debianMirror() {
    const mirror = capture('apt-get', [
        'indextargets',
        '--format',
        '$(ORIGIN) $(LABEL) $(REPO_URI)',
        'Created-By: Packages',
    ])
        ?.split('\n')
        .map((line) => /^Debian Debian (\S+)$/.exec(line)?.[1])
        .find(Boolean);
    if (!mirror) {
        throw new SetupError({
            what: 'None of the package sources of this machine is a Debian archive',
            why: `its release ${SUITE} has an Emscripten that is new enough`,
            todo: 'install Emscripten with the emsdk (emscripten.org, "Getting started"), then run this again',
        });
    }
    return mirror;
}

/**
 * Downloads Debian's newer packages with a private apt state, and unpacks them without installing anything.
 * @param {string} mirror
 */
function unpackFromSuite(mirror) {
    const work = join(kept, 'work');
    rmSync(work, { recursive: true, force: true });
    rmSync(join(kept, 'root'), { recursive: true, force: true });
    for (const folder of ['lists/partial', 'cache/archives/partial', 'deb', 'root'])
        mkdirSync(join(work, folder), { recursive: true });
    writeFileSync(join(work, 'sources.list'), `deb ${mirror} ${SUITE} main\n`);
    const state = [
        `Dir::Etc::sourcelist=${work}/sources.list`,
        'Dir::Etc::sourceparts=/dev/null',
        `Dir::State::Lists=${work}/lists`,
        `Dir::Cache=${work}/cache`,
        'APT::Sandbox::User=root',
        'Acquire::Languages=none',
        'Acquire::Retries=3',
    ].flatMap((option) => ['-o', option]);
    const why = `${WHY}; the packages come from Debian ${SUITE}`;

    say('  fetching its package list');
    run('apt-get', [...state, 'update', '--error-on=any'], {
        what: `Reading the package list of Debian ${SUITE}`,
        why,
        todo: 'check the network; if a signature is missing, upgrade the package debian-archive-keyring',
    });
    // Binaryen wants a newer C library than this machine has: it runs on one of its own.
    const packages = ['emscripten', 'binaryen', 'libc6', 'libstdc++6', 'libgcc-s1'];
    say(`  downloading ${packages.join(', ')} (about 250 MB)`);
    run('apt-get', [...state, 'download', ...packages], {
        what: 'Downloading Emscripten',
        why,
        todo: 'check the network and the free disk space (1 GB is needed)',
        cwd: join(work, 'deb'),
    });
    say('  unpacking');
    for (const file of readdirSync(join(work, 'deb'))) unpack(join(work, 'deb', file), join(work, 'root'));
    renameSync(join(work, 'root'), join(kept, 'root'));
    rmSync(work, { recursive: true });
    wrapBinaryen();
    writeConfig(/** @type {string} */ (llvmFolder()));
}

/**
 * Unpacks a .deb, less what this build never reads: three quarters of Emscripten are libraries for other ways to link.
 * @param {string} file @param {string} folder
 */
function unpack(file, folder) {
    const unread = [
        '*/lto',
        '*/lto-pic',
        '*/pic',
        './usr/share/emscripten/test',
        './usr/share/doc',
        './usr/share/man',
        './usr/share/locale',
    ];
    run(
        'sh',
        [
            '-c',
            'dpkg-deb --fsys-tarfile "$0" | tar x -C "$@"',
            file,
            folder,
            ...unread.map((path) => `--exclude=${path}`),
        ],
        {
            what: `Unpacking ${basename(file)}`,
            why: WHY,
            todo: 'check the free disk space (1 GB is needed), then run this again',
        },
    );
}

/** One small program per tool, which starts the real one with the C library that it was built for. */
function wrapBinaryen() {
    const bin = join(kept, 'binaryen/bin');
    mkdirSync(bin, { recursive: true });
    const libraries = readdirSync(join(kept, 'root/usr/lib')).map((folder) => `usr/lib/${folder}`);
    const loaders = libraries.flatMap((folder) =>
        readdirSync(join(kept, 'root', folder))
            .filter((name) => /^ld-linux.*\.so\.\d+$/.test(name))
            .map((name) => `${folder}/${name}`),
    );
    for (const tool of readdirSync(join(kept, 'root/usr/bin')).filter((name) => /^wasm/.test(name))) {
        writeFileSync(
            join(bin, tool),
            [
                '#!/bin/sh',
                'root="$(dirname "$0")/../../root"',
                `exec "$root/${loaders[0]}" --library-path "${libraries.map((folder) => `$root/${folder}`).join(':')}" "$root/usr/bin/${tool}" "$@"`,
                '',
            ].join('\n'),
            { mode: 0o755 },
        );
    }
}

/** Emscripten's own settings file. @param {string} llvm */
function writeConfig(llvm) {
    const file = join(kept, 'em_config');
    const text = [
        `LLVM_ROOT = '${llvm}'`,
        `BINARYEN_ROOT = '${join(kept, 'binaryen')}'`,
        `NODE_JS = '${process.execPath}'`,
        'FROZEN_CACHE = True # its system libraries come built',
        '',
    ].join('\n');
    if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
}

/** The folder of LLVM 19's programs under their plain names, or null. */
function llvmFolder() {
    const clang = which('clang-19');
    return clang && which('wasm-ld-19') && which('llvm-ar-19') ? dirname(realpathSync(clang)) : null;
}

/** The folders in which the Emscripten of this `emcc` may be: emcc can be a link or a small wrapper. @param {string} emcc */
function emccFolders(emcc) {
    const folder = dirname(realpathSync(emcc));
    return [folder, join(folder, '../libexec'), join(folder, '../share/emscripten'), join(folder, '../lib/emscripten')];
}

/** @param {string} folder @returns {string | null} */
function readVersion(folder) {
    const file = join(folder, 'emscripten-version.txt');
    if (!existsSync(file)) return null;
    return readFileSync(file, 'utf8').replaceAll('"', '').trim();
}

/** Compares the leading numbers of two versions. @param {string} version @param {string} minimum */
function atLeast(version, minimum) {
    const numbers = (/** @type {string} */ text) => (/\d+(\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number);
    const [have, want] = [numbers(version), numbers(minimum)];
    for (let i = 0; i < want.length; i++) {
        if ((have[i] ?? 0) !== want[i]) return (have[i] ?? 0) > want[i];
    }
    return true;
}
