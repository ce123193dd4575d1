// Every family that runs: to add one, its file and its line here.

import { FormatError, show } from '../../check.js';
import { arcee } from './arcee.js';
import { biogpt } from './biogpt.js';
import { bloom } from './bloom.js';
import { codegen } from './codegen.js';
import { cohere2 } from './cohere2.js';
import { ernie45 } from './ernie4-5.js';
import { exaone } from './exaone.js';
import { exaone4 } from './exaone4.js';
import { falcon } from './falcon.js';
import { gemma } from './gemma.js';
import { gemma2 } from './gemma2.js';
import { gemma3 } from './gemma3.js';
import { glm } from './glm.js';
import { gpt2 } from './gpt2.js';
import { gptBigCode } from './gpt-bigcode.js';
import { gptj } from './gptj.js';
import { gptNeo } from './gpt-neo.js';
import { gptNeox } from './gpt-neox.js';
import { granite } from './granite.js';
import { graniteHybrid } from './granite-hybrid.js';
import { helium } from './helium.js';
import { hunyuan } from './hunyuan.js';
import { lfm2 } from './lfm2.js';
import { lfm3 } from './lfm3.js';
import { llama } from './llama.js';
import { mistral } from './mistral.js';
import { modernBertDecoder } from './modernbert-decoder.js';
import { mpt } from './mpt.js';
import { nanochat } from './nanochat.js';
import { nemotron } from './nemotron.js';
import { olmo } from './olmo.js';
import { olmo2 } from './olmo2.js';
import { openaiGpt } from './openai-gpt.js';
import { opt } from './opt.js';
import { phi } from './phi.js';
import { phi3 } from './phi3.js';
import { qwen2 } from './qwen2.js';
import { qwen3 } from './qwen3.js';
import { smollm3 } from './smollm3.js';
import { stablelm } from './stablelm.js';
import { starcoder2 } from './starcoder2.js';
import { vaultGemma } from './vaultgemma.js';
import { xglm } from './xglm.js';

/** @type {readonly import('./common.js').Family[]} */
export const families = Object.freeze([
    arcee, biogpt, bloom, codegen, cohere2, ernie45, exaone, exaone4, falcon, gemma, gemma2, gemma3, glm, gpt2, gptBigCode, gptj, gptNeo,
    gptNeox, granite, graniteHybrid, helium, hunyuan, lfm2, lfm3, llama, mistral, modernBertDecoder, mpt, nanochat, nemotron, olmo, olmo2,
    openaiGpt, opt, phi, phi3, qwen2, qwen3, smollm3, stablelm, starcoder2, vaultGemma, xglm,
]);

/**
 * @param {unknown} type `model_type` or `general.architecture`
 * @returns {import('./common.js').Family}
 * @throws {FormatError} `architecture`
 */
export function familyOf(type) {
    const family = families.find(({ types }) => types.includes(/** @type {string} */ (type)));
    if (!family) {
        const all = families.flatMap(({ types }) => types).join(', ');
        throw new FormatError('architecture', `models of the type ${show(type)} are not supported; these are: ${all}`);
    }
    return family;
}
