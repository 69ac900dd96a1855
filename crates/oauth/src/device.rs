//! The device authorization grant (RFC 8628): a device without a browser shows a code, a person enters it elsewhere.

use std::time::Duration;

use sallyport_core::{ClientId, GrantId, Random, Resource, ScopeSet, Timestamp, UserId};

use crate::model::{Client, Digest, Grant};
use crate::params::{Params, Repeated};
use crate::registration;
use crate::resources::Resources;

/// `grant_type` and the member of `grant_types`.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How long both codes are good: long enough to find a browser, short enough that guessing gains nothing.
pub const LIFETIME: Duration = Duration::from_secs(600);

/// How long a device waits between two polls (§3.2); each poll that comes too soon adds as much again (§3.5).
pub const INTERVAL: Duration = Duration::from_secs(5);

/// The most codes that wait for a person at once: together with [`LETTERS`] it decides how good a guess is.
pub const MAX_WAITING: u32 = 1000;

/// Letters of user codes: no vowels, so that no words arise, and nothing that looks like a digit (§6.1). Eight of them
/// are 34.5 bits; with a thousand codes waiting, one guess of 25 million hits one.
pub const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

const LENGTH: usize = 8;

/// A request of a device, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRequest {
    /// The hash of the device code.
    pub device: Digest,
    /// The hash of the user code.
    pub user_code: Digest,
    /// Which client asks.
    pub client: ClientId,
    /// For which resource.
    pub resource: Resource,
    /// For which scopes.
    pub scopes: ScopeSet,
    /// When it ends.
    pub expires: Timestamp,
    /// When the device asked last.
    pub polled: Option<Timestamp>,
    /// How long it has to wait between two polls.
    pub interval: Duration,
    /// What the person said.
    pub answer: Answer,
}

/// What has become of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Nobody has said anything.
    None,
    /// Yes: this grant waits for the device.
    Allowed(GrantId),
    /// No.
    Denied,
    /// The device has its tokens.
    Taken(GrantId),
}

/// What a poll gets (§3.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Poll {
    /// `authorization_pending`.
    Pending,
    /// `slow_down`, and the interval that holds from now on.
    SlowDown(Duration),
    /// `access_denied`.
    Denied,
    /// `expired_token`.
    Expired,
    /// The grant, if nobody is faster.
    Allowed(GrantId),
    /// It was used before: the grant has to end.
    Reused(GrantId),
    /// Another client's.
    Foreign,
}

/// What a device asks for: resource and scopes, by the rules of authorization requests.
///
/// # Errors
/// The `error` value and what is wrong.
pub fn asked(
    params: &Params,
    client: &Client,
    resources: &Resources,
) -> Result<(Resource, ScopeSet), (crate::ErrorCode, String)> {
    use crate::ErrorCode::{InvalidRequest, InvalidTarget, UnauthorizedClient};
    if !registration::allows_grant(client, GRANT_TYPE) {
        let text = format!("the client is not registered for `{GRANT_TYPE}`");
        return Err((UnauthorizedClient, text));
    }
    let scope = params
        .one("scope")
        .map_err(|error: Repeated| (InvalidRequest, error.to_string()))?;
    let resource = resources
        .resolve(params.all("resource"))
        .map_err(|error| (InvalidTarget, error.to_string()))?;
    Ok((resource, crate::authorize::granted_scopes(scope, client)))
}

/// Judges a poll. Whoever polls too soon waits longer from then on.
#[must_use]
pub fn poll(request: &DeviceRequest, client: &ClientId, now: Timestamp) -> Poll {
    if request.client != *client {
        return Poll::Foreign;
    }
    if let Answer::Taken(grant) = &request.answer {
        return Poll::Reused(grant.clone());
    }
    if now >= request.expires {
        return Poll::Expired;
    }
    match &request.answer {
        Answer::Denied => Poll::Denied,
        Answer::Allowed(grant) => Poll::Allowed(grant.clone()),
        _ if request
            .polled
            .is_some_and(|last| now.since(last) < request.interval) =>
        {
            Poll::SlowDown(request.interval + INTERVAL)
        }
        _ => Poll::Pending,
    }
}

/// What a yes makes.
#[must_use]
pub fn grant(
    request: &DeviceRequest,
    (id, user): (GrantId, UserId),
    now: Timestamp,
    lifetime: Duration,
) -> Grant {
    Grant {
        id,
        user,
        client: request.client.clone(),
        resource: request.resource.clone(),
        scopes: request.scopes.clone(),
        created: now,
        expires: now.plus(lifetime),
        revoked: None,
    }
}

/// A new user code, as it is kept and compared: eight letters.
#[must_use]
pub fn new_user_code(random: &dyn Random) -> String {
    let mut code = String::with_capacity(LENGTH);
    while code.len() < LENGTH {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        // 240 is the largest multiple of 20 in a byte: what is above would make some letters likelier.
        let fair = bytes.iter().filter(|byte| **byte < 240);
        let letters = fair.filter_map(|byte| LETTERS.get(usize::from(byte % 20)));
        let missing = LENGTH - code.len();
        code.extend(letters.take(missing).map(|letter| char::from(*letter)));
    }
    code
}

/// The code as people read it: `BCDF-GHJK`.
#[must_use]
pub fn shown(code: &str) -> String {
    match code.split_at_checked(LENGTH / 2) {
        Some((first, second)) => format!("{first}-{second}"),
        None => code.to_owned(),
    }
}

/// The code that a person typed, without what is between the letters and in upper case (§6.1), if it can be one.
#[must_use]
pub fn typed(text: &str) -> Option<String> {
    if text.len() > 64 {
        return None;
    }
    let letters = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
    let code: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    (code.len() == LENGTH && code.bytes().all(|b| LETTERS.contains(&b))).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn request(answer: Answer, polled: Option<u64>) -> DeviceRequest {
        DeviceRequest {
            device: [1; 32],
            user_code: [2; 32],
            client: ClientId::new("c"),
            resource: Resource::parse("http://h/mcp").unwrap(),
            scopes: ScopeSet::parse("mcp"),
            expires: NOW.plus(LIFETIME),
            polled: polled.map(|ago| NOW.minus(Duration::from_millis(ago))),
            interval: INTERVAL,
            answer,
        }
    }

    #[test]
    fn what_a_poll_gets() {
        let client = ClientId::new("c");
        let grant = GrantId::new("g");
        let table = [
            (request(Answer::None, None), Poll::Pending),
            (request(Answer::None, Some(5000)), Poll::Pending),
            (request(Answer::None, Some(4999)), Poll::SlowDown(INTERVAL * 2)),
            (request(Answer::Denied, Some(1)), Poll::Denied),
            (
                request(Answer::Allowed(grant.clone()), Some(1)),
                Poll::Allowed(grant.clone()),
            ),
            (request(Answer::Taken(grant.clone()), None), Poll::Reused(grant)),
        ];
        for (request, expected) in table {
            assert_eq!(poll(&request, &client, NOW), expected, "{request:?}");
            assert_eq!(poll(&request, &ClientId::new("d"), NOW), Poll::Foreign);
        }
        let at_the_end = NOW.plus(LIFETIME);
        for answer in [Answer::None, Answer::Denied, Answer::Allowed(GrantId::new("g"))] {
            assert_eq!(poll(&request(answer, None), &client, at_the_end), Poll::Expired);
        }
    }

    struct Counting(std::sync::atomic::AtomicU8);

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn codes_are_made_fairly_and_read_as_people_type_them() {
        let random = Counting(0.into());
        let mut counts = std::collections::HashMap::new();
        for _ in 0..16 * 30 {
            let code = new_user_code(&random);
            assert_eq!(typed(&shown(&code)).as_deref(), Some(code.as_str()));
            for letter in code.bytes() {
                *counts.entry(letter).or_insert(0) += 1;
            }
        }
        assert_eq!(counts.len(), LETTERS.len());
        assert_eq!(typed(" bcdf ghjk ").as_deref(), Some("BCDFGHJK"));
        for odd in [
            "",
            "BCDF-GHJ",
            "BCDF-GHJKL",
            "ABCD-EFGH",
            "BCDF_GHJK",
            &"B".repeat(65),
        ] {
            assert_eq!(typed(odd), None, "{odd}");
        }
    }
}
