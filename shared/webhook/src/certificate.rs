//! Reads a signer's certificate. The chain is not verified, because the certificate comes over TLS from the signer's own host.

use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::rejection::Rejection;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The RSA public key (PKCS #1 DER) of the first certificate in `pem`, if it is valid at `now_ms` and issued to one of
/// `names`.
pub(crate) fn rsa_key(pem: &str, names: &[String], now_ms: i64) -> Result<Vec<u8>, Rejection> {
    let chain = Certificate::load_pem_chain(pem.as_bytes()).map_err(|_| Rejection::CertificateUnreadable)?;
    let certificate = chain.first().ok_or(Rejection::CertificateUnreadable)?.tbs_certificate();
    let validity = certificate.validity();
    let now_s = u64::try_from(now_ms).unwrap_or_default() / 1000;
    let inside =
        validity.not_before.to_unix_duration().as_secs() <= now_s && now_s <= validity.not_after.to_unix_duration().as_secs();
    if !inside {
        return Err(Rejection::CertificateExpired);
    }
    if !issued_to(certificate).iter().any(|name| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))) {
        return Err(Rejection::CertificateName);
    }
    let key = certificate.subject_public_key_info();
    if key.algorithm.oid != RSA {
        return Err(Rejection::CertificateUnreadable);
    }
    key.subject_public_key.as_bytes().map(<[u8]>::to_vec).ok_or(Rejection::CertificateUnreadable)
}

/// The alternative names, or the common name of a certificate that has none.
fn issued_to(certificate: &x509_cert::TbsCertificate) -> Vec<String> {
    if let Ok(Some((_, names))) = certificate.get_extension::<SubjectAltName>() {
        let dns = |name: &GeneralName| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
            _ => None,
        };
        return names.0.iter().filter_map(dns).collect();
    }
    let text = |value: &x509_cert::der::Any| {
        let utf8 = value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str().to_owned());
        utf8.or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned())).ok()
    };
    certificate.subject().iter().filter(|part| part.oid == COMMON_NAME).filter_map(|part| text(&part.value)).collect()
}
