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
const DEEPSEEK_CJK = '[\\u4E00-\\u9FA5\\u0800-\\u4E00\\uAC00-\\uD7FF]+';

const HAN = '\\u4E00-\\u9FFF\\u3400-\\u4DBF\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2EBEF}\\uF900-\\uFAFF\\u{2F800}-\\u{2FA1F}';
const NOT_HAN = `(?:(?![${HAN}])\\p{L})`;
const KIMI = `[${HAN}]+|[^\\r\\n\\p{L}\\p{N}]?${NOT_HAN}+(?:${ENGLISH})?|\\p{N}{1,3}|${OTHER}[\\r\\n]*|${BREAKS}`;

const BLOOM = ' ?[^(\\s|.,!?…。，、।۔،)]+';
/** Letters with case, as of deepseek-llm's own list: L minus the caseless. */
const CASED = 'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅ' +
    'ὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ' +
    '𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';

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
    ['tiny_aya cohere2moe', {
        patterns: ['\\d{1,3}(?=(?:\\d{3})*\\b)', gpt4o('[\\p{L}\\p{M}]', '[\\p{L}\\p{M}]')],
    }],
    ['tekken', { patterns: [`${cased(UPPER, LOWER, '')}|\\p{N}|${OTHER}[\\r\\n/]*|${BREAKS}`], whole: true, addBos: true }],
    ['kimi-k2', { patterns: [KIMI] }],
    ['deepseek-llm', { patterns: ['[\\r\\n]', `\\s?[${CASED}]+`, '\\s?[!-/:-~！-／：-～‘-‟　-。]+', '\\s+\\z', DEEPSEEK_CJK,
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
