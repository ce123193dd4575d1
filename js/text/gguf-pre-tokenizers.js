// How llama.cpp cuts texts under each name of `tokenizer.ggml.pre`. A text is cut at every match of the first pattern,
// the pieces at every match of the next. Upper and lower case of letters beyond ASCII are one class there.

const ENGLISH = "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const TRAILING = '\\s+(?!\\S)|\\s+';
const BREAKS = `\\s*[\\r\\n]+|${TRAILING}`;
const OTHER = ' ?[^\\s\\p{L}\\p{N}]+';
const WORD = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';

const GPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|${OTHER}|${TRAILING}`;
/** @param {string} digits @returns {string} */
const llama3 = (digits) => `${ENGLISH}|${WORD}|${digits}|${OTHER}[\\r\\n]*|${BREAKS}`;
const LLAMA3 = llama3('\\p{N}{1,3}');
const QWEN2 = llama3('\\p{N}');

// Not lower-case ASCII, and not upper-case ASCII.
const UPPER = '(?:(?![a-z])\\p{L})';
const LOWER = '(?:(?![A-Z])\\p{L})';
/** @param {string} upper @param {string} lower @param {string} tail @returns {string} */
const cased = (upper, lower, tail) =>
    `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${tail}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${tail}`;
/** @param {string} upper @param {string} lower @returns {string} */
const gpt4o = (upper, lower) =>
    `${cased(upper, lower, `(?:${ENGLISH})?`)}|\\p{N}{1,3}|${OTHER}[\\r\\n/]*|${BREAKS}`;

const ASCII_PUNCTUATION = '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]';
const KANA = '[\\u4E00-\\u9FA5\\u3040-\\u309F\\u30A0-\\u30FF]+';
/** @param {string} other @returns {string} */
const deepseek3 = (other) =>
    `${ASCII_PUNCTUATION}[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+${other}|${TRAILING}`;
// White space beyond ASCII is one character there, which no range holds.
const DEEPSEEK_CJK = '(?:(?!\\s)[\\u0800-\\u9FA5\\uAC00-\\uD7FF])+';

const HAN = '\\u4E00-\\u9FFF\\u3400-\\u4DBF\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2B73F}\\u{2B740}-\\u{2EBEF}' +
    '\\uF900-\\uFAFF\\u{2F800}-\\u{2FA1F}';
const NOT_HAN = `(?:(?![${HAN}])\\p{L})`;
const KIMI = `[${HAN}]+|[^\\r\\n\\p{L}\\p{N}]?${NOT_HAN}+(?:${ENGLISH})?|\\p{N}{1,3}|${OTHER}[\\r\\n]*|${BREAKS}`;

const BLOOM = ' ?[^(\\s|.,!?…。，、।۔،)]+';
/** deepseek-llm's own list of letters with case, as code points: not quite a class of Unicode. */
const CASED = (
    '41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376 377 37b-37d 37f 386 388-38a 38c ' +
    '38e-3a1 3a3-3f5 3f7-481 48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b ' +
    '1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 ' +
    '1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 ' +
    '2115 2119-211d 2124 2126 2128 212a-212d 212f-2134 2139 213c-213f 2145-2149 214e 2183 2184 2c00-2c7b ' +
    '2c7e-2ce4 2ceb-2cee 2cf2 2cf3 a640-a66d a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06 ' +
    'fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df ' +
    '1e900-1e943'
).replace(/[0-9a-f]+/g, '\\u{$&}').replaceAll(' ', '');

/**
 * @typedef {object} PreTokenizer
 * @property {string[]} patterns
 * @property {boolean} [whole] a piece that is a token is taken as it is (`ignore_merges`)
 * @property {boolean} [addBos] unless the file says otherwise
 */

/** @type {[string, PreTokenizer][]} */
const TABLE = [
    ['default', { patterns: ['[\\p{P}$+<=>^~|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'] }],
    ['gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 jina-es jina-de jina-v2-es jina-v2-de gigachat ' +
        'a.x-4.0 mellum modern-bert jina-v1-en jina-v2-code roberta-bpe', { patterns: [GPT2] }],
    ['smollm starcoder refact command-r codeshell exaone minerva-7b mellum2', { patterns: ['\\p{N}', GPT2] }],
    ['falcon', { patterns: ['[\\p{P}$+<=>^~|`]+', GPT2, '[0-9][0-9][0-9]'] }],
    ['llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano',
        { patterns: [LLAMA3], whole: true, addBos: true }],
    ['dbrx smaug-bpe glm4 chatglm-bpe', { patterns: [LLAMA3] }],
    ['minicpm5', { patterns: ['\\p{N}{1,3}', llama3('\\p{N}+')], whole: true }],
    ['jais-2', { patterns: [`${ENGLISH}|${WORD}|\\p{N}{1,3}|${OTHER}[\\r\\n]*|\\s*[\\r\\n]+|` +
        `${[512, 256, 128, 64, 32, 16, 8, 4].map((n) => `\\s{${n}}(?!\\S)`).join('|')}|\\s{1,2}(?!\\S)|\\s`] }],
    ['qwen2 deepseek-r1-qwen stablelm2 hunyuan megrez grok-2 solar-open kormo f2llmv2', { patterns: [QWEN2] }],
    ['qwen35', { patterns: [`${ENGLISH}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|` +
        ` ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${BREAKS}`] }],
    ['ufakzeka', { patterns: [`${WORD}|\\p{N}|${OTHER}[\\r\\n]*|${BREAKS}`] }],
    ['laguna', { patterns: ['[^\\n]+|\\n+', QWEN2] }],
    ['seed-coder', { patterns: [`${ENGLISH}|${WORD}|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${BREAKS}`] }],
    ['bailingmoe bailingmoe2 llada-moe', { patterns: ["'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|" +
        `${WORD}|\\p{N}|${OTHER}[\\r\\n]*|\\s*[\\r\\n]|${TRAILING}`] }],
    ['exaone-moe', { patterns: [`${ENGLISH}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|` +
        `${OTHER}[\\r\\n/]?|\\s*[\\r\\n]|${TRAILING}`] }],
    ['gpt-4o llama4 kanana2 talkie minimax-m2', { patterns: [gpt4o(UPPER, LOWER)] }],
    ['granite-embed-multi-97m', {
        patterns: [gpt4o('(?:(?![a-z])[\\p{L}\\p{M}])', '(?:(?![A-Z])[\\p{L}\\p{M}])')], whole: true,
    }],
    ['tekken', {
        patterns: [`${cased(UPPER, LOWER, '')}|\\p{N}|${OTHER}[\\r\\n/]*|${BREAKS}`], whole: true, addBos: true,
    }],
    ['kimi-k2', { patterns: [KIMI] }],
    ['deepseek-llm', { patterns: ['[\\r\\n]', `\\s?[${CASED}]+`,
        '\\s?[!-/:-~\\uFF01-\\uFF0F\\uFF1A-\\uFF5E\\u2018-\\u201F\\u3001\\u3002]+', '\\s+\\z', DEEPSEEK_CJK,
        '\\p{N}+'] }],
    ['deepseek-coder', { patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', DEEPSEEK_CJK, '\\p{N}'] }],
    ['deepseek-v3 hunyuan-dense joyai-llm hy_v4', {
        patterns: ['\\p{N}{1,3}', KANA, deepseek3('[\\r\\n]*|\\s*[\\r\\n]+')],
    }],
    ['spark2_5', { patterns: ['\\p{N}{1,3}', KANA, deepseek3('|[\\r\\n]'), '\\p{N}'] }],
    ['bloom poro-chat gpt3-finnish', { patterns: [BLOOM] }],
    ['viking', { patterns: [BLOOM, '\\p{N}'] }],
    ['superbpe', { patterns: ['\\p{N}+', '(?=(?:[0-9]{3})+(?![0-9]))'] }],
    ['chameleon', { patterns: ['<sentinel:[0-9]+>', 'IMGIMG[A-I]{1,4}Z', '[\\t\\n]|    |  ', '\\p{N}',
        '[\\p{P}!-/:-@\\[-`{-~]', GPT2], addBos: true }],
];

/** @type {Map<string, PreTokenizer>} */
export const GGUF_PRE_TOKENIZERS = new Map(TABLE.flatMap(([names, how]) => names.split(' ').map(
    (name) => /** @type {[string, PreTokenizer]} */ ([name, how]))));
