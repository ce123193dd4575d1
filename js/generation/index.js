/** Text generation: models, tokenizers and samplers on CachedMultiHeadAttention. The package's entry `./generation`. */
export { FormatError } from '../check.js';
export { TransformerDecoder } from '../layers/decoder.js';
export { GPT2CausalLM } from './gpt2.js';
export { loadModel } from './load.js';
export { LanguageModel } from './language-model.js';
export { ModelCache } from '../model/cache.js';
export { PrefixStore } from './prefix-store.js';
export { readWeights } from './read-weights.js';
export { huggingFace } from '../files/hugging-face.js';
export { Tokenizer } from '../text/tokenizer.js';
export {
    BeamSampler, ContrastiveSampler, GreedySampler, RandomSampler, Sampler, SpeculativeSampler, TopKSampler, TopPSampler,
} from './samplers.js';
