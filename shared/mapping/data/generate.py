#!/usr/bin/env python3
"""Writes the data files of this folder out of Unicode CLDR, as the PyPI package `babel` ships it.

    pip install babel==2.19.0 && python3 shared/mapping/data/generate.py

country_names.tsv: ISO 3166-1 alpha-2 code, then its names in the languages below. A name that two countries share is left out.
windows_zones.tsv: the Windows name of a time zone, then its IANA name.

CLDR is under the Unicode licence v3 (https://www.unicode.org/license.txt).
"""

import pathlib
import re
import unicodedata

import babel
from babel.core import Locale, get_global

LANGUAGES = (
    "en ar bg bn ca cs da de el es et eu fa fi fr ga gl he hi hr hu id is it ja ko lt lv mk ms mt nb nl pl pt pt_PT ro ru sk sl sq sr "
    "sr_Latn sv th tr uk vi zh zh_Hant"
).split()
# Codes of CLDR that are no countries.
NO_COUNTRIES = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}


def folded(name):
    """About what `country.rs` makes of a name."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not "\u0300" <= c <= "\u036f")
    return " ".join(w for w in re.split(r"[\W_]+", plain) if w not in ("the", "and", "und", "et", "y", "e", "og", "och", "en"))


def countries():
    english = Locale("en").territories
    codes = sorted(code for code in english if re.fullmatch("[A-Z]{2}", code) and code not in NO_COUNTRIES)
    owner = {}
    for language in LANGUAGES:
        for code in codes:
            name = Locale.parse(language).territories.get(code)
            if name and language == "en":
                owner[folded(name)] = code
            elif name:
                known = owner.setdefault(folded(name), code)
                if known != code and folded(name) not in {folded(english[c]) for c in codes}:
                    owner[folded(name)] = None
    for code in codes:
        names = [Locale.parse(language).territories.get(code) for language in LANGUAGES]
        yield code, list(dict.fromkeys(n for n in names if n and owner[folded(n)] == code))


def write(file, lines):
    header = f"# Unicode CLDR by babel {babel.__version__}; written by generate.py. Unicode licence v3.\n"
    (pathlib.Path(__file__).parent / file).write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")


write("country_names.tsv", ("\t".join([code, *names]) for code, names in countries()))
zones = get_global("windows_zone_mapping").items()
write("windows_zones.tsv", (f"{windows}\t{iana}" for windows, iana in sorted(zones)))
