// Declarations in dist/: one file beside each entry, made of what tsc writes about js/. From an entry's exports everything that they
// mention is followed, put into that one file and exported from it, so that every option and result has a name to import.
// What is not for users is left out: members that begin with `_`, members that mention the machinery (INTERNAL), private ones.
// What older compilers do not know is put in older words.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import ts from 'typescript';
import { DECLARED } from './dist.js';
import { root } from './system.js';

/** Where tsc writes. */
export const EMITTED = join(root, 'build/types');

/** A script that exports nothing and is none of js/, with an address that users may need. */
const WORKER = 'worker';

/** Modules that are machinery: members of classes that mention what they declare are not for users. */
const INTERNAL = new RegExp('^(?:engine/(?:free-lists|interface|memory|pool|program|protocol|results|threads|wasm)|'
    + 'blocks/(?!cache)|model/(?!cache|description)|text/jinja)');

/** `Uint8Array<ArrayBuffer>` is not known before TypeScript 5.7. */
const ARRAYS = /^(?:Big)?(?:Int|Uint|Float)\d+(?:Clamped)?Array$/;

/**
 * lib.esnext.disposable has this; a project for ES2022, or TypeScript before 5.2, does not. A file by itself, to which the others
 * refer: JSR refuses modules that declare something global.
 */
const DISPOSE = `interface SymbolConstructor {
    readonly dispose: unique symbol;
}
`;

/**
 * @typedef {ts.ClassDeclaration | ts.FunctionDeclaration | ts.TypeAliasDeclaration | ts.InterfaceDeclaration |
 *   ts.VariableStatement} Declared
 */

/** Writes DECLARATIONS from what tsc has written. */
export function rollUpTypes() {
    const write = (/** @type {string} */ name, /** @type {string} */ text) => {
        const path = join(root, `dist/${name}.d.ts`);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, text);
    };
    const emitted = (/** @type {string} */ name) => join(EMITTED, `${name}.d.ts`);
    const entries = DECLARED.filter((name) => name !== WORKER);
    const program = ts.createProgram(entries.map(emitted), {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.NodeNext,
        moduleResolution: ts.ModuleResolutionKind.NodeNext,
        lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
        types: [],
    });
    /** What earlier entries export: declaration -> [file, name]. @type {Map<ts.Node, [file: string, name: string]>} */
    const known = new Map();
    for (const name of entries) write(name, new Entry(program, known, name).print(emitted(name)));
    write(WORKER, 'export {};\n');
    write('dispose', DISPOSE);
}

class Entry {
    /** @param {ts.Program} program @param {Map<ts.Node, [string, string]>} known @param {string} file */
    constructor(program, known, file) {
        this.program = program;
        this.checker = program.getTypeChecker();
        this.known = known;
        this.file = file;
        /** Name of each declaration in this file. @type {Map<ts.Node, string>} */
        this.names = new Map();
        /** @type {ts.Node[]} */
        this.queue = [];
        /** @type {Map<string, Set<string>>} */
        this.imports = new Map();
        this.disposable = false;
    }

    /** @param {string} path */
    print(path) {
        const source = this.program.getSourceFile(path);
        const module = source && this.checker.getSymbolAtLocation(source);
        /** Exports of functions and classes of earlier entries. @type {Map<string, string[]>} */
        const again = new Map();
        const star = source?.statements.some((node) => ts.isExportDeclaration(node) && !node.exportClause);
        for (const symbol of module ? this.checker.getExportsOfModule(module) : []) {
            const node = this.declarationOf(symbol);
            if (!node) throw new Error(`${path}: the declaration of ${symbol.name} is not found`);
            const earlier = this.known.get(node);
            if (earlier && star) again.set(earlier[0], ['*']);
            else if (earlier) again.set(earlier[0], [...(again.get(earlier[0]) ?? []), earlier[1]]);
            else this.add(node, symbol.name);
        }
        /** @type {string[]} */
        const parts = [];
        const exported = this.queue.length;
        /** Classes and functions that only types mention: no value of that name can be imported. @type {string[]} */
        const typesOnly = [];
        for (let i = 0; i < this.queue.length; i++) {
            const node = this.queue[i];
            const text = this.textOf(node);
            const isValue = !ts.isTypeAliasDeclaration(node) && !ts.isInterfaceDeclaration(node);
            if (i < exported || !isValue) {
                parts.push(text);
                continue;
            }
            typesOnly.push(String(this.names.get(node)));
            parts.push(text.replace(/^export (?:declare )?(?=class|function|const|abstract)/m, 'declare '));
        }
        if (typesOnly.length > 0) parts.push(`export type { ${typesOnly.sort().join(', ')} };\n`);
        for (const [node, name] of this.names) this.known.set(node, [this.file, name]);
        const head = [
            ...(this.disposable ? [`/// <reference path="${this.pathTo('dispose.d.ts')}" />\n`] : []),
            ...[...this.imports].map(([file, names]) =>
                `import type { ${[...names].sort().join(', ')} } from '${this.pathTo(`${file}.js`)}';\n`),
            ...[...again].map(([file, names]) =>
                `export ${names[0] === '*' ? '*' : `{ ${names.sort().join(', ')} }`} from '${this.pathTo(`${file}.js`)}';\n`),
        ].join('');
        return `${head}${head && '\n'}${parts.join('\n')}${parts.length + again.size === 0 ? 'export {};\n' : ''}`;
    }

    /** @param {string} path in dist/ @returns {string} as this file names it */
    pathTo(path) {
        return posix.relative(posix.dirname(this.file), path).replace(/^(?!\.)/, './');
    }

    /** @param {ts.Symbol} symbol @returns {ts.Node | undefined} at the top of a file of ours */
    declarationOf(symbol) {
        const target = symbol.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(symbol) : symbol;
        const node = target.declarations?.find((node) => {
            const top = ts.isVariableDeclaration(node) ? node.parent.parent.parent : node.parent;
            return top && ts.isSourceFile(top) && top.fileName.startsWith(EMITTED.replaceAll('\\', '/'));
        });
        // `@typedef {import('./x.js').Y} Y` is another name for the same.
        if (node && ts.isTypeAliasDeclaration(node) && ts.isImportTypeNode(node.type) && node.type.qualifier && !node.type.typeArguments) {
            const further = this.checker.getSymbolAtLocation(node.type.qualifier);
            return (further && this.declarationOf(further)) ?? node;
        }
        return node;
    }

    /** @param {ts.Node} node @param {string} wanted @returns {string} the name that it has here */
    add(node, wanted) {
        const has = this.names.get(node);
        if (has) return has;
        const taken = new Set(this.names.values());
        let name = wanted;
        for (let i = 2; taken.has(name); i++) name = `${wanted}${i}`;
        this.names.set(node, name);
        this.queue.push(node);
        return name;
    }

    /** @param {ts.Node} node @param {string} name @returns {string} */
    refer(node, name) {
        const earlier = this.known.get(node);
        if (!earlier) return this.add(node, name);
        this.imports.set(earlier[0], (this.imports.get(earlier[0]) ?? new Set()).add(earlier[1]));
        return earlier[1];
    }

    /** The text of a declaration, with references renamed and what is private left out. @param {ts.Node} declared */
    textOf(declared) {
        const node = ts.isVariableDeclaration(declared) ? declared.parent.parent : declared;
        const source = node.getSourceFile();
        /** @type {[start: number, end: number, text: string][]} */
        const edits = [];
        /** @param {ts.Node} at @param {string} text */
        const replace = (at, text, end = at.end) => edits.push([at.getStart(source), end, text]);
        /** @param {ts.Node} at */
        const visit = (at) => {
            const spare = ts.isClassElement(at) && this.isHidden(at) ? this.spareParameters(at) : 0;
            if (spare > 0 && /** @type {ts.MethodDeclaration} */ (at).parameters.length >= spare) {
                const { parameters } = /** @type {ts.MethodDeclaration} */ (at);
                const kept = parameters.length - spare;
                edits.push([kept === 0 ? parameters.pos : parameters[kept - 1].end, parameters.end, '']);
                for (const parameter of parameters.slice(0, kept)) visit(parameter);
                for (const tag of parameters.slice(kept).flatMap((parameter) => ts.getJSDocParameterTags(parameter))) {
                    edits.push([tag.pos, tag.end, '']);
                }
                const { type } = /** @type {ts.MethodDeclaration} */ (at);
                if (type) visit(type);
                return;
            }
            if (ts.isClassElement(at) && this.isHidden(at)) {
                edits.push([at.getFullStart(), at.end, ts.isConstructorDeclaration(at) ? '\n    private constructor();' : '']);
                return;
            }
            if (ts.isImportTypeNode(at) && at.qualifier) {
                const symbol = this.checker.getSymbolAtLocation(at.qualifier);
                const target = symbol && this.declarationOf(symbol);
                if (target) {
                    const name = ts.isIdentifier(at.qualifier) ? at.qualifier.text : at.qualifier.right.text;
                    replace(at, (at.isTypeOf ? 'typeof ' : '') + this.refer(target, name), at.qualifier.end);
                    at.typeArguments?.forEach(visit);
                    return;
                }
                throw new Error(`${relative(root, source.fileName)}: ${at.getText(source)} is not declared`);
            }
            if (ts.isTypeReferenceNode(at) && ts.isIdentifier(at.typeName) && ARRAYS.test(at.typeName.text) && at.typeArguments) {
                replace(at, at.typeName.text);
                return;
            }
            if (ts.isIdentifier(at) && !isName(at)) {
                const symbol = this.checker.getSymbolAtLocation(at);
                const target = symbol && this.declarationOf(symbol);
                if (target && target !== declared) {
                    const name = this.refer(target, /** @type {any} */ (target).name?.text ?? at.text);
                    if (name !== at.text) replace(at, name);
                }
                return;
            }
            if (ts.isPropertyAccessExpression(at) && at.getText(source) === 'Symbol.dispose') this.disposable = true;
            if (ts.isPropertySignature(at) && at.questionToken && at.type && !takesUndefined(at.type)) {
                const isFunction = ts.isFunctionTypeNode(at.type);
                if (isFunction) edits.push([at.type.getStart(source), at.type.getStart(source), '(']);
                edits.push([at.type.end, at.type.end, `${isFunction ? ')' : ''} | undefined`]);
            }
            ts.forEachChild(at, visit);
        };
        visit(node);
        const own = this.names.get(declared);
        const nameNode = /** @type {any} */ (declared).name;
        if (nameNode && nameNode.text !== own) replace(nameNode, String(own));
        const docs = /** @type {ts.JSDoc[] | undefined} */ (/** @type {any} */ (node).jsDoc);
        const start = docs?.length ? docs[docs.length - 1].pos : node.getStart(source);
        let text = source.text.slice(start, node.end);
        for (const [from, to, by] of edits.sort((a, b) => b[0] - a[0])) {
            text = text.slice(0, from - start) + by + text.slice(to - start);
        }
        if (!/\bexport\s/.test(text.slice(0, 4000).replace(/\/\*[^]*?\*\//g, ''))) {
            text = text.replace(/^(?=(?:declare )?(?:abstract )?(?:class|function|type|interface|const|let)\b)/m, 'export ');
        }
        return `${cleanDocs(text)}\n`;
    }

    /** @param {ts.ClassElement} member */
    isHidden(member) {
        const name = member.name?.getText() ?? '';
        if (/^["']?_|^#|^\[?"__#/.test(name) || ts.getJSDocTags(member).some((tag) => tag.tagName.text === 'internal')) return true;
        return this.mentionsMachinery(member, new Set());
    }

    /**
     * How many parameters at the end have to go so that the rest is for users: optional ones, which mention machinery.
     * @param {ts.ClassElement} member @returns {number} 0: that is not what is wrong with it
     */
    spareParameters(member) {
        if (!ts.isConstructorDeclaration(member) && !ts.isMethodDeclaration(member)) return 0;
        if (/^["']?_|^#/.test(member.name?.getText() ?? '')) return 0;
        const { parameters, type } = member;
        const mentions = (/** @type {ts.Node | undefined} */ node) => node !== undefined && this.mentionsMachinery(node, new Set());
        const first = parameters.findIndex(mentions);
        const optional = parameters.slice(first).every(({ questionToken }) => questionToken);
        return first < 0 || mentions(type) || !optional ? 0 : parameters.length - first;
    }

    /** @param {ts.Node} node @param {Set<ts.Node>} seen @returns {boolean} */
    mentionsMachinery(node, seen) {
        if (seen.has(node)) return false;
        seen.add(node);
        let found = false;
        /** @param {ts.Node} at */
        const visit = (at) => {
            const named = ts.isImportTypeNode(at) ? at.qualifier : ts.isIdentifier(at) && !isName(at) ? at : undefined;
            const symbol = named && this.checker.getSymbolAtLocation(named);
            const target = symbol && this.declarationOf(symbol);
            if (target) {
                const path = relative(EMITTED, target.getSourceFile().fileName).replaceAll('\\', '/');
                const isAlias = ts.isTypeAliasDeclaration(target);
                // A list of words is no machinery, wherever it stands.
                const isWords = isAlias && ts.isUnionTypeNode(target.type) && target.type.types.every(ts.isLiteralTypeNode);
                found ||= !isWords && (INTERNAL.test(path) || (isAlias ? this.mentionsMachinery(target, seen) : /job\.d\.ts$/.test(path)));
            }
            if (!found) ts.forEachChild(at, visit);
        };
        visit(node);
        return found;
    }
}

/** Whether an identifier names what it stands in rather than refers to something. @param {ts.Identifier} node */
function isName(node) {
    const { parent } = node;
    return (
        /** @type {any} */ (parent).name === node ||
        (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
        (ts.isQualifiedName(parent) && parent.right === node) ||
        ts.isTypePredicateNode(parent) || ts.isJSDoc(parent)
    );
}

/**
 * Whether an optional property's type says that undefined is as good as nothing, as it is in all options of this package: for
 * projects with `exactOptionalPropertyTypes`.
 * @param {ts.TypeNode} type
 */
function takesUndefined(type) {
    return type.kind === ts.SyntaxKind.UnknownKeyword || type.kind === ts.SyntaxKind.AnyKeyword
        || (ts.isUnionTypeNode(type) && type.types.some(({ kind }) => kind === ts.SyntaxKind.UndefinedKeyword));
}

/** Types stand in the declarations; in comments they would be read twice, and tags that say nothing else not at all. @param {string} text */
function cleanDocs(text) {
    return text.replace(/[ \t]*\/\*\*[^]*?\*\/\n?/g, (doc) => {
        const cleaned = doc
            .replace(/(@(?:param|returns|type|throws|property)) \{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\} ?/g, (all, tag) =>
                tag === '@throws' ? all : tag === '@type' ? '' : `${tag} `)
            .replace(/import\((["'])[^"']*\1\)\./g, '')
            .replace(/@(?:template|this|override|extends)\b(?:(?!\*\/).)*/g, '\0')
            .replace(/@(?:param \[?[\w.]+\]?|returns) *(?=\n|@|\*\/)/g, '\0')
            .replace(/^[ \t]*\*[ \t]*(?:\0[ \t]*)+\n/gm, '')
            .replace(/[ \t]*(?:\0[ \t]*)+(\n?)/g, (all, end) => end || ' ');
        return /[^\s/*]/.test(cleaned) ? cleaned : '';
    });
}
