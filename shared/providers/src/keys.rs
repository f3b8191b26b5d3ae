//! The keys of manifests, each declared once: the reader and `docs/providers.md` follow from this list. `[webhook]` is not here,
//! because the forms of signatures are types of the crate `webhook`. `auth.rs` has those about credentials,
//! `webhooks.rs` those about the registration of webhooks.

mod auth;
mod webhooks;

use mapping::file::{Key, KeyGroup, KeyTable, ValueType, key};

pub use auth::AUTH;
use auth::{OBJECT_SCOPES, PROBE};
use webhooks::WEBHOOKS;

const TEXT: ValueType = ValueType::Text;
const TEXTS: ValueType = ValueType::OneOrMore(&ValueType::Text);
const TEXT_LIST: ValueType = ValueType::List(&ValueType::Text);
const PATH: ValueType = ValueType::Path;
const PATHS: ValueType = ValueType::OneOrMore(&ValueType::Path);
const PATH_LIST: ValueType = ValueType::List(&ValueType::Path);
const KEY_PARTS: ValueType = ValueType::List(&PATHS);
const FLAG: ValueType = ValueType::Flag;
const CONDITIONS: ValueType = ValueType::ByPath(&ValueType::Text);
const NAMES: ValueType = ValueType::Named(&ValueType::Text);
const COUNT: ValueType = ValueType::Number { least: 1 };

/// A manifest as a whole.
pub static MANIFEST: KeyTable = KeyTable::section("manifest", "manifest", &[KeyGroup::only(MANIFEST_KEYS)]);

const DESTINATIONS: ValueType = ValueType::List(&ValueType::Table(&DESTINATION));

const MANIFEST_KEYS: &[Key] = &[
    key("provider", ValueType::Table(&PROVIDER), "Names and texts.").needed(),
    key("webhook", ValueType::Unchecked, "How its webhooks prove themselves and shake hands.").needed(),
    key("answer", ValueType::Table(&ANSWER), "The answer to an accepted webhook."),
    key("events", ValueType::Table(&EVENTS), "How a verified body becomes events. A provider that sends no webhooks has none."),
    key("records", ValueType::Table(&RECORDS), "Records as its API gives them."),
    key("api", ValueType::Table(&API), "Its API."),
    key("destinations", DESTINATIONS, "Objects that the hub can write there."),
];

/// `[provider]`
pub static PROVIDER: KeyTable = KeyTable::section("`[provider]`", "provider", &[KeyGroup::only(PROVIDER_KEYS)]);

const PROVIDER_KEYS: &[Key] = &[
    key("name", TEXT, "The name of the folder.").needed(),
    key("title", TEXT, "The name that people know.").needed(),
    key("docs", TEXT_LIST, "URLs of its own documentation."),
    key(
        "lane",
        ValueType::OneOf(&["urgent", "bulk"]),
        "The lane of its webhooks, where the configuration names none. `bulk` is for what comes in bursts.",
    )
    .default("`urgent`"),
];

/// `[answer]`
pub static ANSWER: KeyTable = KeyTable::section("`[answer]`", "answer", &[KeyGroup::only(ANSWER_KEYS)]);

const ANSWER_KEYS: &[Key] = &[
    key("status", COUNT, "The HTTP status.").needed(),
    key("body", TEXT, "The body.").default("empty"),
    key("media", ValueType::OneOf(&["text", "json", "xml"]), "What the body is.").default("`text`"),
    key("deadline_ms", COUNT, "The provider wants its answer within so many milliseconds."),
    key("retries_hours", COUNT, "The provider repeats for so many hours what was not answered well."),
];

/// `[events]`
pub static EVENTS: KeyTable = KeyTable::section(
    "`[events]`",
    "events",
    &[
        KeyGroup { title: "What a body is", keys: BODY_KEYS },
        KeyGroup { title: "What is inside of it", keys: INSIDE_KEYS },
        KeyGroup { title: "What an event is", keys: EVENT_KEYS },
        KeyGroup { title: "The record", keys: RECORD_KEYS },
        KeyGroup { title: "What to do", keys: RULE_KEYS },
    ],
);

const BODY_KEYS: &[Key] = &[
    key("list", FLAG, "A body may be a list of events."),
    key(
        "at",
        PATHS,
        "Where the events are in a body that is an object: `value[*]`. Of several paths, the first that the body has counts. A body without any of them is one event.",
    ),
    key("form", FLAG, "A body may be form parameters. Brackets in their names make objects."),
    key(
        "multipart",
        FLAG,
        "A body may be a multipart form. Names stay as they are; a file becomes an object of `filename`, `type` and `size`.",
    ),
    key(
        "plain_names",
        FLAG,
        "Brackets in the names of form parameters mean nothing. Needed where strangers choose the names, because brackets would make objects.",
    ),
    key("charsets", TEXT, "The field of a form that holds the character sets of the other fields, as a JSON object."),
    key("xml", ValueType::Table(&XML), "A body may be XML: elements by local name, attributes as `@name`."),
    key("bodyless", FLAG, "An empty body is an event: its headers hold everything."),
    key("max_events", COUNT, "The most events in one body, by the provider's documentation."),
    key("sequence", ValueType::Table(&SEQUENCE), "The numbers of a body's events, so that a gap is noticed."),
];

static XML: KeyTable = KeyTable::inline(
    "`xml`",
    &[KeyGroup::only(&[key("lists", TEXT_LIST, "Elements that are a list also where there is only one.")])],
);

static SEQUENCE: KeyTable = KeyTable::inline(
    "`sequence`",
    &[KeyGroup::only(&[
        key("first", PATH, "Where the number of the first event is.").needed(),
        key("last", PATH, "Where the number of the last event is.").needed(),
    ])],
);

const FORMATS: ValueType = ValueType::Named(&ValueType::OneOf(&["json", "mail"]));

const INSIDE_KEYS: &[Key] = &[
    key("json_in", PATH_LIST, "Members that may hold the event as JSON text."),
    key(
        "embedded",
        FORMATS,
        "Members of an event whose text holds a document, which replaces the text. `json`: an object or a list. `mail`: a mail, or only its header; it becomes an object of its header fields in lower case, and `(body)`.",
    ),
    key("hook", TEXT, "The folder whose `hook.rs` rewrites each event before it is read."),
    key("headers", TEXT_LIST, "Headers that are stored with the event, in lower case."),
];

const UNTYPED_TABLES: ValueType = ValueType::OneOrMore(&ValueType::Table(&UNTYPED));

const EVENT_KEYS: &[Key] = &[
    key("type", PATHS, "Where the event type is.").needed(),
    key("untyped", UNTYPED_TABLES, "The type of bodies that name none; of several tables, the first that fits counts."),
    key("keywords", ValueType::Table(&KEYWORDS), "Keywords that people send as a text (`STOP` in a short message). A text that consists of nothing else is the keyword `$keyword`; case, white space and surrounding punctuation do not matter."),
    key("key", KEY_PARTS, "The parts of the idempotency key; of a list inside, the first that has a value counts. Each part is written with its length in front.").needed(),
    key("single_use_token", PATHS, "The token by which a signature is valid only once. A later event with the token of another one is refused."),
    key("stamp", ValueType::Table(&STAMP), "When the event happened.").default("the time of receipt"),
    key("version", PATH, "Where the version of the API is that the event is written in."),
    key("test", CONDITIONS, "Path = value: marks events about test records."),
];

static UNTYPED: KeyTable = KeyTable::inline(
    "`untyped`",
    &[KeyGroup::only(&[
        key("when", PATHS, "Paths of which one must have a value.").needed(),
        key("type", TEXT, "The type.").needed(),
    ])],
);

const SPELLINGS: ValueType = ValueType::Named(&TEXT_LIST);

static KEYWORDS: KeyTable = KeyTable::inline(
    "`keywords`",
    &[KeyGroup::only(&[
        key("from", PATHS, "Where the text is; of several, the first that is a keyword counts.").needed(),
        key("spellings", SPELLINGS, "Keyword = the texts that count as it.").needed(),
    ])],
);

const ORDER: ValueType = ValueType::Named(&ValueType::Number { least: 0 });

static STAMP: KeyTable = KeyTable::inline(
    "`stamp`",
    &[KeyGroup::only(&[
        key("from", PATHS, "Where the time is.").needed(),
        key(
            "unit",
            ValueType::OneOf(&["iso", "s", "ms", "iso_or_s", "iso_or_ms", "dotnet", "rfc1123"]),
            "How the time is written.",
        )
        .needed(),
        key("sequence", PATHS, "The provider's sequence number."),
        key("order", ORDER, "Numbers for the names that a provider gives its steps instead of a sequence number."),
    ])],
);

const RECORD_KEYS: &[Key] = &[
    key("object", PATHS, "Where the provider's name of the object is; the first that `objects` knows counts."),
    key("objects", NAMES, "Names in events = names of objects; `*` in a name is any text.").default("the same names"),
    key("record", PATH, "Where the record is.").default("the event is the record"),
];

const RULES: ValueType = ValueType::List(&ValueType::Table(&ON));
const RULE_KEYS: &[Key] = &[key("on", RULES, "The rules, see below.").needed()];

/// `[[events.on]]`
pub static ON: KeyTable = KeyTable::section(
    "`[[events.on]]`",
    "on",
    &[
        KeyGroup { title: "Which events", keys: MATCH_KEYS },
        KeyGroup { title: "What to do with them", keys: ACTION_KEYS },
        KeyGroup { title: "Which record", keys: OBJECT_KEYS },
    ],
);

const MATCH_KEYS: &[Key] = &[
    key("types", TEXTS, "Event types; `*` is any text, also in the middle.").needed(),
    key("when", CONDITIONS, "Only where each path has its value; `*` is any text, also in the middle."),
];

const ACTIONS: &[&str] = &["map", "fetch", "delete", "privacy_delete", "merge", "restore", "sweep", "retain", "ignore"];

const ACTION_KEYS: &[Key] = &[
    key("do", ValueType::OneOf(ACTIONS), "What to do, see below.").needed(),
    key("why", TEXT, "The reason (`ignore`, `retain`, `sweep`)."),
    key(
        "each",
        PATHS,
        "A list in the event; of several paths, the first that has elements counts. Each element makes an event of its own, with `$each` (or `$each.<member>`) and `$nth` (from 0).",
    ),
    key("also_whole", FLAG, "An event for the whole, with `$whole` and without `$each`, goes before those of its elements."),
    key("key", KEY_PARTS, "The parts of the idempotency key, where these events need others."),
    key("map", TEXT, "The mapping file (`map`).").default("the object's own"),
    key("partial", FLAG, "The record holds only some fields, as of the event's own time (`map`)."),
    key("then_fetch", FLAG, "Also reads the record that is left (`merge`, `restore`), as an event of its own behind this one."),
];

const OBJECT_KEYS: &[Key] = &[
    key("object", TEXT, "The provider's name of the object, where the event does not name it."),
    key("record", PATH, "Where the record is, where these events have it elsewhere (`map`).").default("that of `[events]`"),
    key("id", PATH, "Where the object's id is. For `map`, it becomes `$object_id` in the mapping file."),
    key(
        "property",
        PATH,
        "Where the native name of the one property is that changed (`fetch`). With it, what the hub wrote itself is [known without a read](decisions/link-protocol.md).",
    ),
    key("value", PATH, "Where the value of that property is."),
    key(
        "created",
        FLAG,
        "The event reports that the record is new (`fetch`). With it, what the hub created itself is known without a read.",
    ),
    key("survivor", PATHS, "The id of the object that is left (`merge`); the first that has a value counts."),
    key("also_merged", PATH, "A list of further ids that were merged into it (`merge`)."),
];

/// `[records]`
pub static RECORDS: KeyTable = KeyTable::section("`[records]`", "records", &[KeyGroup::only(RECORDS_KEYS)]);

const RECORDS_KEYS: &[Key] = &[
    key("object", PATH, "Where a record of the API names its own object."),
    key("within", TEXT_LIST, "Paths where an answer of the API holds the record, or a list of them; `{}` is the object's name.")
        .default("the answer is the record"),
];

/// `[api]`
pub static API: KeyTable = KeyTable::section("`[api]`", "api", &[KeyGroup::only(API_KEYS)]);

const RATES: ValueType = ValueType::List(&ValueType::Table(&RATE));
const AUTHS: ValueType = ValueType::List(&ValueType::Table(&AUTH));
const SCOPES: ValueType = ValueType::Named(&ValueType::Table(&OBJECT_SCOPES));

const API_KEYS: &[Key] = &[
    key("base_url", TEXT, "Scheme and host."),
    key("version", TEXT, "The version as its path writes it, or the version that payloads were mapped from."),
    key("timeout_ms", COUNT, "When a call is given up, in milliseconds.").default("10,000"),
    key("auth", AUTHS, "The forms of credentials that it takes, see below; the recommended one first.")
        .default("the hub makes no calls"),
    key(
        "scopes",
        SCOPES,
        "Object = the scopes that its use needs. `hub connect` asks for those of the objects that are read or written, and no more.",
    ),
    key(
        "lag_ms",
        COUNT,
        "How long after a change a read may still not show it, in milliseconds (at most 900,000). Only a second read, at least this much later, proves that an object is gone.",
    )
    .default("60000"),
    key("probe", ValueType::Table(&PROBE), "A cheap read, by which `hub connect` tries the credentials."),
    key("webhooks", ValueType::Table(&WEBHOOKS), "How webhooks are registered, see below."),
    key("rates", RATES, "Token buckets; a call must pass all of them."),
    key(
        "fetch",
        NAMES,
        "Object = the path that reads a record, where the hub only reads. `{id}`, `{account}` (of the connection), `{path}` (of an id that is a URL; the host is always the connection's own) and `{since}` (an hour before the event came) are filled in.",
    ),
    key("headers", NAMES, "Headers of those calls; `{account}` is filled in."),
    key("sweep", ValueType::Table(&SWEEP), "How late changes may become visible in lists."),
];

static SWEEP: KeyTable = KeyTable::inline(
    "`sweep`",
    &[KeyGroup::only(&[
        key("overlap_s", COUNT, "How far each sweep reads back before the newest change that it knows, in seconds.")
            .default("120"),
        key("second_look_s", COUNT, "How far a sweep reads back from time to time, in seconds: at least twice in this time.")
            .default("21,600"),
    ])],
);

static RATE: KeyTable = KeyTable::inline(
    "`rates`",
    &[KeyGroup::only(&[
        key("name", TEXT, "What the bucket counts.").needed(),
        key("capacity", COUNT, "The most tokens.").needed(),
        key("window_ms", COUNT, "An empty bucket is full again after so many milliseconds.").needed(),
        key("path", TEXT, "Counts only calls whose path ends like this.").default("all calls"),
    ])],
);

/// `[[destinations]]`
pub static DESTINATION: KeyTable = KeyTable::section("`[[destinations]]`", "destinations", &[KeyGroup::only(DESTINATION_KEYS)]);

const DESTINATION_KEYS: &[Key] = &[
    key("native", TEXT, "The provider's name of the object.").needed(),
    key("id_property", TEXT, "The unique property that holds the hub's id.").needed(),
    key("natural_keys", TEXT_LIST, "Properties by which an existing object is adopted, in this order."),
    key(
        "web_addresses",
        TEXT_LIST,
        "Those natural keys that hold web addresses as somebody has entered them; they are searched in every spelling.",
    ),
    key(
        "associations",
        ASSOCIATIONS,
        "References that the provider keeps apart from the object's properties; a call of its own writes each.",
    ),
];

const ASSOCIATIONS: ValueType = ValueType::List(&ValueType::Table(&ASSOCIATION));

static ASSOCIATION: KeyTable = KeyTable::inline(
    "`associations`",
    &[KeyGroup::only(&[
        key("property", TEXT, "The name that mapping files use for it, as if it were a property.").needed(),
        key("to", TEXT, "The provider's name of the object that is referred to.").needed(),
        key("type_id", COUNT, "The provider's id of the type of association, from the object to what it refers to.").needed(),
    ])],
);

#[cfg(test)]
mod tests {
    use canonical::Lane;
    use mapping::TimeUnit;
    use mapping::file::accepted_names;

    use super::*;
    use crate::manifest::{
        About, AcceptedAnswer, ApiInfo, Association, Destination, EmbeddedFormat, EventAction, EventRule, EventStamp, Events,
        Keywords, Manifest, Media, Rate, Records, SequencePaths, SweepWindow, UntypedBody, XmlBodies,
    };

    #[test]
    fn the_tables_and_the_structs_have_the_same_keys() {
        assert_eq!(MANIFEST.sorted_names(), accepted_names::<Manifest>());
        assert_eq!(PROVIDER.sorted_names(), accepted_names::<About>());
        assert_eq!(ANSWER.sorted_names(), accepted_names::<AcceptedAnswer>());
        assert_eq!(EVENTS.sorted_names(), accepted_names::<Events>());
        assert_eq!(XML.sorted_names(), accepted_names::<XmlBodies>());
        assert_eq!(SEQUENCE.sorted_names(), accepted_names::<SequencePaths>());
        assert_eq!(UNTYPED.sorted_names(), accepted_names::<UntypedBody>());
        assert_eq!(KEYWORDS.sorted_names(), accepted_names::<Keywords>());
        assert_eq!(STAMP.sorted_names(), accepted_names::<EventStamp>());
        assert_eq!(ON.sorted_names(), accepted_names::<EventRule>());
        assert_eq!(RECORDS.sorted_names(), accepted_names::<Records>());
        assert_eq!(API.sorted_names(), accepted_names::<ApiInfo>());
        assert_eq!(RATE.sorted_names(), accepted_names::<Rate>());
        assert_eq!(SWEEP.sorted_names(), accepted_names::<SweepWindow>());
        assert_eq!(DESTINATION.sorted_names(), accepted_names::<Destination>());
        assert_eq!(ASSOCIATION.sorted_names(), accepted_names::<Association>());
    }

    #[test]
    fn the_tables_and_the_enums_have_the_same_words() {
        assert_eq!(PROVIDER.choices("lane"), accepted_names::<Lane>());
        assert_eq!(ANSWER.choices("media"), accepted_names::<Media>());
        assert_eq!(EVENTS.choices("embedded"), accepted_names::<EmbeddedFormat>());
        assert_eq!(STAMP.choices("unit"), accepted_names::<TimeUnit>());
        assert_eq!(ON.choices("do"), accepted_names::<EventAction>());
    }
}
