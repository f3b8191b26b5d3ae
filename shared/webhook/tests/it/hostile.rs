//! Hostile input: nothing panics, and no random request verifies.

use webhook::{Headers, answer_unsigned, verify};

use crate::support::{NOW_MS, WEBHOOKS, declared, request};

/// xorshift64*: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap_or_default()
    }

    /// A few fragments that the parsers care about, run together, with bytes changed here and there.
    fn bytes(&mut self) -> Vec<u8> {
        const FRAGMENTS: [&str; 34] = [
            "t=",
            "1790000000",
            ",",
            "v1=",
            "v1,",
            "v1a,",
            " ",
            "sha1=",
            "v0=",
            "=",
            "AAAA",
            "AAA=",
            "%",
            "%3A",
            "%e2",
            "é",
            "☎",
            "?",
            "#",
            "://",
            "@",
            ":",
            "https://",
            "Basic ",
            "&",
            "a=b",
            "bodySHA256=",
            "{\"value\":[",
            "{\"signature\":{\"timestamp\":",
            "\"",
            "}]",
            "<a>",
            "</",
            "<Envelope><Body>",
        ];
        let mut out = Vec::new();
        for _ in 0..self.below(12) {
            out.extend_from_slice(FRAGMENTS[self.below(FRAGMENTS.len())].as_bytes());
        }
        for _ in 0..self.below(3) {
            if !out.is_empty() {
                let at = self.below(out.len());
                out[at] = self.next().to_le_bytes()[0];
            }
        }
        out
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

#[test]
fn random_requests_are_refused_without_panic() {
    let mut random = Random(0x5eed_cafe_f00d_0001);
    let names = [
        "x-signature",
        "x-signature-v3",
        "x-signature-version",
        "x-timestamp",
        "webhook-signature",
        "webhook-timestamp",
        "webhook-id",
        "other-id",
        "x-token",
        "authorization",
        "content-type",
    ];
    let mut seen = 0;
    for _ in 0..400 {
        let headers: Headers = (0..random.below(9)).map(|_| (names[random.below(names.len())], random.text())).collect();
        let (url, body) = (random.text(), random.bytes());
        let secrets =
            [random.text(), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".to_owned(), "long enough to be a secret".to_owned()];
        let secrets: Vec<&str> = secrets.iter().skip(1).map(String::as_str).chain([secrets[0].as_str()]).collect();
        for (name, webhook) in WEBHOOKS.iter() {
            let raw = request("POST", &url, &headers, &body);
            let _ = answer_unsigned(webhook, &raw);
            let guessable = secrets.iter().any(|secret| headers.all("x-token").any(|token| token == *secret));
            let verified = verify(&webhook.scheme, raw, &secrets, NOW_MS).is_ok();
            assert!(!verified || guessable, "{name}: {raw:?}");
            seen += 1;
        }
    }
    assert!(seen > 5000);
}

#[test]
fn damaged_known_answers_never_panic() {
    let mut random = Random(0x5eed_cafe_f00d_0002);
    for line in include_str!("known.jsonl").lines() {
        for _ in 0..6 {
            let mut damaged: Vec<char> = line.chars().collect();
            for _ in 0..1 + random.below(3) {
                let at = random.below(damaged.len());
                match random.below(3) {
                    0 => drop(damaged.remove(at)),
                    1 => damaged[at] = ['0', 'A', '=', '"', '☎', '\\'][random.below(6)],
                    _ => damaged.insert(at, damaged[random.below(damaged.len())]),
                }
            }
            let damaged: String = damaged.into_iter().collect();
            let _ = webhook::vectors::run(&damaged, &|provider, _, _| declared(provider), NOW_MS);
        }
    }
}

#[test]
fn deep_bodies_do_not_exhaust_the_stack() {
    let headers = Headers::new();
    for body in ["[".repeat(200_000), "<a>".repeat(200_000), "{\"value\":".repeat(100_000)] {
        for webhook in WEBHOOKS.values() {
            assert!(
                verify(&webhook.scheme, request("POST", "https://h.example/", &headers, body.as_bytes()), &["s:s"], NOW_MS)
                    .is_err()
            );
        }
    }
}
