//! What is remembered, and what ends it.

use super::*;

#[test]
fn a_signed_token_is_its_principal() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    let first = gate.check(token.expose()).unwrap();
    assert_eq!(first.user.as_str(), "alice");
    assert_eq!(first.client.as_str(), "client");
    assert_eq!(first.grant.as_str(), "grant");
    assert_eq!(first.token.as_str(), "jti");
    assert!(first.scopes.contains("mcp"));
    assert_eq!(first.audience, audience());
    assert_eq!(first.expires, claims().expires);
    let second = gate.check(token.expose()).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "the second look is remembered");
    assert!(
        gate.check(&gate.sign(&gate.header(), &body())).is_ok(),
        "the forger's tool makes good tokens too"
    );
}

#[test]
fn jw_05_a_key_that_is_gone_verifies_nothing_that_was_remembered() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    assert!(gate.check(token.expose()).is_ok());
    let next = SigningKey::generate(Alg::Es256, now()).unwrap();
    gate.signer
        .replace(&next, std::slice::from_ref(&gate.key))
        .unwrap();
    gate.verifier.replace_keys(&gate.signer.verifying_keys()).unwrap();
    let newer = gate.signer.sign(&claims()).unwrap();
    assert!(
        gate.check(token.expose()).is_ok(),
        "a retiring key still verifies"
    );
    assert!(gate.check(newer.expose()).is_ok());
    gate.signer.replace(&next, &[]).unwrap();
    gate.verifier.replace_keys(&gate.signer.verifying_keys()).unwrap();
    gate.refused(token.expose(), TokenError::Malformed);
    assert!(gate.check(newer.expose()).is_ok());
}

#[test]
fn jw_17_revocation_reaches_remembered_tokens() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    let other = gate
        .signer
        .sign(&AccessClaims {
            grant: GrantId::new("other"),
            ..claims()
        })
        .unwrap();
    assert!(gate.check(token.expose()).is_ok());
    assert!(gate.check(other.expose()).is_ok());
    gate.verifier.revoke_grant(&GrantId::new("grant"));
    gate.refused(token.expose(), TokenError::Revoked);
    let newer = gate
        .signer
        .sign(&AccessClaims {
            token: TokenId::new("2"),
            ..claims()
        })
        .unwrap();
    gate.refused(newer.expose(), TokenError::Revoked);
    assert!(gate.check(other.expose()).is_ok());
}

#[test]
fn jw_17_revocations_of_the_store_hold_after_a_restart() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    assert!(gate.check(token.expose()).is_ok());
    let restarted = Gate::with(gate.key.clone(), ISSUER, 1000);
    restarted.verifier.load_revoked([(GrantId::new("grant"), now())]);
    restarted.refused(token.expose(), TokenError::Revoked);
    restarted.verifier.forget_revoked(now());
    restarted.refused(token.expose(), TokenError::Revoked);
    restarted
        .verifier
        .forget_revoked(now().plus(Duration::from_secs(1)));
    assert!(
        restarted.check(token.expose()).is_ok(),
        "only what cannot be alive any more may be forgotten"
    );
}

#[test]
fn tokens_at_the_limit_and_past_it() {
    let gate = Gate::new();
    let of_length = |length: usize| {
        let mut pad = 0;
        loop {
            let token = gate.with_claim("pad", json!("x".repeat(pad)));
            if token.len() >= length {
                return token;
            }
            pad += (length - token.len()).div_ceil(2);
        }
    };
    let at = of_length(MAX_TOKEN);
    assert_eq!(at.len(), MAX_TOKEN);
    assert!(gate.check(&at).is_ok());
    gate.refused(&of_length(MAX_TOKEN + 1), TokenError::Malformed);
}

#[test]
fn what_is_remembered_is_bounded_and_can_be_switched_off() {
    let key = SigningKey::generate(Alg::Es256, now()).unwrap();
    for (capacity, most) in [(0, 0), (1, 64), (128, 128)] {
        let gate = Gate::with(key.clone(), ISSUER, capacity);
        for jti in 0..400 {
            let claims = AccessClaims {
                token: TokenId::new(format!("{jti}")),
                ..claims()
            };
            let token = gate.signer.sign(&claims).unwrap();
            assert!(gate.check(token.expose()).is_ok());
            assert!(gate.check(token.expose()).is_ok());
        }
        assert!(
            gate.verifier.remembered() <= most,
            "{} of {capacity}",
            gate.verifier.remembered()
        );
        assert!(capacity == 0 || gate.verifier.remembered() > 0);
    }
}

#[test]
fn an_ended_token_leaves_the_cache() {
    let gate = Gate::new();
    let token = gate.signer.sign(&claims()).unwrap();
    assert!(gate.check(token.expose()).is_ok());
    assert_eq!(gate.verifier.remembered(), 1);
    let later = now().plus(Duration::from_secs(900));
    assert_eq!(
        gate.verifier.verify(token.expose(), &[audience()], later).err(),
        Some(TokenError::Expired)
    );
    assert_eq!(gate.verifier.remembered(), 0);
}

#[test]
fn jw_16_no_live_token_is_refused_while_keys_are_rotated() {
    let gate = Gate::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (gate, stop) = (&gate, &stop);
                scope.spawn(move || {
                    let (mut kept, mut count) = (Vec::new(), 0);
                    while !stop.load(Ordering::Relaxed) || count < 50 {
                        let claims = AccessClaims {
                            token: TokenId::new(format!("{client}-{count}")),
                            ..claims()
                        };
                        kept.push(gate.signer.sign(&claims).unwrap());
                        count += 1;
                        // The newest, and one from some rotations ago.
                        for token in [kept.last(), kept.get(kept.len() / 2)].into_iter().flatten() {
                            assert!(gate.check(token.expose()).is_ok(), "{client} {count}");
                        }
                    }
                })
            })
            .collect();
        let mut ring = vec![gate.key.clone()];
        for _ in 0..50 {
            let next = SigningKey::generate(Alg::Es256, now()).unwrap();
            let retiring = ring.clone();
            ring.push(next.clone());
            // Published before it signs: nobody sees a token whose key is not known yet.
            let published: Vec<_> = ring.iter().map(|key| key.verifying().clone()).collect();
            gate.verifier.replace_keys(&published).unwrap();
            gate.signer.replace(&next, &retiring).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
    let set: Value = serde_json::from_str(&gate.signer.jwks()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 51);
}

/// Counts first uses.
#[derive(Default)]
struct Uses(std::sync::Mutex<Vec<String>>);

impl WatchLogins for Uses {
    fn turned_away(&self, _: sallyport_core::watch::Knock<'_>) {}

    fn first_use(&self, principal: &Principal) {
        self.0.lock().unwrap().push(principal.grant.to_string());
    }
}

impl Uses {
    fn of(gate: &Gate) -> Arc<Self> {
        let uses = Arc::new(Self::default());
        gate.verifier.watch(uses.clone());
        uses
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[test]
fn a_bearer_token_is_used_by_being_shown_and_told_of_once() {
    for gate in gates() {
        let uses = Uses::of(&gate);
        let token = gate.signer.sign(&claims()).unwrap();
        let token = token.expose();
        // Looking at it is no use: revocation and introspection do.
        gate.verifier.verify_any(token, &[audience()], now()).unwrap();
        assert_eq!(uses.count(), 0);
        for _ in 0..3 {
            gate.verifier.verify(token, &[audience()], now()).unwrap();
            assert_eq!(uses.count(), 1);
        }
    }
}

#[test]
fn au_10_a_bound_token_is_used_only_with_its_proof() {
    for gate in gates() {
        let uses = Uses::of(&gate);
        let bound = AccessClaims {
            key: Some(sallyport_core::Thumbprint::new(
                "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
            )),
            ..claims()
        };
        let token = gate.signer.sign(&bound).unwrap();
        let token = token.expose();
        for _ in 0..2 {
            let refused = gate.verifier.verify(token, &[audience()], now()).unwrap_err();
            assert_eq!(refused, TokenError::Bound);
        }
        let verified = gate.verifier.verify_any(token, &[audience()], now()).unwrap();
        assert_eq!(uses.count(), 0);
        for _ in 0..2 {
            gate.verifier.was_proved(token, &verified.principal);
            assert_eq!(uses.count(), 1);
        }
    }
}
