//! A proof inside a form, beside one inside JSON.

use webhook::{Headers, RawRequest, Rejection, Scheme, verify};

const SCHEME: &str = r#"
form = "versions"
accept = ["form", "json"]
[[versions]]
name = "form"
when = { header = "content-type", begins = ["multipart/form-data", "application/x-www-form-urlencoded"] }
[versions.signed]
signature = { at = { form = "signature" }, layout = "plain", encoding = "hex" }
timestamp = { at = { form = "timestamp" }, unit = "s" }
content = "{timestamp}{form:token}"
tolerance_s = 300
proofs = [{ algorithm = "hmac-sha256" }]
[[versions]]
name = "json"
[versions.signed]
signature = { at = { json = "/signature/signature" }, layout = "plain", encoding = "hex" }
timestamp = { at = { json = "/signature/timestamp" }, unit = "s" }
content = "{timestamp}{json:/signature/token}"
tolerance_s = 300
proofs = [{ algorithm = "hmac-sha256" }]
"#;

/// By Python's hmac: key `a signing key`, message `1790000000abc`.
const TAG: &str = "c647551f58b7a401967ea4e515e8cc7e4fb109c67bf1c3f21f6a64c53b7632d6";

fn tried(media: &str, body: &str) -> Result<Option<String>, Rejection> {
    let scheme: Scheme = toml::from_str(SCHEME).unwrap();
    let mut headers = Headers::new();
    headers.append("content-type", media);
    let request = RawRequest { method: "POST", url: "https://hub.example/hooks/x", headers: &headers, body: body.as_bytes() };
    verify(&scheme, request, &["a signing key"], 1_790_000_010_000).map(|verified| verified.evidence().version.clone())
}

fn multipart(fields: &[(&str, &str)]) -> String {
    let part =
        |(name, value): &(&str, &str)| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    fields.iter().map(part).chain(["--b--\r\n".to_owned()]).collect()
}

#[test]
fn the_proof_may_be_in_either_kind_of_form_or_in_json() {
    let form = Ok(Some("form".to_owned()));
    let urlencoded = format!("text=a%3Db&timestamp=1790000000&token=abc&signature={TAG}");
    assert_eq!(tried("application/x-www-form-urlencoded", &urlencoded), form);
    let fields = [("file", "x"), ("timestamp", "1790000000"), ("token", "abc"), ("signature", TAG)];
    assert_eq!(tried("Multipart/Form-Data; boundary=b", &multipart(&fields)), form);
    let json = format!(r#"{{"signature":{{"timestamp":"1790000000","token":"abc","signature":"{TAG}"}}}}"#);
    assert_eq!(tried("application/json", &json), Ok(Some("json".to_owned())));
    assert_eq!(tried("application/x-www-form-urlencoded", &json), Err(Rejection::MissingValue("signature".into())));
}

#[test]
fn a_form_proves_nothing_when_its_proof_is_not_there_exactly_once() {
    let good = [("timestamp", "1790000000"), ("token", "abc"), ("signature", TAG)];
    for (at, (name, _)) in good.iter().enumerate() {
        let missing: Vec<_> = good.iter().copied().filter(|(n, _)| n != name).collect();
        let empty: Vec<_> = good.iter().map(|(n, v)| if n == name { (*n, "") } else { (*n, *v) }).collect();
        let doubled: Vec<_> = good.iter().chain([&good[at]]).copied().collect();
        for fields in [missing, empty, doubled] {
            let media = "multipart/form-data; boundary=b";
            assert_eq!(tried(media, &multipart(&fields)), Err(Rejection::MissingValue((*name).into())), "{fields:?}");
        }
    }
    let other = multipart(&[("timestamp", "1790000000"), ("token", "abd"), ("signature", TAG)]);
    assert_eq!(tried("multipart/form-data; boundary=b", &other), Err(Rejection::Mismatch));
    let cut = multipart(&good).replace("--b--", "");
    assert_eq!(tried("multipart/form-data; boundary=b", &cut), Err(Rejection::BodyUnreadable("form")));
}
