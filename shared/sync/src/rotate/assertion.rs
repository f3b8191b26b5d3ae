//! The assertion by which a client without a refresh token proves itself: a JWT that its private key signs (RFC 7523, RS256).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;

use crate::credential::Credential;

/// An assertion begins before now by this, in seconds: the provider's clock may be behind.
const BEFORE_S: i64 = 60;
/// And it is good for this long, in seconds. Salesforce takes none that ends later than in five minutes.
const GOOD_FOR_S: i64 = 180;

/// Signs an assertion of the credential's client.
///
/// # Errors
/// The private key is missing, or is no RSA key in PEM.
pub(super) fn sign_assertion(credential: &Credential, audience: &str, scope: &str, now_ms: i64) -> Result<String, String> {
    let key = credential.private_key.as_deref().ok_or("the secret holds no private key")?;
    let key = read_key(key)?;
    let now_s = now_ms / 1_000;
    let mut claims = json!({
        "iss": credential.client_id, "aud": audience, "iat": now_s - BEFORE_S, "exp": now_s + GOOD_FOR_S,
    });
    let optional = [("sub", credential.subject.as_deref()), ("scope", Some(scope).filter(|scope| !scope.is_empty()))];
    for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        claims[name] = json!(value);
    }
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(json!({ "alg": "RS256", "typ": "JWT" })), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    // The signature does not depend on the random bytes: they only hide how long the computation takes.
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "the private key cannot sign".to_owned())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Reads a key in PEM: PKCS#8, or PKCS#1 as OpenSSL writes it.
fn read_key(pem: &str) -> Result<RsaKeyPair, String> {
    let base64: String = pem.replace("\\n", "\n").lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = STANDARD.decode(base64).map_err(|_| "the private key is not PEM".to_owned())?;
    let pair = if pem.contains("BEGIN RSA PRIVATE KEY") { RsaKeyPair::from_der(&der) } else { RsaKeyPair::from_pkcs8(&der) };
    pair.map_err(|error| format!("the private key is not an RSA key: {error}"))
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    /// A key that protects nothing: the demo signs with it.
    const KEY: &str = include_str!("../../../../infra/hub/demo/sns/key.txt");

    fn client(key: &str) -> Credential {
        Credential {
            client_id: Some("consumer".into()),
            subject: Some("hub@example.com".into()),
            private_key: Some(key.to_owned()),
            ..Credential::default()
        }
    }

    #[test]
    fn an_assertion_names_client_user_and_audience_and_its_signature_holds() {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", KEY.trim()); // secret-scan: allow, a frame
        let token = sign_assertion(&client(&pem), "https://login.example", "a b", 1_790_000_000_000).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let claims: Value = serde_json::from_slice(&decoded(parts[1])).unwrap();
        assert_eq!(
            claims,
            json!({"iss": "consumer", "sub": "hub@example.com", "aud": "https://login.example", "scope": "a b",
                "iat": 1_789_999_940, "exp": 1_790_000_180})
        );
        let header: Value = serde_json::from_slice(&decoded(parts[0])).unwrap();
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
        let pair = read_key(&pem).unwrap();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref());
        let text = format!("{}.{}", parts[0], parts[1]);
        assert!(key.verify(text.as_bytes(), &decoded(parts[2])).is_ok());
        assert!(key.verify(b"another", &decoded(parts[2])).is_err());
    }

    #[test]
    fn a_key_that_is_none_is_an_error_that_does_not_show_it() {
        for key in ["secret words", "c2VjcmV0IHdvcmRz"] {
            let error = sign_assertion(&client(key), "a", "", 0).unwrap_err();
            assert!(!error.contains("secret") && !error.contains("c2Vj"), "{error}");
        }
        assert!(sign_assertion(&Credential::default(), "a", "", 0).is_err());
    }
}
