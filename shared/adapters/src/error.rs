//! Which errors of AWS are worth another try, and which are not.

use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use sync::ports::PortError;

/// Errors that last until a person fixes a permission, a credential or a key, and that no message may be lost for. Errors of KMS
/// are recognised by their prefix, which the services spell `KMS` or `Kms`.
const FIXED_BY_A_PERSON: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "DecryptionFailure",
    "EncryptionFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Errors that pass by themselves and that the SDK's own lists do not name: too many messages of a queue in flight, and the
/// reasons of a cancelled transaction, which are not spelled like errors.
const ALSO_TRANSIENT: &[&str] = &["OverLimit", "ProvisionedThroughputExceeded", "ThrottlingError"];

/// Whether a request that failed with this code may succeed later without being changed.
pub(crate) fn may_pass(code: &str) -> bool {
    let lists = [THROTTLING_ERRORS, TRANSIENT_ERRORS, FIXED_BY_A_PERSON, ALSO_TRANSIENT];
    code.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case("KMS")) || lists.iter().any(|list| list.contains(&code))
}

/// The error of a call that failed with this code.
pub(crate) fn error_of(code: &str) -> PortError {
    if may_pass(code) { PortError::unavailable(code) } else { PortError::rejected(code) }
}

/// Turns an SDK error into a port error. Only the service's code is kept: its message may repeat what we sent.
pub(crate) fn port_error<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> PortError {
    match error {
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("no code");
            if service.raw().status().is_server_error() { PortError::unavailable(code) } else { error_of(code) }
        }
        SdkError::TimeoutError(_) => PortError::unavailable("timed out"),
        SdkError::DispatchFailure(_) => PortError::unavailable("no connection"),
        SdkError::ResponseError(_) => PortError::unavailable("the answer could not be read"),
        _ => PortError::rejected("the request could not be built"),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    fn answered(status: u16, code: Option<&str>) -> PortError {
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = code {
            metadata = metadata.code(code);
        }
        let response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        port_error(&SdkError::service_error(metadata.build(), response))
    }

    #[test]
    fn throttling_and_what_a_person_fixes_is_tried_again() {
        for code in [
            "ThrottlingException",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "TransactionInProgressException",
            "RequestTimeout",
            "OverLimit",
            "KMS.DisabledException",
            "KMS.ThrottlingException",
            "KmsDisabled",
            "KmsInvalidState",
            "AccessDeniedException",
            "ExpiredTokenException",
            "DecryptionFailure",
        ] {
            assert_eq!(answered(400, Some(code)), PortError::unavailable(code));
        }
    }

    #[test]
    fn a_failing_service_is_tried_again_whatever_its_code() {
        for code in ["InternalServerError", "InternalServiceError", "ServiceUnavailable", "ValidationException"] {
            assert_eq!(answered(503, Some(code)), PortError::unavailable(code));
        }
        assert_eq!(answered(500, None), PortError::unavailable("no code"));
    }

    #[test]
    fn a_wrong_request_is_not_tried_again() {
        for code in [
            "ValidationException",
            "ResourceNotFoundException",
            "AWS.SimpleQueueService.BatchRequestTooLong",
            "InvalidParameterValue",
            "ItemCollectionSizeLimitExceededException",
        ] {
            assert_eq!(answered(400, Some(code)), PortError::rejected(code));
        }
    }
}
