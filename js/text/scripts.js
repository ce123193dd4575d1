// The script of a letter, as the pre-tokenizer UnicodeScripts asks for it.

/** By their codes in ISO 15924; those that the reference knows, the frequent ones first. */
const CODES = 'Zyyy Latn Zinh Hani Hira Kana Cyrl Grek Arab Hebr Deva Hang Thai Adlm Ahom Hluw Armn Avst Bali Bamu Bass Batk ' +
    'Beng Bhks Bopo Brah Brai Bugi Buhd Cans Cari Aghb Cakm Cham Cher Copt Xsux Cprt Dsrt Dupl Egyp Elba Ethi Geor ' +
    'Glag Goth Gran Gujr Guru Hano Hatr Armi Phli Prti Java Kthi Knda Kali Khar Khmr Khoj Sind Laoo Lepc Limb Lina ' +
    'Linb Lisu Lyci Lydi Mahj Mlym Mand Mani Marc Mtei Mend Merc Mero Plrd Modi Mong Mroo Mult Mymr Nbat Talu Newa ' +
    'Nkoo Ogam Olck Hung Ital Narb Perm Xpeo Sarb Orkh Orya Osge Osma Hmng Palm Pauc Phag Phnx Phlp Rjng Runr Samr ' +
    'Saur Shrd Shaw Sidd Sgnw Sinh Sora Sund Sylo Syrc Tglg Tagb Tale Lana Tavt Takr Taml Tang Telu Thaa Tibt Tfng ' +
    'Tirh Ugar Vaii Wara Yiii';

/** @type {{ code: string, regex: RegExp }[] | null} */
let scripts = null;
/** @type {Map<string, string>} */
const known = new Map();

/** @param {string} letter @returns {string} its script's code: kana counts as Hani; 'Any' for the space and what has no script */
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
    if (letter === 'ー') return 'Hani';
    scripts ??= CODES.split(' ').map((code) => ({ code, regex: new RegExp(`^\\p{Script=${code}}$`, 'u') }));
    const code = scripts.find(({ regex }) => regex.test(letter))?.code ?? 'Any';
    return code === 'Hira' || code === 'Kana' ? 'Hani' : code;
}
