//! Messages of Amazon SNS, signed with RSA by a certificate that the message names.

use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use serde_json::Value;

use crate::certificate::rsa_key;
use crate::encoding;
use crate::rejection::Rejection;
use crate::request::{Evidence, RawRequest};
use crate::scheme::Sns;
use crate::signed::parse_json;

/// The fields of a notification that are signed, in order; `Subject` only where the message has one.
const NOTIFICATION: [&str; 6] = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
/// The fields of the two kinds of confirmation that are signed, in order.
const CONFIRMATION: [&str; 7] = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

/// The URL of the certificate that an SNS message names, if it is on Amazon's own host and the message of a configured topic. The
/// caller fetches it and hands the PEM to [`verify`](crate::verify()) in place of a secret.
///
/// # Errors
/// The body is not such a message, so there is nothing to fetch.
pub fn certificate_url(sns: &Sns, body: &[u8]) -> Result<String, Rejection> {
    let message = parse_json(body)?;
    check_topic(sns, &message)?;
    checked_certificate_url(&message).map(str::to_owned)
}

fn check_topic(sns: &Sns, message: &Value) -> Result<(), Rejection> {
    let topic = field(message, "TopicArn")?;
    let configured = sns.topics.iter().any(|configured| configured == topic);
    if configured { Ok(()) } else { Err(Rejection::TopicNotConfigured) }
}

impl Sns {
    /// The hosts that serve the certificates and confirmations of the configured topics.
    pub fn hosts(&self) -> Vec<String> {
        let host = |topic: &String| {
            let mut parts = topic.split(':').skip(1);
            let (partition, region) = (parts.next()?, parts.nth(1)?);
            Some(format!("sns.{region}.amazonaws.com{}", if partition == "aws-cn" { ".cn" } else { "" }))
        };
        let mut hosts: Vec<String> = self.topics.iter().filter_map(host).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

fn checked_certificate_url(message: &Value) -> Result<&str, Rejection> {
    let url = field(message, "SigningCertURL")?;
    let path = own_host_path(url).ok_or(Rejection::CertificateUrl)?;
    if path.ends_with(".pem") && !path.contains(['?', '#']) { Ok(url) } else { Err(Rejection::CertificateUrl) }
}

pub(crate) fn verify(sns: &Sns, request: &RawRequest<'_>, certificates: &[&str], now_ms: i64) -> Result<Evidence, Rejection> {
    let message = parse_json(request.body)?;
    checked_certificate_url(&message)?;
    check_topic(sns, &message)?;
    let algorithm: &RsaParameters = match field(&message, "SignatureVersion")? {
        "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "2" => &RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(Rejection::NoAcceptedVersion),
    };
    let signed = signed_text(&message)?;
    let tag = encoding::base64(field(&message, "Signature")?).ok_or(Rejection::MalformedSignature)?;
    let mut reason = Rejection::NoSecret;
    for (position, pem) in certificates.iter().enumerate() {
        match rsa_key(pem, &sns.certificate_names, now_ms) {
            Ok(key) if UnparsedPublicKey::new(algorithm, &key).verify(signed.as_bytes(), &tag).is_ok() => {
                let signed_at_ms = field(&message, "Timestamp")?.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond());
                return Ok(Evidence { version: None, secret: position, signed_at_ms });
            }
            Ok(_) => reason = Rejection::Mismatch,
            Err(other) if reason == Rejection::NoSecret => reason = other,
            Err(_) => {}
        }
    }
    Err(reason)
}

pub(crate) fn signed_text(message: &Value) -> Result<String, Rejection> {
    let fields: &[&str] = match field(message, "Type")? {
        "Notification" => &NOTIFICATION,
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => &CONFIRMATION,
        _ => return Err(Rejection::MissingValue("/Type".to_owned())),
    };
    let mut out = String::new();
    for name in fields {
        if *name == "Subject" && message.get(*name).is_none_or(Value::is_null) {
            continue;
        }
        out.push_str(name);
        out.push('\n');
        out.push_str(field(message, name)?);
        out.push('\n');
    }
    Ok(out)
}

pub(crate) fn field<'m>(message: &'m Value, name: &str) -> Result<&'m str, Rejection> {
    message.get(name).and_then(Value::as_str).ok_or_else(|| Rejection::MissingValue(format!("/{name}")))
}

/// The path of an https URL on a host `sns.<region>.amazonaws.com`, or `.com.cn`; no port, no user.
pub(crate) fn own_host_path(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let (host, path) = rest.split_at(rest.find('/')?);
    let middle = host.strip_prefix("sns.")?;
    let region = middle.strip_suffix(".amazonaws.com").or_else(|| middle.strip_suffix(".amazonaws.com.cn"))?;
    let fine = region.len() >= 3 && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fine.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amazons_own_hosts_count() {
        for good in ["https://sns.eu-west-1.amazonaws.com/a.pem", "https://sns.cn-north-1.amazonaws.com.cn/a.pem"] {
            assert_eq!(own_host_path(good), Some("/a.pem"), "{good}");
        }
        for bad in [
            "http://sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
            "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
            "https://u@sns.eu-west-1.amazonaws.com/a.pem",
            "https://sns.x.y.amazonaws.com/a.pem",
            "https://sns.amazonaws.com/a.pem",
            "https://sns.ab.amazonaws.com/a.pem",
            "https://sns.eu-west-1.amazonaws.com",
            "https://sns.eu-west-1.amazonaws.com\\.evil.example/a.pem",
        ] {
            assert_eq!(own_host_path(bad), None, "{bad}");
        }
    }
}
