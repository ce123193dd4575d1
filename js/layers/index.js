// cached-attention/layers: what stands around attention in Keras's models.

export { TransformerDecoder } from './decoder.js';
export { LayerNormalization, RMSNormalization } from './normalization.js';
export { AlibiBias, SinePositionEncoding } from './position-layers.js';
export { RotaryEmbedding } from './rotary-embedding.js';
