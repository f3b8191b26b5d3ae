//! The keys of `hub.toml`, each declared once: the reader and `docs/configuration.md` follow from this list.

use canonical::ValueKind;
use mapping::file::{Key, KeyGroup, KeyTable, ValueType, key};

const TEXT: ValueType = ValueType::Text;
const TEXT_LIST: ValueType = ValueType::List(&TEXT);
const FLAG: ValueType = ValueType::Flag;
const DURATION: ValueType = ValueType::Duration;
const NAMES: ValueType = ValueType::Named(&TEXT);

const fn one_group(keys: &'static [Key]) -> KeyGroup {
    KeyGroup { title: "", keys }
}

/// The file as a whole.
pub static CONFIGURATION: KeyTable = KeyTable::section("configuration", "configuration", &[one_group(CONFIGURATION_KEYS)]);

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
    key("destinations", DESTINATIONS, "Canonical object = connection = the object that it becomes there."),
    key("purposes", NAMES, "Canonical object = why its personal data may go to destinations. `hub check` warns where such data goes without a purpose."),
    key("fields", OWN_FIELDS, "Canonical object = fields of your own, which the hub's catalogue does not have."),
    key("identity", IDENTITIES, "Canonical object = by which values its records are one ([identity](decisions/identity.md))."),
    key("survivorship", ValueType::Table(&SURVIVORSHIP), "Whose value counts when sources differ."),
    key("effects", EFFECTS, "What a change of one object says about another one."),
    key("retry", ValueType::Table(&RETRY), "When a message is tried again."),
    key("fuses", ValueType::Table(&FUSES), "How much a connection may report before the rest is held."),
    key("limits", ValueType::Table(&LIMITS), "Bounds."),
    key("journal", ValueType::Table(&JOURNAL), "How long events are remembered."),
];

/// `[fuses]`
pub static FUSES: KeyTable = KeyTable::section("fuses", "fuses", &[one_group(FUSE_KEYS)]);

const FUSE_KEYS: &[Key] = &[
    key("new", ValueType::Table(&FUSE), "Records that the hub did not know."),
    key("changed", ValueType::Table(&FUSE), "Records whose values change."),
    key("deleted", ValueType::Table(&FUSE), "Records that are deleted at the source."),
];

/// A fuse.
pub static FUSE: KeyTable = KeyTable::inline("fuse", &[one_group(FUSE_LIMIT_KEYS)]);

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
    key("account", TEXT, "The tenant, company or mailbox at the provider, where its API asks for one."),
    key("time_zone", TEXT, "The account's time zone, as an IANA name. A day that the provider keeps as a point in time, such as HubSpot's close date, is a day in this zone.").default("`UTC`"),
    key(
        "test_records",
        FLAG,
        "Events about test records (Stripe's test mode, trial submissions of a form) count as well. Without it, they are ignored, and counted as such.",
    ),
];

const WEBHOOK_KEYS: &[Key] = &[
    key("lane", ValueType::OneOf(&["urgent", "bulk"]), "`urgent`: what a person waits for. `bulk`: what comes in bursts.")
        .default("`urgent`"),
    key(
        "signing_secret",
        TEXT,
        "The name of the signing secret in Secrets Manager, below the stack's prefix; never the secret itself. Each use has a secret of its own. Amazon SES needs none, because the certificate that a message names is fetched from Amazon; with one, the secret is the certificate (PEM), and no other is accepted.",
    ),
    key("signature", ValueType::Table(&SIGNATURE), "How signatures are checked, where it differs from the provider's manifest."),
    key("rotate_signing_secret", FLAG, "The hub issues the signing secret itself and changes it on a schedule."),
];

static SIGNATURE: KeyTable = KeyTable::inline(
    "`signature`",
    &[one_group(&[
        key(
            "accept",
            TEXT_LIST,
            "The signature versions that are accepted (HubSpot: `[\"v3\"]` unless you add `\"v2\"` or `\"v1\"`).",
        ),
        key("tolerance", DURATION, "The sender's clock may be off by so much."),
        key(
            "topics",
            TEXT_LIST,
            "The ARNs of the Amazon SNS topics that are the connection's own. Without any, every message is refused.",
        ),
    ])],
);

const API_KEYS: &[Key] = &[
    key("base_url", TEXT, "Where its API is. Needed when the connection is written to or swept."),
    key("api_version", TEXT, "The version of the API, where requests carry one and you need another than the manifest's."),
    key(
        "api_secret",
        TEXT,
        "The name of the API's secret in Secrets Manager, below the stack's prefix. Needed when the connection is written to or swept.",
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
        "Objects, in the provider's words, that are read on a schedule, to find what no webhook reported. The hub must be able to list them ([APIs](generated/api-capabilities.md)). The first sweep begins when it runs: what is older is taken in by `hub import`, and only then.",
    ),
];

static RATE: KeyTable = KeyTable::inline(
    "`rate`",
    &[one_group(&[
        key("requests", ValueType::Number { least: 2 }, "So many requests,").needed(),
        key("per", DURATION, "in a window of this length.").needed(),
    ])],
);

const PEOPLE_KEYS: &[Key] = &[
    key("mappings", NAMES, "Map = your own mapping file on top of the provider's, relative to `hub.toml`."),
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
    &[one_group(&[
        key("kind", ValueType::OneOf(KINDS), "What it holds. The [kinds](mapping.md#kinds) are those of mapping files.").needed(),
        key("label", TEXT, "What it means, in one sentence; the data dictionary shows it.").needed(),
        key("personal", FLAG, "Whether it is personal data. The hub encrypts the values of all fields. Personal data also needs a purpose before it goes to a destination.")
            .needed(),
        key("members", TEXT_LIST, "The values of a field of the kind `enum`. Another value is stored as it came and flagged."),
        key("refers_to", TEXT, "The canonical object that a field of the kind `ref` refers to."),
    ])],
);

/// The names of all kinds, as `canonical::ValueKind` has them.
const KINDS: &[&str] = &{
    let mut names = [""; ValueKind::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = ValueKind::ALL[at].name();
        at += 1;
    }
    names
};

/// `[identity.<object>]`
pub static IDENTITY: KeyTable = KeyTable::section(
    "identity",
    "identity",
    &[one_group(&[
        key(
            "strong",
            TEXT_LIST,
            "Fields whose equal values mean one record. `\"email+channel+purpose\"` joins several into one key; all of them must have a value.",
        ),
        key(
            "weak",
            TEXT_LIST,
            "Fields whose equal values mean one record unless a strong key tells the records apart: two records with different e-mail addresses stay two, whatever telephone number they share.",
        ),
        key(
            "people_per_value",
            ValueType::Number { least: 1 },
            "A value that more different records hold joins no further ones. Records are different if a strong key tells them apart or a person has decided so.",
        )
        .default("1"),
        key(
            "blocked",
            TEXT_LIST,
            "Further values that never link: exact ones, or a beginning with `*` (`vip@*`). Role addresses, shared hosts and placeholder numbers never link anyway.",
        ),
    ])],
);

/// `[survivorship]`
static SURVIVORSHIP: KeyTable = KeyTable::section(
    "`[survivorship]`",
    "survivorship",
    &[one_group(&[key("default", SURVIVORSHIP_RULE, "The rule of every field that has none of its own.").default("`latest`")])],
)
.with_others(ValueType::Named(&ValueType::Table(&FIELD_POLICY)));

/// The rules that a word names.
const SURVIVORSHIP_RULE: ValueType = ValueType::OneOf(&["latest", "first", "union", "most_restrictive"]);

/// The rule of one field in `[survivorship.<object>]`
pub static FIELD_POLICY: KeyTable = KeyTable::section(
    "field rule",
    "field-rule",
    &[one_group(&[
        key(
            "rule",
            SURVIVORSHIP_RULE,
            "`latest`: the newest value by the sources' own clocks. `first`: the oldest. `union`: all of them, as a set. `most_restrictive`: the strictest level of consent; only the person's own newer word loosens it.",
        ),
        key("owner", TEXT, "The value of this connection; while it has none, the newest."),
        key("prefer", TEXT_LIST, "The value of the first of these connections that has one; else the newest."),
        key(
            "cleared",
            ValueType::OneOf(&["keep", "clear"]),
            "`keep`: a source that empties the field does not empty it elsewhere. `clear`: it does, if it wins.",
        )
        .default("`keep`"),
        key("why", TEXT, "Say in a few words why this field differs; `hub explain` and the data dictionary show it.").needed(),
    ])],
);

const CONDITIONS: ValueType = ValueType::Named(&TEXT_LIST);
const ASSIGNMENTS: ValueType = ValueType::Named(&ValueType::TextOrTable(&ASSIGNMENT));

/// `[[effects]]`
pub static EFFECT: KeyTable = KeyTable::section(
    "effect",
    "effect",
    &[one_group(&[
        key("from", TEXT, "The canonical object that changes.").needed(),
        key("when", CONDITIONS, "Fields of that object = the values of which they must have one. All must hold."),
        key("to", TEXT, "The canonical object that is changed in turn.").needed(),
        key(
            "about",
            TEXT_LIST,
            "The references that lead to the affected record. A reference to a record of the kind `to` is that record; another one lends its id, so that all invoices of one subscription lead to one deal. Without a value there, each changed object leads to a record of its own.",
        ),
        key("set", ASSIGNMENTS, "Fields of the affected record = their values; `\"field\"` copies a field.").needed(),
        key("why", TEXT, "Say in a few words why one object says something about another.").needed(),
    ])],
);

static ASSIGNMENT: KeyTable = KeyTable::inline(
    "value",
    &[one_group(&[
        key("day_of", TEXT, "The day of this field, in UTC."),
        key(
            "text",
            TEXT,
            "A text, in which `{field}` is filled in; `{id}` is the object's own id. A text with a field that has no value sets nothing.",
        ),
    ])],
);

/// `[retry]`
pub static RETRY: KeyTable = KeyTable::section(
    "`[retry]`",
    "retry",
    &[one_group(&[
        key("schedule", ValueType::List(&ValueType::Duration), "The waits before the second, third, … attempt. After the last one the message is parked with its reason ([error codes](errors/README.md)). A wait is at least 1s and, with its jitter, at most 11h 45m; all of them together are shorter than 14 days.")
            .default("1m, 5m, 30m"),
        key("jitter_percent", ValueType::Number { least: 0 }, "Up to this share of each wait is added at random.").default("20"),
    ])],
);

/// `[limits]`
pub static LIMITS: KeyTable = KeyTable::section("`[limits]`", "limits", &[one_group(LIMIT_KEYS)]);

const LIMIT_KEYS: &[Key] = &[
    key(
        "members",
        ValueType::Number { least: 1 },
        "Source records of one golden record. Beyond it, the message is parked (`cap-exceeded`).",
    )
    .default("40"),
    key(
        "union_entries",
        ValueType::Number { least: 1 },
        "Entries of a union. Beyond it, the message is parked (`cap-exceeded`).",
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
        "A larger body goes to S3 first; so does a smaller one whose message would be larger than 1 MiB.",
    )
    .default("700000"),
    key("future", DURATION, "A stamp that is further ahead is brought back to the time of receipt, and flagged.").default("2m"),
    key("echo", DURATION, "An equal value that arrives later than this after our write is treated as a person's edit.")
        .default("2s"),
];

/// `[journal]`
pub static JOURNAL: KeyTable = KeyTable::section(
    "`[journal]`",
    "journal",
    &[one_group(&[
        key("days", ValueType::Number { least: 1 }, "How long the hub recognises an event: at least 28, which is the retention of queues and dead letters (14 days each), and the provider's longest redelivery window on top of it.")
            .default("45"),
    ])],
);
