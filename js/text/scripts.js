// The script of a letter, as the pre-tokenizer UnicodeScripts asks for it.

const NAMES = 'Common Latin Inherited Han Hiragana Katakana Cyrillic Greek Arabic Hebrew Devanagari Hangul Thai ' +
    'Adlam Ahom Anatolian_Hieroglyphs Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo ' +
    'Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Coptic ' +
    'Cuneiform Cypriot Deseret Duployan Egyptian_Hieroglyphs Elbasan Ethiopic Georgian Glagolitic Gothic Grantha ' +
    'Gujarati Gurmukhi Hanunoo Hatran Imperial_Aramaic Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi ' +
    'Kannada Kayah_Li Kharoshthi Khmer Khojki Khudawadi Lao Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian ' +
    'Mahajani Malayalam Mandaic Manichaean Marchen Meetei_Mayek Mende_Kikakui Meroitic_Cursive ' +
    'Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean New_Tai_Lue Newa Nko Ogham Ol_Chiki ' +
    'Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_South_Arabian Old_Turkic Oriya Osage ' +
    'Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan ' +
    'Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sora_Sompeng Sundanese Syloti_Nagri Syriac Tagalog ' +
    'Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangut Telugu Thaana Tibetan Tifinagh Tirhuta Ugaritic Vai ' +
    'Warang_Citi Yi';

/** @type {{ name: string, regex: RegExp }[] | null} */
let scripts = null;
/** @type {Map<string, string>} */
const known = new Map();

/** @param {string} letter @returns {string} kana counts as Han; 'Any' for the space and what has no script */
export function scriptOf(letter) {
    let script = known.get(letter);
    if (script === undefined) {
        script = find(letter);
        // Bounded by the letters there are.
        known.set(letter, script);
    }
    return script;
}

/** @param {string} letter @returns {string} */
function find(letter) {
    if (letter === ' ') return 'Any';
    if (letter === 'ー') return 'Han';
    scripts ??= NAMES.split(' ').map((name) => ({ name, regex: new RegExp(`^\\p{Script=${name}}$`, 'u') }));
    const name = scripts.find(({ regex }) => regex.test(letter))?.name ?? 'Any';
    return name === 'Hiragana' || name === 'Katakana' ? 'Han' : name;
}
