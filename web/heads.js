/** Heads in colour: a hue for each, and mixtures where several look at the same. */

/** @typedef {[red: number, green: number, blue: number]} Colour 0..255 */
/** @typedef {{ lane: number, colour: Colour }} HeadColour */

/** More hues than these cannot be told apart. */
const MOST_AT_FIRST = 8;

/**
 * @param {number} head from 0
 * @param {number} heads
 * @param {boolean} isDark
 * @returns {Colour}
 */
export function colourOf(head, heads, isDark) {
    const hue = 360 * head / heads + 15;
    const [saturation, lightness] = isDark ? [0.75, 0.62] : [0.7, 0.42];
    const chroma = saturation * Math.min(lightness, 1 - lightness);
    const channel = (/** @type {number} */ n) => {
        const k = (n + hue / 30) % 12;
        return Math.round(255 * (lightness - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
    };
    return [channel(0), channel(8), channel(4)];
}

/** @param {Colour} colour @param {number} [alpha] */
export function css([red, green, blue], alpha = 1) {
    return `rgb(${red} ${green} ${blue} / ${Math.round(alpha * 100)}%)`;
}

/** The lanes that are in colour at first. @param {number} heads @returns {Set<number>} */
export function firstLanes(heads) {
    return new Set(Array.from({ length: Math.min(heads, MOST_AT_FIRST) }, (_, head) => head + 1));
}

/**
 * A word's stripes, one for each head.
 * @param {HeadColour[]} heads
 * @param {Float32Array[]} shades of each, by position
 * @param {number} position
 */
export function stripes(heads, shades, position) {
    const share = 100 / heads.length;
    const stops = heads.map(({ colour }, i) => `${css(colour, (shades[i][position] ?? 0) * 0.5)} ${i * share}% ${(i + 1) * share}%`);
    return `linear-gradient(to right, ${stops.join(', ')})`;
}

/**
 * A cell that several heads look at, over the colour of no attention.
 * @param {HeadColour[]} heads
 * @param {Float32Array[]} shades
 * @param {number} position
 * @param {ArrayLike<number>} ground
 * @param {Uint8ClampedArray} pixels
 * @param {number} at
 */
export function mix(heads, shades, position, ground, pixels, at) {
    let sum = 0;
    let most = 0;
    for (const shade of shades) {
        sum += shade[position];
        most = Math.max(most, shade[position]);
    }
    for (let c = 0; c < 3; c++) {
        let colour = 0;
        for (let h = 0; h < heads.length; h++) colour += heads[h].colour[c] * shades[h][position];
        pixels[at + c] = ground[c] + (sum > 0 ? colour / sum - ground[c] : 0) * most;
    }
    pixels[at + 3] = 255;
}
