//! The keys of a manifest about credentials.

use mapping::file::{Key, KeyGroup, KeyTable, ValueType, key};

const TEXT: ValueType = ValueType::Text;
const TEXT_LIST: ValueType = ValueType::List(&ValueType::Text);
const NAMES: ValueType = ValueType::Named(&ValueType::Text);
const COUNT: ValueType = ValueType::Number { least: 1 };
const GRANTS: ValueType = ValueType::List(&ValueType::OneOf(&["refresh_token", "client_credentials", "jwt_bearer"]));

/// `[[api.auth]]`
pub static AUTH: KeyTable = KeyTable::section(
    "`[[api.auth]]`",
    "auth",
    &[
        KeyGroup { title: "Every form", keys: FORM_KEYS },
        KeyGroup { title: "`basic`, `header`, `query`", keys: FIXED_KEYS },
        KeyGroup { title: "`oauth2`", keys: OAUTH2_KEYS },
        KeyGroup { title: "`oauth2`, the life of tokens", keys: LIFE_KEYS },
    ],
);

const FORM_KEYS: &[Key] = &[
    key("form", ValueType::OneOf(&["bearer", "basic", "header", "query", "oauth2"]), "How a call shows the credentials.")
        .needed(),
    key("title", TEXT, "The provider's name of what a person creates there.").needed(),
    key("create", TEXT, "What a person does there, as a sentence in the imperative. `hub connect` prints it.").needed(),
    key("url", TEXT, "Where a person does it.").needed(),
    key("scopes", TEXT_LIST, "The scopes that are always needed."),
];

const FIXED_KEYS: &[Key] = &[
    key(
        "user",
        TEXT,
        "The user part (`basic`), with `{client_id}` for what the secret has there and `{account}` for the connection's account. The password is the secret's token.",
    ),
    key("user_title", TEXT, "What stands for `{client_id}`, in words."),
    key("name", TEXT, "The header (`header`, and `oauth2` where it is not `Authorization: Bearer`) or the parameter (`query`)."),
];

const OAUTH2_KEYS: &[Key] = &[
    key("grants", GRANTS, "The grants that the token endpoint takes, the recommended one first."),
    key("token_url", TEXT, "The token endpoint. `{base_url}`, `{account}` and `{tenant}` of the connection are filled in."),
    key("authorize_url", TEXT, "The page on which a person agrees (`refresh_token`). The same is filled in."),
    key("authorize", NAMES, "Further parameters of that page."),
    key(
        "redirect",
        TEXT,
        "Where that page leads: a loopback URL, with `{port}` if any port will do. An https URL is a page whose address the person copies, for providers that refuse loopback URLs.",
    )
    .default("`http://127.0.0.1:{port}/callback`"),
    key("client_auth", ValueType::OneOf(&["body", "basic"]), "How the client proves itself to the token endpoint.").default("`body`"),
    key("scope_separator", TEXT, "What stands between two scopes.").default("a blank"),
    key(
        "app_scope",
        TEXT,
        "The scope of requests by `client_credentials` and `jwt_bearer`, where these have one. `{scopes}` stands for the needed ones.",
    ),
    key("audience", TEXT, "The audience of the assertion (`jwt_bearer`). The same is filled in."),
];

const LIFE_KEYS: &[Key] = &[
    key("lifetime_s", COUNT, "How many seconds an access token is good for, where the answer does not say."),
    key("refresh_ahead_s", COUNT, "How many seconds before its end it is refreshed.").default("300"),
    key("rotates", ValueType::Flag, "A refresh gives a new refresh token and ends the old one."),
    key("grace_s", COUNT, "For how many seconds the old refresh token still works after that."),
    key("grant_ends_days", COUNT, "After how many days the grant ends, so that a person must connect again."),
    key(
        "grant_ends_from",
        ValueType::OneOf(&["issue", "use"]),
        "From when these days count: the person's consent, or the last refresh.",
    )
    .default("`issue`"),
];

/// The scopes of one object.
pub(super) static OBJECT_SCOPES: KeyTable = KeyTable::inline(
    "`scopes`",
    &[KeyGroup {
        title: "",
        keys: &[key("read", TEXT_LIST, "To read the object."), key("write", TEXT_LIST, "To write the object.")],
    }],
);

/// `probe`
pub(super) static PROBE: KeyTable = KeyTable::inline(
    "`probe`",
    &[KeyGroup {
        title: "",
        keys: &[
            key("path", TEXT, "The path; `{account}` and `{version}` are filled in.").needed(),
            key(
                "shows",
                NAMES,
                "A word = the JSON pointer of what the answer has to show for it. An answer without one of them is a refusal.",
            )
            .needed(),
            key("scopes", TEXT, "The JSON pointer of the scopes that the credentials have, where the answer lists them."),
        ],
    }],
);

#[cfg(test)]
mod tests {
    use mapping::file::accepted_names;

    use super::*;
    use crate::manifest::{Auth, AuthForm, ClientAuth, Grant, GrantEnd, ObjectScopes, Probe};

    #[test]
    fn the_tables_and_the_types_have_the_same_names() {
        assert_eq!(AUTH.sorted_names(), accepted_names::<Auth>());
        assert_eq!(OBJECT_SCOPES.sorted_names(), accepted_names::<ObjectScopes>());
        assert_eq!(PROBE.sorted_names(), accepted_names::<Probe>());
        assert_eq!(AUTH.choices("form"), accepted_names::<AuthForm>());
        assert_eq!(AUTH.choices("grants"), accepted_names::<Grant>());
        assert_eq!(AUTH.choices("client_auth"), accepted_names::<ClientAuth>());
        assert_eq!(AUTH.choices("grant_ends_from"), accepted_names::<GrantEnd>());
    }
}
