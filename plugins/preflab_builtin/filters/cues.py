"""Words that announce a phone number, in about 40 languages, and the countries in which a number
beside such a word may be one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

_WORDS: dict[str, tuple[str, str, str]] = {
    "any": (
        "",
        r"t[ée]l[ée](?:ph|f)[oóôō]+n\w*|telepon\w*|tel|tél|tele?fax|fax|gsm|whats ?app|sms|hotline|"
        r"mobi[ie]?l\w*|mob|celulari?|cellulare|ph|fon",
        r"contact|kontakt\w*|nr|no",
    ),
    "english": (
        "US GB IE AU NZ ZA IN SG HK KE NG GH PK PH MY",
        r"(?:tele)?phon(?:e|es|ing)|cell(?:phone|ular)|landline|helpline|voicemail|switchboard|"
        r"dial(?:ling)?|toll[- ]free|(?:call|ring|text|reach) (?:me|us|him|her|them)|"
        r"give (?:me|us|him|her|them) a (?:ring|bell|buzz|shout|call)",
        r"number|contacts?|office|reception|front desk|desk|line|enquiries|emergency|bookings?|"
        r"ask for|branch|services?",
    ),
    "english_verbs": (
        "US GB IE AU NZ ZA IN SG HK KE NG GH PK PH MY",
        r"call(?:ing|s)?|ring(?:ing)?|text(?:ing)?|reach(?:able|ed)?|cell|after hours",
        "",
    ),
    "de": (
        "DE AT CH",
        r"handy\w*|natel\w*|rufnummer|festnetz\w*|durchwahl|anruf\w*|angerufen|rückruf\w*|"
        r"ruf(?:e|en|st|t)?|erreich\w*|melde\w*|wähl\w*|notruf\w*|zentrale",
        r"nummer|büro|praxis|sekretariat|empfang|fragen|zuhause|notfall\w*|unter",
    ),
    "fr": (
        "FR BE CH LU CA MA TN DZ SN",
        r"portable|fixe|(?:r?appel\w*|joi(?:ndre|gn\w*)|compose[rz]|contact(?:er|ez))"
        r"(?:[- ]\w+)?|numéro vert",
        r"numéro|standard|accueil|secrétariat|bureau|cabinet|urgences?",
    ),
    "es": (
        "ES MX AR CO CL PE EC VE UY CR",
        r"m[óo]vil|cel|tfno|fono|fijo|ll[áa]m\w+|marca(?:r|me)?|marque|comun[íi]ca\w+|"
        r"centralita|conmutador",
        r"número|contacto|recepción|reservas?|informes|oficina|pregunt[ae] por",
    ),
    "pt": (
        "BR PT",
        r"telem[óo]vel|zap|ligu?e?|liga(?:r|-\w+)?|ramal",
        r"número|contato|contacto|recepção|escritório|secretaria",
    ),
    "it": (
        "IT CH",
        r"fisso|numero verde|chiam\w+|centralino|recapito",
        r"numero|contatt\w+|segreteria|ufficio|informazioni|prenotazioni",
    ),
    "nl": (
        "NL BE",
        r"bel(?:len|t)?|gebeld|bereik\w*|mobieltje|06-nummer",
        r"nummer|balie|receptie|secretariaat|kantoor|vragen",
    ),
    "north": (
        "SE NO DK FI IS",
        r"tlf|tfn|ring(?:a|er|e)?|nå(?:s|r)?|mobiltelefon\w*|puheli\w+|puhelim\w+|soit\w+|"
        r"hringdu|sími|síma|växel\w*|kännykkä\w*",
        r"nummer|numero\w*|númer\w*|kontor|växeln",
    ),
    "west_slavic": (
        "PL CZ SK",
        r"za?dzwo\w+|komórk\w+|kom|infolini\w+|za?vol\w+|linka",
        r"numer\w*|číslo|číslu|recepcj\w+|recepce|sekretariat",
    ),
    "south_east": (
        "HU RO BG RS HR SI GR",
        r"hív\w+|sun(?:ați|aţi|ă|a)\w*|mobitel\w*|zov\w+|nazov\w+|pokličite|"
        r"τηλ\w*|κιν(?:ητ\w+)?|καλ[έε]σ\w+|обад\w+",
        r"szám\w*|număr\w*|broj|številka|αριθμ\w+|номер",
    ),
    "east_slavic": (
        "RU UA KZ BY",
        r"тел(?:еф\w*)?|моб(?:[иі]л\w*)?|сот(?:ов\w*)?|факс|(?:по)?звон\w+|(?:по)?дзвон\w+|набер\w+",
        r"номер\w*|контакт\w*|справ\w+",
    ),
    "tr": ("TR", r"cep|ara(?:yın|yabil\w+|rsın|rsınız|yınız)|gsm", r"numara\w*|iletişim"),
    "semitic": (
        "IL AE SA EG JO KW MA DZ TN",
        r"[הב]?טל(?:פון)?|[הב]?נייד|(?:ה?ת)?קשר\w+|פקס|(?:ال)?هاتف|(?:ال)?جوال|موبايل|محمول|"
        r"(?:ا?ت)?صل\w*|تلفون|تليفون|فاكس|واتساب",
        r"מספר|رقم|للتواصل",
    ),
    "south_asia": (
        "IN PK BD LK NP",
        r"फोन|फ़ोन|मोबाइल|कॉल|टेलीफोन|ফোন|মোবাইল|কল|টেলিফোন|فون|موبائل",
        r"नंबर|संपर्क|নম্বর|যোগাযোগ",
    ),
    "south_sea": (
        "ID MY PH VN SG",
        r"hubungi|telp|telepon|hp|wa|tawag\w*|tumawag|i-?text|gọi|điện thoại|đt|sđt|di động|"
        r"liên hệ",
        r"nomb?or|nomer|numero|số|kontak",
    ),
    "africa": ("KE TZ UG ZA ET NG", r"simu|piga|m-?pesa|skakel|bel", r"nambari|namba|nommer"),
}
"""By language, or languages of one corner of the world: the countries, words of phones and of
calling, and words that announce other numbers as well."""
_UNSPACED: dict[str, tuple[str, str]] = {
    "chinese": ("CN TW HK", "电话|電話|手机|手機|拨打|撥打|致电|致電|热线|熱線|传真|傳真|微信"),
    "japanese": ("JP", "電話|携帯|連絡先|直通|でんわ|ファックス|お問い?合わせ"),
    "korean": ("KR", "전화|휴대폰|핸드폰|연락처|팩스"),
    "thai": ("TH", "โทร|มือถือ|ติดต่อ|แฟกซ์"),
}
"""The same of scripts without spaces between words, or with endings at them."""


_SURE = {"any", "english", *_UNSPACED}
"""Rows whose words of calling say nothing else: any number may follow them."""


class Cue(NamedTuple):
    """A word of calling. strong: it announces nothing but phone numbers. sure: and is no word of
    another language. regions: countries. at: where it stands in its text."""

    strong: bool
    sure: bool
    regions: tuple[str, ...]
    at: tuple[int, int]


def cues(text: str) -> Iterator[Cue]:
    """The words of a text that may announce a phone number."""
    pattern, regions = _compiled()
    for match in pattern.finditer(text):
        group = str(match.lastgroup)
        language, _, strength = group.rpartition("_")
        strong = strength == "strong"
        yield Cue(strong, strong and language in _SURE, regions[language], match.span())


@cache
def _compiled() -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    """One pattern for all words, with a group for each language and strength."""
    regions = {name: tuple(row[0].split()) for name, row in _WORDS.items()}
    regions |= {name: tuple(row[0].split()) for name, row in _UNSPACED.items()}
    regions["any"] = tuple(dict.fromkeys(r for row in regions.values() for r in row))
    spaced = [
        f"(?P<{name}_{strength}>(?:{row[i]}))"
        for i, strength in ((1, "strong"), (2, "weak"))
        for name, row in _WORDS.items()
        if row[i]
    ]
    unspaced = [f"(?P<{name}_strong>{words})" for name, (_, words) in _UNSPACED.items()]
    whole = rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)|{'|'.join(unspaced)}"
    return re.compile(whole, re.IGNORECASE), regions
