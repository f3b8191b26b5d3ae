//! The keys of mapping files, each declared once: the reader, the data dictionary and `docs/mapping.md` follow from this list.

use canonical::ValueKind;

use crate::file::{Key, KeyGroup, KeyTable, ValueType, key};

const TEXT: ValueType = ValueType::Text;
const PATH: ValueType = ValueType::Path;
const PATHS: ValueType = ValueType::OneOrMore(&ValueType::Path);
const FLAG: ValueType = ValueType::Flag;
/// Path or variable → one value or several.
const CONDITIONS: ValueType = ValueType::ByPath(&ValueType::OneOrMore(&ValueType::Scalar));
/// Name → value.
const TRANSLATIONS: ValueType = ValueType::Named(&ValueType::Scalar);
const TIME_UNIT: ValueType = ValueType::OneOf(&["iso", "s", "ms", "iso_or_s", "iso_or_ms", "dotnet", "rfc1123"]);
const UNIT: ValueType =
    ValueType::OneOf(&["iso", "s", "ms", "iso_or_s", "iso_or_ms", "dotnet", "rfc1123", "major", "minor", "fraction"]);
const DIRECTION: ValueType = ValueType::OneOf(&["both", "in", "out"]);

/// A mapping file.
pub static MAPPING: KeyTable =
    KeyTable::section("mapping file", "mapping", &[KeyGroup::only(MAPPING_KEYS)]).with_others(ValueType::Table(&PLAN));

const MAPPING_KEYS: &[Key] = &[key("properties", PATH, "The container of the native properties.").default("the top of the body")];

/// A file that overrides a provider's mapping file.
pub static OVERRIDE: KeyTable = KeyTable::inline("overriding file", &[]).with_others(ValueType::Table(&OVERRIDE_PLAN));

static OVERRIDE_PLAN: KeyTable = KeyTable::inline("table of an overriding file", &[KeyGroup::only(&[OBJECT, FIELDS])]);

const OBJECT: Key =
    key("object", TEXT, "The canonical object, when the table has another name.").default("the name of the table");
const RULES: ValueType = ValueType::Named(&ValueType::OneOrMore(&ValueType::Table(&RULE)));
const FIELDS: Key =
    key("fields", RULES, "The rules: canonical field = rule, or a list of rules of which the first that gives a value counts.")
        .needed();

/// A table of a mapping file, which makes one canonical object.
pub static PLAN: KeyTable = KeyTable::section(
    "table of a mapping file",
    "plan",
    &[
        KeyGroup {
            title: "What the table makes",
            keys: &[
                OBJECT,
                key("remote", TEXT, "The provider's name of the object, as part of remote ids.").default("the name of the file"),
                key(
                    "kind",
                    ValueType::OneOf(&["snapshot", "partial"]),
                    "`snapshot`: the body holds the whole object; `partial`: it holds some fields.",
                )
                .default("`snapshot`"),
                key("when", CONDITIONS, "Conditions that must all hold; otherwise the table makes nothing."),
                key("test", CONDITIONS, "Conditions that mark the record as a test when all of them hold."),
                key("deleted", ValueType::Table(&DELETED), "How the body shows that the record is deleted."),
                FIELDS,
            ],
        },
        KeyGroup {
            title: "Ids and time",
            keys: &[
                key("id", PATHS, "Where the object's id is.").needed(),
                key("id_join", TEXT, "The id is all of `id`, joined by this text."),
                key("id_suffix", TEXT, "Appended to the id, for an object that a body only implies (a consent in a form)."),
                key(
                    "id_of_event",
                    FLAG,
                    "The id is that of the event (a form's submission), not the object's own. A person or company whom nothing else identifies is then held (`held`: no key). An id from `$id` always counts like that.",
                ),
                key(
                    "external",
                    ValueType::Named(&PATH),
                    "Other ids of the same record: namespace = path. `hub` is the hub's own namespace.",
                ),
                key("stamp", ValueType::Table(&STAMP), "When the object last changed.").default("the event's time"),
                key("field_stamp", ValueType::Table(&FIELD_STAMP), "Stamps of single fields."),
            ],
        },
        KeyGroup {
            title: "How values are written",
            keys: &[
                key("direction", DIRECTION, "The direction of rules that name none.").default("`both`"),
                key("empty", ValueType::OneOf(&["kept", "null"]), "`null`: an empty text clears the field.").default("`kept`"),
                key("typed", FLAG, "Numbers and booleans are written as such, not as texts."),
                key(
                    "exponents",
                    ValueType::Named(&ValueType::Number { least: 0 }),
                    "Decimals of the currencies that the provider does not count in ISO 4217 minor units: `{ ISK = 2 }`.",
                ),
            ],
        },
    ],
);

static DELETED: KeyTable = KeyTable::inline(
    "`deleted`",
    &[KeyGroup::only(&[
        key("when", CONDITIONS, "Conditions that must all hold.").needed(),
        key("merged_into", PATH, "The id of the record that this one was merged into."),
    ])],
);

static STAMP: KeyTable = KeyTable::inline(
    "`stamp`",
    &[KeyGroup::only(&[
        key("from", PATHS, "Where the time is.").needed(),
        key("unit", TIME_UNIT, "How the time is written.").default("`iso`"),
        key("sequence", PATH, "The provider's sequence number."),
    ])],
);

static FIELD_STAMP: KeyTable = KeyTable::inline(
    "`field_stamp`",
    &[KeyGroup::only(&[
        key("from", PATH, "Where the time of a property is; `{}` is the property's name.").needed(),
        key("unit", TIME_UNIT, "How the time is written.").default("`iso`"),
    ])],
);

/// The rule of a field.
pub static RULE: KeyTable = KeyTable::section(
    "rule",
    "rule",
    &[
        KeyGroup { title: "Where the value comes from", keys: SOURCE_KEYS },
        KeyGroup { title: "What kind of value it is", keys: KIND_KEYS },
        KeyGroup { title: "Phone numbers", keys: PHONE_KEYS },
        KeyGroup { title: "Money", keys: MONEY_KEYS },
        KeyGroup { title: "Days and times", keys: TIME_KEYS },
        KeyGroup { title: "Members of lists, references and sets", keys: MEMBER_KEYS },
        KeyGroup { title: "Conditions", keys: CONDITION_KEYS },
        KeyGroup { title: "The record", keys: RECORD_KEYS },
        KeyGroup { title: "The way out", keys: OUT_KEYS },
    ],
);

const SOURCE_KEYS: &[Key] = &[
    key("from", PATHS, "Where the value is. Of an address, a telephone number or a domain, the first that has a canonical form counts, also of the elements of a list."),
    key("const", ValueType::Scalar, "A fixed value instead.").step("always `{}`"),
    key("default", ValueType::Scalar, "The value when the body has none, or null, or an empty text.").step("`{}` when there is none"),
    key("join", TEXT, "Joins all of `from` with this text.").step("joined by `{}`"),
    key("collect", PATHS, "Paths that become a set of `name=value`. Beside `from`, it gives the names for the paths of `from`."),
    key("pairs", ValueType::Table(&PAIRS), "A list of objects becomes a set of `name=value`."),
    key("first_word", FLAG, "Takes only the first word of the text (the first id of a References header is the thread). Blanks, commas and semicolons end a word.")
        .step("only the first word"),
    key("angled", FLAG, "Puts angle brackets around the text, unless it has them (ids of messages, where a provider strips them).")
        .step("put in angle brackets"),
    key("query", TEXT, "Takes this parameter out of the URL that `from` finds.").step("the parameter `{}` of the URL"),
];

static PAIRS: KeyTable = KeyTable::inline(
    "`pairs`",
    &[KeyGroup::only(&[
        key("list", PATH, "Where the list is."),
        key("name", PATHS, "Where an element has its name."),
        key("value", PATHS, "Where an element has its value."),
        key("bare", FLAG, "An element without a value counts by its name."),
        key(
            "all",
            FLAG,
            "Every path of `value` that has a value counts, not only the first (what was ticked, and what was typed beside it).",
        ),
        key("object", PATH, "Instead of `list`: an object whose own members are the pairs."),
    ])],
);

const KIND_KEYS: &[Key] = &[
    key("as", ValueType::OneOf(ValueKind::NAMES), "The kind of the value, see below.").default("the field's kind in the catalogue"),
    key("unit", UNIT, "Money: `major` or `minor` units. Decimals: `fraction` (of one; the canonical value is in percent). Days and times: how they are written.")
        .default("money `major`, times `iso`"),
];

const PHONE_KEYS: &[Key] = &[
    key("region", PATHS, "Where the country is: a code, a name, or an address that ends in one."),
    key("region_default", TEXT, "The country when the body names none."),
    key(
        "calling_code",
        PATHS,
        "Where the country's calling code is, when it is apart from the number; the rest is read as it is dialled in that country.",
    ),
];

const MONEY_KEYS: &[Key] = &[
    key("currency", PATHS, "Where the currency is."),
    key("currency_default", TEXT, "The currency when the body names none."),
    key("currency_optional", FLAG, "An amount without any currency is left out instead of set aside.")
        .step("left out without a currency"),
    key(
        "currency_to",
        TEXT,
        "The native property that gets the currency. Without it, an amount in another currency than the default is not written.",
    ),
    key("times", PATHS, "Multiplies the amount (quantity × unit price).").step("multiplied by {}"),
    key("sum", FLAG, "Adds up all amounts that `from` finds.").step("all amounts found are added up"),
];

const TIME_KEYS: &[Key] = &[
    key(
        "zone",
        TEXT,
        "The zone of a time without an offset: an IANA name, a Windows name, or an offset. For a day: the zone in which an instant's day is taken, and in which it is written. `account` is the connection's `time_zone`.",
    ),
    key("zone_from", PATHS, "Where the body names the zone; it goes before `zone`."),
    key("exclusive", FLAG, "Day: the body gives the day after the last one.")
        .step("less one: the source names the day after the last"),
];

const MEMBER_KEYS: &[Key] = &[
    key(
        "values",
        TRANSLATIONS,
        "Member: native = canonical; an unknown value is stored as it came and flagged. For every kind, `native = \"\"` says that this value means none; for days and times, a day stands for all its times.",
    ),
    key(
        "out",
        TRANSLATIONS,
        "Member: canonical = native, where it is not the reverse of `values`. Of several, the first in the file counts.",
    ),
    key(
        "out_only_listed",
        FLAG,
        "Member: only what `out` names is written. Otherwise the reverse of `values` is written too, and a member without a native name is a problem.",
    ),
    key("remote", TEXT, "Reference: the provider's name of the object that is referred to."),
    key("separator", TEXT, "Set: separates the values in one text.").default("`;` on the way out"),
    key("escape", TEXT, "Set: the character before a separator that belongs to a value (`Dogs\\, small`), and before itself."),
    key("without", TEXT, "Set: the field of the same record whose value is left out (of further addresses, the first one)."),
];

const CONDITION_KEYS: &[Key] = &[
    key("when", CONDITIONS, "Conditions that must all hold; otherwise the field is absent.").step("only where {}"),
    key("unless", CONDITIONS, "Conditions of which none may hold; otherwise the field is absent.").step("not where {}"),
];

const RECORD_KEYS: &[Key] = &[
    key("key", FLAG, "The field identifies the record.").step("identifies the record"),
    key(
        "why",
        TEXT,
        "The reason. An override must have one. Without it, the comment at the rule is the reason in the [data dictionary](generated/data-dictionary.md).",
    ),
];

const OUT_KEYS: &[Key] = &[
    key("direction", DIRECTION, "Whether the rule reads, writes or does both.").default("that of the table"),
    key("read_only", FLAG, "The same as `direction = \"in\"`, because the provider computes or owns the property."),
    key("to", TEXT, "The native property.").default("what `from` names below `properties`"),
    key(
        "limit",
        ValueType::Number { least: 1 },
        "The most characters (Unicode scalar values) at the destination. Longer text is cut, never inside a character.",
    )
    .step("at most {} characters there; longer text is cut"),
    key("required", FLAG, "The destination needs a value; without one the record is incomplete.").step("required there"),
    key("fallback", ValueType::OneOrMore(&TEXT), "Canonical fields that fill the property when this one is empty.")
        .step("when empty, the field {} instead"),
    key("default_out", TEXT, "Written when there is no value at all.").step("`{}` when there is no value at all"),
    key("placeholder", TEXT, "The same, and read as absent.").step("`{}` counts as no value"),
];
