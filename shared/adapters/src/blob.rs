//! The claim-check bucket: two calls of S3, signed with `aws-sigv4`. The SDK's S3 crate would add more to a bootstrap than all the
//! rest of ours (see `docs/decisions/claim-check.md`).

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use ring::digest;
use sync::ports::{Blob, HttpRequest, HttpResponse, PortError};

use crate::Aws;

const TIMEOUT_MS: u64 = 5_000;

/// The bucket and what a signature needs.
pub struct Bucket {
    name: Option<String>,
    region: String,
    endpoint: Option<String>,
    credentials: Credentials,
}

impl Bucket {
    /// A bucket; without a name every call fails.
    pub fn new(name: Option<String>, region: String, endpoint: Option<String>, credentials: Credentials) -> Bucket {
        Bucket { name, region, endpoint, credentials }
    }

    fn url(&self, key: &str) -> Result<String, PortError> {
        let bucket = self.name.as_deref().ok_or_else(|| PortError::rejected("this function has no bucket"))?;
        Ok(match &self.endpoint {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
            None => format!("https://{bucket}.s3.{}.amazonaws.com/{key}", self.region),
        })
    }

    fn signed(&self, method: &'static str, key: &str, body: Vec<u8>) -> Result<HttpRequest, PortError> {
        let broken = |what: &str| PortError::rejected(format!("a request to the bucket cannot be {what}"));
        let url = self.url(key)?;
        let hash = hex::encode(digest::digest(&digest::SHA256, &body));
        let identity = self.credentials.clone().into();
        let settings = SigningSettings::default();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|_| broken("signed"))?;
        let headers = [("x-amz-content-sha256", hash.as_str())];
        let request = SignableRequest::new(method, &url, headers.into_iter(), SignableBody::Precomputed(hash.clone()))
            .map_err(|_| broken("built"))?;
        let (instructions, _) = sign(request, &parameters.into()).map_err(|_| broken("signed"))?.into_parts();
        let mut signed = vec![("x-amz-content-sha256".to_owned(), hash.clone())];
        signed.extend(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(HttpRequest { method, url, headers: signed, body, timeout_ms: TIMEOUT_MS })
    }
}

impl Aws {
    async fn bucket_call(&self, request: HttpRequest) -> Result<HttpResponse, PortError> {
        let uri = request.url.parse().map_err(|_| PortError::rejected("the bucket's URL cannot be read"))?;
        self.http.exchange(request, uri).await.map_err(|e| PortError::unavailable(e.to_string()))
    }
}

/// The error of an answer. A disabled key of the bucket answers 400, and lasts until a person enables it again.
fn failed(answer: &HttpResponse) -> PortError {
    let status = answer.status;
    let reason = format!("the bucket answered {status}");
    let of_kms = String::from_utf8_lossy(&answer.body).contains("<Code>KMS.");
    if of_kms || status == 429 || status >= 500 { PortError::unavailable(reason) } else { PortError::rejected(reason) }
}

impl Blob for Aws {
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<(), PortError> {
        let answer = self.bucket_call(self.blob.signed("PUT", key, bytes.to_vec())?).await?;
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(failed(&answer)) }
    }

    async fn get_blob(&self, key: &str) -> Result<Option<Vec<u8>>, PortError> {
        let answer = self.bucket_call(self.blob.signed("GET", key, Vec::new())?).await?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            // With the permission to list the bucket, a missing key is a 404. So a 403 is a mistake in the permissions: the message
            // is retried until somebody corrects it.
            403 => Err(PortError::unavailable("the bucket answered 403")),
            _ => Err(failed(&answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disabled_key_of_the_bucket_is_waited_for() {
        let answer = |status, body: &str| HttpResponse { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
        let disabled = answer(400, "<Error><Code>KMS.DisabledException</Code><Message>arn is disabled.</Message></Error>");
        assert_eq!(failed(&disabled), PortError::unavailable("the bucket answered 400"));
        assert_eq!(
            failed(&answer(400, "<Error><Code>InvalidArgument</Code></Error>")),
            PortError::rejected("the bucket answered 400")
        );
    }
}
