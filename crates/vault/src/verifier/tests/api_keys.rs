//! API keys, beside signed tokens.

use sallyport_core::capability::DeriveKeyed;

use super::*;
use crate::verifier::api_keys::{PREFIX, new_key};
use crate::{MasterKey, SystemRandom, Vault};

fn vault() -> Arc<Vault> {
    let mut master = [0; 32];
    aws_lc_rs::rand::fill(&mut master).unwrap();
    let master = MasterKey::from_bytes(master).unwrap();
    Arc::new(Vault::new(&master, Arc::new(SystemRandom)).unwrap())
}

fn principal(grant: &str, seconds: u64) -> Principal {
    let claims = claims();
    Principal {
        user: claims.user,
        client: claims.client,
        grant: GrantId::new(grant),
        token: TokenId::new(grant),
        scopes: claims.scopes,
        audience: claims.audience,
        expires: now().plus(Duration::from_secs(seconds)),
    }
}

#[test]
fn a_key_is_good_for_its_place_and_time_while_it_is_known() {
    let vault = vault();
    let derive: Arc<dyn DeriveKeyed> = vault.clone();
    let verifier = Verifier::new(ISSUER, &[], 100).unwrap().with_api_keys(derive);
    let (key, digest) = new_key(&*vault, &SystemRandom);
    let (other, other_digest) = new_key(&*vault, &SystemRandom);
    assert!(key.expose().starts_with(PREFIX) && key.expose().len() == PREFIX.len() + 43);
    assert_ne!(digest, other_digest);
    let check = |key: &str, at: Timestamp| verifier.verify(key, &[audience()], at).map(|p| p.grant.clone());
    assert_eq!(check(key.expose(), now()), Err(TokenError::Malformed));
    let both = [
        (digest, principal("one", 60), now()),
        (other_digest, principal("two", 60), now()),
    ];
    verifier.replace_api_keys(both.clone());
    for _ in 0..2 {
        assert_eq!(check(key.expose(), now()), Ok(GrantId::new("one")));
        assert_eq!(check(other.expose(), now()), Ok(GrantId::new("two")));
    }
    let ended = now().plus(Duration::from_secs(60));
    assert!(check(key.expose(), ended.minus(Duration::from_secs(1))).is_ok());
    assert_eq!(check(key.expose(), ended), Err(TokenError::Expired));
    let elsewhere = Resource::parse("https://gateway.example/mcp/team").unwrap();
    assert_eq!(
        verifier.verify(key.expose(), &[elsewhere], now()).err(),
        Some(TokenError::Audience)
    );
    for bad in ["sp_", "sp_x", &key.expose()[3..], &format!("{}A", key.expose())] {
        assert_eq!(check(bad, now()), Err(TokenError::Malformed), "{bad}");
    }
    verifier.revoke_grant(&GrantId::new("two"));
    assert_eq!(check(other.expose(), now()), Err(TokenError::Revoked));
    // What is remembered goes with the key, and with its shorter life.
    verifier.replace_api_keys([(digest, principal("one", 5), now())]);
    assert_eq!(check(other.expose(), now()), Err(TokenError::Malformed));
    assert_eq!(
        check(key.expose(), now().plus(Duration::from_secs(5))),
        Err(TokenError::Expired)
    );
    verifier.replace_api_keys([]);
    assert_eq!(check(key.expose(), now()), Err(TokenError::Malformed));
}

#[test]
fn without_api_keys_none_is_taken() {
    let vault = vault();
    let verifier = Verifier::new(ISSUER, &[], 100).unwrap();
    let (key, digest) = new_key(&*vault, &SystemRandom);
    verifier.replace_api_keys([(digest, principal("one", 60), now())]);
    assert_eq!(
        verifier.verify(key.expose(), &[audience()], now()).err(),
        Some(TokenError::Malformed)
    );
}
