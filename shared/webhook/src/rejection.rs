//! Why a request was refused.

use thiserror::Error;

/// Why a request was refused. This is for operators and logs, never for the caller, who gets 401 without a hint.
///
/// No variant carries a secret, a signature or a part of the body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The connection has no secret configured.
    #[error("the connection has no secret to check with")]
    NoSecret,
    /// No configured secret has the form that the scheme needs.
    #[error("no configured secret has the form that this signature needs")]
    UnusableSecret,
    /// A header that carries part of the proof is not there.
    #[error("header `{0}` is missing")]
    MissingHeader(String),
    /// A header that carries part of the proof is empty.
    #[error("header `{0}` is empty")]
    EmptyHeader(String),
    /// A header that may come once came twice, possibly joined with a comma.
    #[error("header `{0}` came more than once")]
    DoubledHeader(String),
    /// A value that the proof needs is not in the body.
    #[error("the body holds no usable value at `{0}`")]
    MissingValue(String),
    /// The body cannot be parsed as far as the proof needs it.
    #[error("the body is not the {0} that the proof is in")]
    BodyUnreadable(&'static str),
    /// The body is not covered by the signature.
    #[error("the body is not covered by the signature")]
    BodyNotCovered,
    /// The signature header has another shape than declared.
    #[error("the signature is not written in the declared form")]
    MalformedSignature,
    /// The header carries more signatures than any sender makes.
    #[error("the header carries too many signatures")]
    TooManySignatures,
    /// None of the signatures has a version that the scheme accepts.
    #[error("no signature of an accepted version")]
    NoAcceptedVersion,
    /// The sender uses a version that this connection does not accept.
    #[error("signature version `{0}` is not accepted by this connection")]
    VersionNotAccepted(String),
    /// The timestamp is not in the declared unit.
    #[error("the timestamp is not readable in the declared unit")]
    MalformedTimestamp,
    /// The timestamp is too old.
    #[error("the timestamp is {0} s old, beyond the tolerance")]
    Stale(i64),
    /// The timestamp is too far in the future.
    #[error("the timestamp is {0} s ahead, beyond the tolerance")]
    Future(i64),
    /// The proof does not match: another secret, or another method, URL, timestamp or body.
    #[error("the proof does not match the request under any active secret")]
    Mismatch,
    /// The URL names another hash than that of the body.
    #[error("the body does not have the hash that the signed URL names")]
    BodyHash,
    /// The message names a certificate that is not on the signer's own host.
    #[error("the certificate URL is not on the signer's own host")]
    CertificateUrl,
    /// The certificate handed in cannot be used.
    #[error("the certificate cannot be read or has no usable key")]
    CertificateUnreadable,
    /// The clock is outside the certificate's validity.
    #[error("the certificate is not valid at this time")]
    CertificateExpired,
    /// The certificate belongs to someone else.
    #[error("the certificate is not issued to the signer")]
    CertificateName,
    /// The message belongs to a topic that is not configured.
    #[error("the topic is not configured for this connection")]
    TopicNotConfigured,
}

impl Rejection {
    /// A short stable name for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::NoSecret => "no-secret",
            Rejection::UnusableSecret => "unusable-secret",
            Rejection::MissingHeader(_) => "missing-header",
            Rejection::EmptyHeader(_) => "empty-header",
            Rejection::DoubledHeader(_) => "doubled-header",
            Rejection::MissingValue(_) => "missing-value",
            Rejection::BodyUnreadable(_) => "body-unreadable",
            Rejection::BodyNotCovered => "body-not-covered",
            Rejection::MalformedSignature => "malformed-signature",
            Rejection::TooManySignatures => "too-many-signatures",
            Rejection::NoAcceptedVersion => "no-accepted-version",
            Rejection::VersionNotAccepted(_) => "version-not-accepted",
            Rejection::MalformedTimestamp => "malformed-timestamp",
            Rejection::Stale(_) => "stale",
            Rejection::Future(_) => "future",
            Rejection::Mismatch => "mismatch",
            Rejection::BodyHash => "body-hash",
            Rejection::CertificateUrl => "certificate-url",
            Rejection::CertificateUnreadable => "certificate-unreadable",
            Rejection::CertificateExpired => "certificate-expired",
            Rejection::CertificateName => "certificate-name",
            Rejection::TopicNotConfigured => "topic-not-configured",
        }
    }

    /// Whether a secret that is newer than the cached ones could change the verdict.
    pub fn may_be_old_secret(&self) -> bool {
        matches!(self, Rejection::NoSecret | Rejection::UnusableSecret | Rejection::Mismatch)
    }

    /// What an operator should look at next.
    pub fn advice(&self) -> &'static str {
        match self {
            Rejection::NoSecret => "store the signing secret of this connection",
            Rejection::UnusableSecret => "look at the secret's form: prefix, base64, text or public key as the provider shows it",
            Rejection::MissingHeader(_) | Rejection::EmptyHeader(_) => {
                "the sender does not sign, signs in another way, or a proxy removes the header"
            }
            Rejection::DoubledHeader(_) => "a proxy or a forger added a second header; only one is allowed",
            Rejection::MissingValue(_) | Rejection::BodyUnreadable(_) => "the body is not what this provider sends",
            Rejection::BodyNotCovered => "the sender must add the hash of the body to the URL that it signs",
            Rejection::MalformedSignature => "the signature has junk, the wrong prefix or the wrong encoding",
            Rejection::TooManySignatures => "no provider sends that many signatures",
            Rejection::NoAcceptedVersion | Rejection::VersionNotAccepted(_) => {
                "the sender uses a version that is not accepted; widen the accepted versions only if you must"
            }
            Rejection::MalformedTimestamp => "the timestamp header does not hold what is declared",
            Rejection::Stale(_) => "a replay, a slow queue in between, or a wrong clock here",
            Rejection::Future(_) => "a wrong clock here or at the sender",
            Rejection::Mismatch => "wrong secret, a changed body, or a URL that differs from the one the provider called",
            Rejection::BodyHash => "the body was changed on the way",
            Rejection::CertificateUrl => "a forged message, or a signer of another cloud partition",
            Rejection::CertificateUnreadable => "fetch the certificate again",
            Rejection::CertificateExpired => "fetch the certificate again; look at the clock",
            Rejection::CertificateName => "a forged message",
            Rejection::TopicNotConfigured => "add the topic to the connection if it is yours",
        }
    }
}
