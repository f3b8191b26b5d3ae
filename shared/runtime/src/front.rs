//! Requests to the function URL. `lambda_http` has decoded a base64 body already, so the bytes here are those to verify.

use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use sync::receive;
use webhook::Headers;

use crate::Settings;

/// The request as `receive` needs it. The URL is the one that providers were given: the configured one, or else the function's own,
/// which AWS names. It is never taken from the `Host` header.
pub fn request_of(request: Request, settings: &Settings) -> receive::Request {
    let base = match (&settings.public_url, request.request_context_ref()) {
        (Some(url), _) => url.clone(),
        (None, Some(RequestContext::ApiGatewayV2(context))) => {
            format!("https://{}", context.domain_name.as_deref().unwrap_or_default())
        }
        (None, _) => String::new(),
    };
    let path = request.raw_http_path().to_owned();
    let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
    let mut headers = Headers::new();
    for (name, value) in request.headers() {
        headers.append(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
    }
    let method = request.method().as_str().to_owned();
    let body = match request.into_body() {
        Body::Text(text) => text.into_bytes(),
        Body::Binary(bytes) => bytes,
        _ => Vec::new(),
    };
    receive::Request { method, url: format!("{base}{path}{query}"), path, headers, body }
}

/// The answer as Lambda needs it.
pub fn answer_of(answer: webhook::HttpReply) -> Result<Response<Body>, lambda_http::Error> {
    let mut response = Response::builder().status(answer.status);
    if let Some(content_type) = answer.content_type {
        response = response.header(CONTENT_TYPE, content_type);
    }
    let body = match String::from_utf8(answer.body) {
        Ok(text) if text.is_empty() => Body::Empty,
        Ok(text) => Body::Text(text),
        Err(error) => Body::Binary(error.into_bytes()),
    };
    Ok(response.body(body)?)
}
