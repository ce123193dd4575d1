/** Text generation: models, tokenizers and samplers on CachedMultiHeadAttention. The package's entry `./generation`. */
export { FormatError } from '../check.js';
export { TransformerDecoder } from '../layers/decoder.js';
export { GPT2CausalLM } from '../layers/gpt2.js';
export { LanguageModel, loadModel } from './language-model.js';
export { Tokenizer } from '../text/tokenizer.js';
export {
    BeamSampler, ContrastiveSampler, GreedySampler, RandomSampler, Sampler, TopKSampler, TopPSampler,
} from './samplers.js';
