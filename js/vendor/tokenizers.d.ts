/*! @huggingface/tokenizers 0.2.0, Apache-2.0: see vendor/tokenizers.LICENSE. Copied by src/build/vendor.js. */
export class Tokenizer {
    constructor(tokenizer: object, config: object);
    encode(text: string, options?: { add_special_tokens?: boolean }): { ids: (number | undefined)[] };
}
