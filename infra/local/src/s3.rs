//! S3, as far as claim checks need it: put, get, head, delete and a simple listing, addressed by path.
//!
//! Known gaps, by name: no lifecycle (objects never expire), no versions, no multipart uploads, no ranges, no
//! conditional requests, no checksums in answers; a listing is never cut into pages; a key has at most 180 bytes.

use std::path::PathBuf;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;

/// The buckets of a stack: a folder each, a file per object named by its key in base64.
#[derive(Debug)]
pub(crate) struct Buckets {
    root: PathBuf,
}

fn file_name(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

fn key_of(file_name: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(file_name).ok()?).ok()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn error(status: StatusCode, code: &str) -> Response {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
    (status, [("content-type", "application/xml")], body).into_response()
}

/// The payload of a body in `aws-chunked` encoding: hexadecimal lengths before chunks, trailers after the last.
fn dechunk(body: &[u8]) -> Option<Vec<u8>> {
    let (mut rest, mut out) = (body, Vec::new());
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let head = std::str::from_utf8(&rest[..end]).ok()?;
        let length = usize::from_str_radix(head.split(';').next()?, 16).ok()?;
        rest = &rest[end + 2..];
        if length == 0 {
            return Some(out);
        }
        out.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length + 2..)?;
    }
}

impl Buckets {
    /// Buckets kept below `root`.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes a bucket unless it exists.
    pub(crate) fn ensure(&self, bucket: &str) -> std::io::Result<()> {
        std::fs::create_dir_all(self.root.join(bucket))
    }

    /// Answers one request.
    pub(crate) fn handle(&self, method: &Method, path: &str, query: &str, headers: &HeaderMap, body: &Bytes) -> Response {
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if bucket.is_empty() || bucket.starts_with('.') || !bucket.chars().all(valid) {
            return error(StatusCode::BAD_REQUEST, "InvalidBucketName");
        }
        if key.is_empty() {
            return self.bucket(method, bucket, query);
        }
        if !self.root.join(bucket).is_dir() {
            return error(StatusCode::NOT_FOUND, "NoSuchBucket");
        }
        let key = percent_decode_str(key).decode_utf8_lossy();
        self.object(method, self.root.join(bucket).join(file_name(&key)), headers, body)
    }

    fn object(&self, method: &Method, path: PathBuf, headers: &HeaderMap, body: &Bytes) -> Response {
        let kind_path = path.with_extension("type");
        match *method {
            Method::PUT => {
                let encoding = headers.get("content-encoding").and_then(|v| v.to_str().ok()).unwrap_or_default();
                let chunked = encoding.contains("aws-chunked");
                let Some(bytes) = (if chunked { dechunk(body) } else { Some(body.to_vec()) }) else {
                    return error(StatusCode::BAD_REQUEST, "IncompleteBody");
                };
                let kind = headers.get("content-type").map_or(b"binary/octet-stream".as_slice(), |v| v.as_bytes());
                let fresh = path.with_extension("new");
                let written = std::fs::write(&fresh, &bytes).and_then(|()| std::fs::write(&kind_path, kind));
                match written.and_then(|()| std::fs::rename(&fresh, &path)) {
                    Ok(()) => (StatusCode::OK, [("etag", format!("\"{:x}\"", md5::compute(&bytes)))]).into_response(),
                    // A longer key cannot be a file name.
                    Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
                }
            }
            Method::GET | Method::HEAD => {
                let Ok(bytes) = std::fs::read(&path) else { return error(StatusCode::NOT_FOUND, "NoSuchKey") };
                let kind = std::fs::read_to_string(&kind_path).unwrap_or_else(|_| "binary/octet-stream".into());
                let etag = format!("\"{:x}\"", md5::compute(&bytes));
                // The server leaves the body of an answer to HEAD out and keeps its length.
                (StatusCode::OK, [("content-type", kind), ("etag", etag)], bytes).into_response()
            }
            Method::DELETE => {
                // Deleting an object that does not exist is not an error.
                let _ = std::fs::remove_file(&kind_path);
                let _ = std::fs::remove_file(&path);
                StatusCode::NO_CONTENT.into_response()
            }
            _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn bucket(&self, method: &Method, bucket: &str, query: &str) -> Response {
        if *method == Method::PUT {
            return match self.ensure(bucket) {
                Ok(()) => StatusCode::OK.into_response(),
                Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            };
        }
        let Ok(entries) = std::fs::read_dir(self.root.join(bucket)) else { return error(StatusCode::NOT_FOUND, "NoSuchBucket") };
        if *method == Method::HEAD {
            return StatusCode::OK.into_response();
        }
        let mut parameters = form_urlencoded::parse(query.as_bytes());
        let prefix = parameters.find(|(name, _)| name == "prefix").map(|(_, value)| value).unwrap_or_default();
        let mut found: Vec<(String, u64)> = entries
            .flatten()
            .filter_map(|e| Some((key_of(e.file_name().to_str()?)?, e.metadata().ok()?.len())))
            .filter(|(key, _)| key.starts_with(&*prefix))
            .collect();
        found.sort();
        let contents: String = found
            .iter()
            .map(|(key, size)| format!("<Contents><Key>{}</Key><Size>{size}</Size></Contents>", escape(key)))
            .collect();
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{bucket}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>",
            escape(&prefix),
            found.len()
        );
        (StatusCode::OK, [("content-type", "application/xml")], body).into_response()
    }
}
