/** Text generation: models, tokenizers and samplers on CachedMultiHeadAttention. The package's entry `./generation`. */
export { FormatError } from './errors.js';
export { TransformerDecoder } from './decoder.js';
export { GPT2CausalLM } from './gpt2.js';
export { LanguageModel, loadModel } from './model.js';
export { Tokenizer } from './tokenizer.js';
export {
    BeamSampler, ContrastiveSampler, GreedySampler, RandomSampler, Sampler, TopKSampler, TopPSampler,
} from './samplers.js';
