//! The keys of `hub.toml`, each declared once: the reader and `docs/configuration.md` follow from this list.

use canonical::ValueKind;
use mapping::file::{Key, KeyGroup, KeyTable, ValueType, key};

const TEXT: ValueType = ValueType::Text;
const TEXT_LIST: ValueType = ValueType::List(&TEXT);
const FLAG: ValueType = ValueType::Flag;
const DURATION: ValueType = ValueType::Duration;
const NAMES: ValueType = ValueType::Named(&TEXT);

/// The file as a whole.
pub static CONFIGURATION: KeyTable = KeyTable::section("configuration", "configuration", &[KeyGroup::only(CONFIGURATION_KEYS)]);

const CONNECTIONS: ValueType = ValueType::Named(&ValueType::Table(&CONNECTION));
const DESTINATIONS: ValueType = ValueType::Named(&NAMES);
const OWN_FIELDS: ValueType = ValueType::Named(&ValueType::Named(&ValueType::Table(&OWN_FIELD)));
const IDENTITIES: ValueType = ValueType::Named(&ValueType::Table(&IDENTITY));
const EFFECTS: ValueType = ValueType::List(&ValueType::Table(&EFFECT));

const CONFIGURATION_KEYS: &[Key] = &[
    key(
        "generation",
        ValueType::Number { least: 1 },
        "A number that rises with every change. Records remember the configuration that resolved them, and a process that a deployment is about to end does not overwrite them. Set it only if you number your configurations yourself.",
    )
    .default("the time of packing"),
    key("connections", CONNECTIONS, "One account at one provider each.").needed(),
    key("destinations", DESTINATIONS, "By canonical object and connection: the object there that it is written to."),
    key("purposes", NAMES, "By canonical object: why its personal data may be written to destinations. `hub check` warns if such data is written without a purpose."),
    key("fields", OWN_FIELDS, "Canonical object = fields of your own, which the hub's catalogue does not have."),
    key("identity", IDENTITIES, "By canonical object: which equal values make records one ([identity](decisions/identity.md))."),
    key("survivorship", ValueType::Table(&SURVIVORSHIP), "Whose value counts when sources differ."),
    key("effects", EFFECTS, "How a change of one object also changes another one."),
    key("retry", ValueType::Table(&RETRY), "When a message is tried again."),
    key("fuses", ValueType::Table(&FUSES), "How much a connection may report before the rest is held."),
    key("limits", ValueType::Table(&LIMITS), "Limits."),
    key("journal", ValueType::Table(&JOURNAL), "How long events are recognised."),
];

/// `[fuses]`
pub static FUSES: KeyTable = KeyTable::section("fuses", "fuses", &[KeyGroup::only(FUSE_KEYS)]);

const FUSE_KEYS: &[Key] = &[
    key("new", ValueType::Table(&FUSE), "Records that the hub did not know."),
    key("changed", ValueType::Table(&FUSE), "Records whose values change."),
    key("deleted", ValueType::Table(&FUSE), "Records that are deleted at the source."),
];

/// A fuse.
pub static FUSE: KeyTable = KeyTable::inline("fuse", &[KeyGroup::only(FUSE_LIMIT_KEYS)]);

const FUSE_LIMIT_KEYS: &[Key] = &[
    key("most", ValueType::Number { least: 1 }, "So many records always pass,").needed(),
    key(
        "percent",
        ValueType::Number { least: 0 },
        "or so many percent of those that the hub knows from the connection, if that is more,",
    ),
    key("per", DURATION, "in a time of this length.").needed(),
];

/// `[connections.<name>]`
pub static CONNECTION: KeyTable = KeyTable::section(
    "connection",
    "connection",
    &[
        KeyGroup { title: "The account", keys: ACCOUNT_KEYS },
        KeyGroup { title: "Its webhooks", keys: WEBHOOK_KEYS },
        KeyGroup { title: "Its API", keys: API_KEYS },
        KeyGroup { title: "Its mapping and its people", keys: PEOPLE_KEYS },
    ],
);

const ROLES: ValueType = ValueType::List(&ValueType::OneOf(&["source", "destination"]));

const ACCOUNT_KEYS: &[Key] = &[
    key("provider", TEXT, "The folder in `shared/providers/`.").needed(),
    key("roles", ROLES, "`source`: it sends webhooks. `destination`: the hub writes to it.").needed(),
    key("account", TEXT, "The tenant, company or mailbox at the provider, if its API needs one."),
    key("time_zone", TEXT, "The account's time zone, as an IANA name. A day that the provider keeps as a point in time, such as HubSpot's close date, is a day in this zone.").default("`UTC`"),
    key(
        "test_records",
        FLAG,
        "Handle events about test records too (Stripe's test mode, test submissions of a form). Otherwise they end as `ignored`.",
    ),
];

const WEBHOOK_KEYS: &[Key] = &[
    key(
        "lane",
        ValueType::OneOf(&["urgent", "bulk"]),
        "`urgent`: events that a person waits for. `bulk`: events that arrive in bursts.",
    )
    .default("`urgent`"),
    key(
        "signing_secret",
        TEXT,
        "The name of the signing secret in Secrets Manager, without the stack's prefix; never the secret itself. Each use has a secret of its own. Amazon SES needs no secret, because the hub fetches the certificate that a message names from Amazon. If you set one, it is a certificate (PEM), and no other certificate is accepted.",
    ),
    key("signature", ValueType::Table(&SIGNATURE), "How signatures are checked, if that differs from the provider's manifest."),
    key("rotate_signing_secret", FLAG, "The hub issues the signing secret itself and changes it on a schedule."),
];

static SIGNATURE: KeyTable = KeyTable::inline(
    "`signature`",
    &[KeyGroup::only(&[
        key(
            "accept",
            TEXT_LIST,
            "The signature versions that are accepted (HubSpot: `[\"v3\"]` unless you add `\"v2\"` or `\"v1\"`).",
        ),
        key("tolerance", DURATION, "How far the sender's clock may differ."),
        key("topics", TEXT_LIST, "The ARNs of the connection's own Amazon SNS topics. Without any, every message is refused."),
    ])],
);

const API_KEYS: &[Key] = &[
    key("base_url", TEXT, "The URL of its API. Needed if the connection is a destination or is swept."),
    key("tenant", TEXT, "The directory (tenant) that signs people and apps in, for Microsoft.").default("`organizations`"),
    key(
        "auth_url",
        TEXT,
        "Scheme and host that replace those at which the provider gives tokens: of a national cloud (`https://login.microsoftonline.us`) or a sandbox (`https://test.salesforce.com`).",
    ),
    key("api_version", TEXT, "The version of the API, if requests name one and you need another than the manifest's."),
    key(
        "api_secret",
        TEXT,
        "The name of the API's secret in Secrets Manager, without the stack's prefix. Needed if the connection is a destination or is swept.",
    ),
    key(
        "rate",
        ValueType::Table(&RATE),
        "What the account allows, in place of the provider's rate for all calls; its rates for single calls, such as searches, stay. Half may go at once and the other half comes back over the window, so no window ever sees more.",
    ),
    key(
        "write_headers",
        NAMES,
        "Headers of every call that writes records, such as Salesforce's `Sforce-Duplicate-Rule-Header`.",
    ),
    key(
        "sweep",
        TEXT_LIST,
        "Objects, by the provider's names, that are read on a schedule to find changes that no webhook reported. The hub must be able to list them ([APIs](generated/api-capabilities.md)). The first sweep begins when it runs: what is older is taken in by `hub import`, and only then.",
    ),
];

static RATE: KeyTable = KeyTable::inline(
    "`rate`",
    &[KeyGroup::only(&[
        key("requests", ValueType::Number { least: 2 }, "How many requests").needed(),
        key("per", DURATION, "are allowed in a window of this length.").needed(),
    ])],
);

const PEOPLE_KEYS: &[Key] = &[
    key("mappings", NAMES, "By map: your own mapping file, which overrides the provider's; its path is relative to `hub.toml`."),
    key("owner", TEXT, "The team or person whom alarms name. `hub check` warns without one."),
    key(
        "sla",
        DURATION,
        "The oldest message may wait this long before an alarm goes off: in the queue of a destination, and in the ingest queue of a source's lane, where the shortest of all its sources counts.",
    ),
    key(
        "quiet",
        DURATION,
        "A source that usually sends may be silent for so long, 5m to 7d; then an alarm goes off. Without it, silence raises none.",
    ),
];

/// A field of one's own in `[fields.<object>]`
pub static OWN_FIELD: KeyTable = KeyTable::section(
    "field",
    "own-field",
    &[KeyGroup::only(&[
        key("kind", ValueType::OneOf(ValueKind::NAMES), "What it holds. The [kinds](mapping.md#kinds) are those of mapping files.").needed(),
        key("label", TEXT, "What it means, in one sentence; the data dictionary shows it.").needed(),
        key("personal", FLAG, "Whether it is personal data. The hub encrypts the values of all fields. Personal data also needs a purpose before it goes to a destination.")
            .needed(),
        key("members", TEXT_LIST, "The values of a field of the kind `enum`. Another value is stored as it came and flagged."),
        key("refers_to", TEXT, "The canonical object that a field of the kind `ref` refers to."),
    ])],
);

/// `[identity.<object>]`
pub static IDENTITY: KeyTable = KeyTable::section(
    "identity",
    "identity",
    &[KeyGroup::only(&[
        key(
            "strong",
            TEXT_LIST,
            "Fields whose equal values make records one. `\"email+channel+purpose\"` joins several fields into one key, and all of them must have a value.",
        ),
        key(
            "weak",
            TEXT_LIST,
            "Fields whose equal values make records one, unless a strong key distinguishes them: two records with different e-mail addresses stay two, even with the same telephone number.",
        ),
        key(
            "people_per_value",
            ValueType::Number { least: 1 },
            "How many different records may hold a value; if more hold it, it joins no further ones. Records are different if a strong key distinguishes them or a person has decided so.",
        )
        .default("1"),
        key(
            "blocked",
            TEXT_LIST,
            "Further values that never link records: exact values, or a beginning with `*` (`vip@*`). Role addresses, shared hosts and placeholder numbers never link records.",
        ),
    ])],
);

/// `[survivorship]`
static SURVIVORSHIP: KeyTable = KeyTable::section(
    "`[survivorship]`",
    "survivorship",
    &[KeyGroup::only(&[
        key("default", SURVIVORSHIP_RULE, "The rule of every field without a rule of its own.").default("`latest`")
    ])],
)
.with_others(ValueType::Named(&ValueType::Table(&FIELD_POLICY)));

/// The rules that a word names.
const SURVIVORSHIP_RULE: ValueType = ValueType::OneOf(&["latest", "first", "union", "most_restrictive"]);

/// The rule of one field in `[survivorship.<object>]`
pub static FIELD_POLICY: KeyTable = KeyTable::section(
    "field rule",
    "field-rule",
    &[KeyGroup::only(&[
        key(
            "rule",
            SURVIVORSHIP_RULE,
            "`latest`: the newest value by the sources' own clocks. `first`: the oldest. `union`: all of them, as a set. `most_restrictive`: the strictest level of consent; only the person's own newer statement loosens it.",
        ),
        key("owner", TEXT, "The value of this connection; if it has none, the newest value."),
        key("prefer", TEXT_LIST, "The value of the first of these connections that has one; if none has one, the newest value."),
        key(
            "cleared",
            ValueType::OneOf(&["keep", "clear"]),
            "`keep`: if a source clears the field, the other values stay. `clear`: the field is cleared if that source wins.",
        )
        .default("`keep`"),
        key("why", TEXT, "Why this field differs, in a few words. `hub explain` and the data dictionary show it.").needed(),
    ])],
);

const CONDITIONS: ValueType = ValueType::Named(&TEXT_LIST);
const ASSIGNMENTS: ValueType = ValueType::Named(&ValueType::TextOrTable(&ASSIGNMENT));

/// `[[effects]]`
pub static EFFECT: KeyTable = KeyTable::section(
    "effect",
    "effect",
    &[KeyGroup::only(&[
        key("from", TEXT, "The canonical object that changes.").needed(),
        key("when", CONDITIONS, "By field of that object: the values that it may have. All of these must hold."),
        key("to", TEXT, "The canonical object that is changed as a consequence.").needed(),
        key(
            "about",
            TEXT_LIST,
            "The references that name the affected record. A reference to an object of the type `to` names that record. For a reference to another object, that object's id identifies the record, so that all invoices of one subscription change one deal. If no reference has a value, each changed object has a record of its own.",
        ),
        key("set", ASSIGNMENTS, "By field of the affected record: its value. `\"field\"` copies a field.").needed(),
        key("why", TEXT, "Why one object changes another one, in a few words.").needed(),
    ])],
);

static ASSIGNMENT: KeyTable = KeyTable::inline(
    "value",
    &[KeyGroup::only(&[
        key("day_of", TEXT, "The day of this field, in UTC."),
        key(
            "text",
            TEXT,
            "A text in which `{field}` is replaced by its value, and `{id}` by the object's own id. If a field has no value, nothing is set.",
        ),
    ])],
);

/// `[retry]`
pub static RETRY: KeyTable = KeyTable::section(
    "`[retry]`",
    "retry",
    &[KeyGroup::only(&[
        key("schedule", ValueType::List(&ValueType::Duration), "The waits before the second, third, … attempt. After the last one the message is parked with its reason ([error codes](errors/README.md)). A wait is at least 1s and, with its jitter, at most 11h 45m; all of them together are shorter than 14 days.")
            .default("1m, 5m, 30m"),
        key("jitter_percent", ValueType::Number { least: 0 }, "A random share of each wait, up to this one, is added.").default("20"),
    ])],
);

/// `[limits]`
pub static LIMITS: KeyTable = KeyTable::section("`[limits]`", "limits", &[KeyGroup::only(LIMIT_KEYS)]);

const LIMIT_KEYS: &[Key] = &[
    key(
        "members",
        ValueType::Number { least: 1 },
        "The most source records that a golden record lists. Of the oldest ones beyond it, it keeps a summary.",
    )
    .default("40"),
    key(
        "union_entries",
        ValueType::Number { least: 1 },
        "The most entries of a union. Beyond it, the first ones in order count.",
    )
    .default("200"),
    key(
        "field_bytes",
        ValueType::Number { least: 100 },
        "The longest value of one field, in bytes. A longer one is set aside (`cap-exceeded`), and the rest of the record goes on.",
    )
    .default("65536"),
    key(
        "item_bytes",
        ValueType::Number { least: 1_000 },
        "The largest event that is retained as it came. A larger one is parked (`cap-exceeded`).",
    )
    .default("350000"),
    key(
        "body_bytes",
        ValueType::Number { least: 1_000 },
        "The largest webhook body, at most 6000000. A larger one is answered with 413.",
    )
    .default("6000000"),
    key(
        "claim_check_bytes",
        ValueType::Number { least: 1_000 },
        "A larger body is stored in S3 first, and so is a smaller one whose message would exceed 1 MiB.",
    )
    .default("700000"),
    key(
        "absent_percent",
        ValueType::Number { least: 0 },
        "Linked objects of one type at one connection that may be missing at once, in percent. Of more, a person decides whether they are gone (`absences-held`).",
    )
    .default("1"),
    key("absent_objects", ValueType::Number { least: 0 }, "The same as a number. The smaller of the two counts; one alone is never too many.")
        .default("20"),
    key("future", DURATION, "A stamp that is further in the future is replaced by the time of receipt, and flagged.").default("2m"),
    key("echo", DURATION, "An equal value that arrives later than this after our write is treated as a person's edit.")
        .default("2s"),
];

/// `[journal]`
pub static JOURNAL: KeyTable = KeyTable::section(
    "`[journal]`",
    "journal",
    &[KeyGroup::only(&[
        key("days", ValueType::Number { least: 1 }, "How long the hub recognises an event: at least 28, which is the retention of queues and dead letters (14 days each), and the provider's longest redelivery window on top of it.")
            .default("45"),
    ])],
);
