use sallyport_core::Timestamp;
use serde_json::Value;

use super::*;

fn fresh(alg: Alg) -> SigningKey {
    SigningKey::generate(alg, Timestamp::from_secs(1)).unwrap()
}

fn published(signer: &Signer) -> Vec<Value> {
    let set: Value = serde_json::from_str(&signer.jwks()).unwrap();
    set["keys"].as_array().unwrap().clone()
}

#[test]
fn a_stored_key_is_the_same_key() {
    for alg in Alg::ALL {
        let key = fresh(alg);
        let again = SigningKey::from_stored(alg, key.secret().clone(), key.created()).unwrap();
        assert_eq!(key.verifying(), again.verifying());
        assert_eq!((again.alg(), key.kid().len()), (alg, 43));
        for other in Alg::ALL.into_iter().filter(|other| *other != alg) {
            assert!(
                SigningKey::from_stored(other, key.secret().clone(), key.created()).is_err(),
                "{alg:?} as {other:?}"
            );
        }
        for junk in [vec![], vec![1, 2, 3], vec![7; 31], vec![7; 33]] {
            assert!(SigningKey::from_stored(alg, Secret::new(junk), key.created()).is_err());
        }
    }
}

#[test]
fn the_key_id_is_the_thumbprint_of_rfc_7638() {
    for alg in [Alg::Es256, Alg::EdDsa, Alg::Rs256] {
        let key = fresh(alg);
        let text = serde_json::to_string(&key.verifying().jwk().unwrap()).unwrap();
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(&text).unwrap();
        let expected = jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
        assert_eq!(key.kid(), expected, "{alg:?}");
    }
}

#[test]
fn the_key_set_holds_public_members_of_every_key_once() {
    let keys: Vec<_> = Alg::ALL.into_iter().map(fresh).collect();
    let signer = Signer::new("https://i", &keys[0], &keys).unwrap();
    assert_eq!(signer.verifying_keys().len(), 4);
    let published = published(&signer);
    let members = |jwk: &Value| {
        let mut names: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    let expected = [
        "alg crv kid kty use x y",
        "alg crv kid kty use x",
        "alg e kid kty n use",
    ];
    assert_eq!(published.len(), expected.len());
    for ((key, jwk), expected) in keys.iter().zip(&published).zip(expected) {
        assert_eq!(members(jwk), expected);
        assert_eq!(jwk["kid"], key.kid());
        assert_eq!(jwk["alg"], key.alg().as_str());
    }
    let shared = fresh(Alg::Hs256);
    let alone = Signer::new("https://i", &shared, &[]).unwrap();
    assert_eq!(alone.jwks(), r#"{"keys":[]}"#);
    assert!(!format!("{:?} {alone:?}", shared.verifying()).contains("Shared"));
}

#[test]
fn an_rsa_key_has_2048_bits_at_least() {
    let jwk = fresh(Alg::Rs256);
    let jwk = serde_json::to_value(jwk.verifying().jwk().unwrap()).unwrap();
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    assert_eq!(n.len() * 8, 2048);
    assert!(n[0] >= 0x80);
    assert_eq!(jwk["e"], "AQAB");
    // The form of a shorter one, whose number would do.
    let of = |bytes: usize| {
        let number = [
            &[0x02, 0x82][..],
            &u16::try_from(bytes + 1).unwrap().to_be_bytes(),
            &[0],
            &vec![0xc1; bytes],
        ]
        .concat();
        let content = [number.as_slice(), &[2, 3, 1, 0, 1]].concat();
        [
            &[0x30, 0x82][..],
            &u16::try_from(content.len()).unwrap().to_be_bytes(),
            &content,
        ]
        .concat()
    };
    assert!(VerifyingKey::rsa(&of(256)).is_some());
    assert!(VerifyingKey::rsa(&of(255)).is_none());
    let cut = of(256);
    for length in 0..cut.len() {
        assert!(VerifyingKey::rsa(&cut[..length]).is_none(), "{length}");
    }
}

#[test]
fn replacing_the_active_key_changes_header_and_set() {
    let (a, b) = (fresh(Alg::Es256), fresh(Alg::EdDsa));
    let signer = Signer::new("https://i", &a, &[]).unwrap();
    signer.replace(&b, std::slice::from_ref(&a)).unwrap();
    let kids: Vec<_> = signer
        .verifying_keys()
        .iter()
        .map(|k| k.kid().to_owned())
        .collect();
    assert_eq!(kids, [b.kid(), a.kid()]);
}
