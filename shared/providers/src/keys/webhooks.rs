//! The keys of a manifest about the registration of webhooks.

use mapping::file::{Key, KeyGroup, KeyTable, ValueType, key};

const TEXT: ValueType = ValueType::Text;
const TEXT_LIST: ValueType = ValueType::List(&ValueType::Text);
const NAMES: ValueType = ValueType::Named(&ValueType::Text);
const CALL_TABLE: ValueType = ValueType::Table(&CALL);

/// `[api.webhooks]`
pub(super) static WEBHOOKS: KeyTable =
    KeyTable::section("`[api.webhooks]`", "webhooks", &[KeyGroup { title: "", keys: WEBHOOK_KEYS }]);

const WEBHOOK_KEYS: &[Key] = &[
    key(
        "by_hand",
        TEXT,
        "What a person does, as a sentence in the imperative: all of it if there is no call, or what the calls leave.",
    ),
    key("topics", TEXT_LIST, "The topics that the folder's rules handle, in the words of the registration."),
    key("per_topic", ValueType::Flag, "Each topic is a subscription of its own."),
    key("scopes", TEXT_LIST, "The scopes that registering needs."),
    key("list", ValueType::Table(&LIST), "The call that lists what is registered. Its values but `path` are JSON pointers."),
    key("create", CALL_TABLE, "The call that registers."),
    key("update", CALL_TABLE, "The call that gives a registered one all topics and switches it on again."),
    key("delete", CALL_TABLE, "The call that removes one."),
    key(
        "secret",
        ValueType::Table(&SECRET),
        "Where the provider tells the secret that it signs with, if it makes that secret itself.",
    ),
];

static LIST: KeyTable = KeyTable::inline(
    "`list`",
    &[KeyGroup {
        title: "",
        keys: &[
            key("path", TEXT, "The path. One that begins with `//` is one of the host, not of the base URL.").needed(),
            key("items", TEXT, "The list in the answer.").default("the answer is the list"),
            key("id", TEXT, "The id in an item.").needed(),
            key("url", TEXT, "The URL in an item.").needed(),
            key("topics", TEXT, "The topics in an item: a list, a text, or an object of flags. An empty pointer means the item.")
                .default("an item has all topics"),
            key("enabled", NAMES, "Where an item has which values as long as it is switched on."),
        ],
    }],
);

static CALL: KeyTable = KeyTable::inline(
    "call",
    &[KeyGroup {
        title: "",
        keys: &[
            key("method", ValueType::OneOf(&["GET", "POST", "PUT", "PATCH", "DELETE"]), "The method.").needed(),
            key("path", TEXT, "The path. `{account}`, `{version}`, `{id}`, `{url}`, `{topic}` and `{secret}` are filled in.")
                .needed(),
            key("form", ValueType::Flag, "The body is form parameters; otherwise it is JSON."),
            key(
                "body",
                ValueType::Unchecked,
                "The body. The same is filled in, and `{topics}` (as a value: the list; as a name: a member for each), `{secret_user}` and `{secret_password}`.",
            ),
        ],
    }],
);

static SECRET: KeyTable = KeyTable::inline(
    "`secret`",
    &[KeyGroup {
        title: "",
        keys: &[
            key("from", TEXT, "A JSON pointer into the answer of `call`, or of `create` if there is no call.").needed(),
            key("call", CALL_TABLE, "A further call."),
        ],
    }],
);

#[cfg(test)]
mod tests {
    use mapping::file::accepted_names;

    use super::*;
    use crate::manifest::{CallMethod, CallTemplate, SecretSource, SubscriptionList, WebhooksApi};

    #[test]
    fn the_tables_and_the_types_have_the_same_names() {
        assert_eq!(WEBHOOKS.sorted_names(), accepted_names::<WebhooksApi>());
        assert_eq!(LIST.sorted_names(), accepted_names::<SubscriptionList>());
        assert_eq!(CALL.sorted_names(), accepted_names::<CallTemplate>());
        assert_eq!(SECRET.sorted_names(), accepted_names::<SecretSource>());
        assert_eq!(CALL.choices("method"), accepted_names::<CallMethod>());
    }
}
