use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::{FormerKey, SystemRandom, envelope};

const MASTER: &str = "8f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13";
const OTHER: &str = "9f1d0c6a5b7e42993ed1707a11c4b8f02b9d6c5e4f8a37d1e06b52c98d7f4a13";

/// A machine that was cloned: it draws the same numbers again.
struct Cloned(AtomicU64);

impl Random for Cloned {
    fn fill(&self, out: &mut [u8]) {
        for byte in out {
            *byte = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes()[0];
        }
    }
}

fn master(text: &str) -> MasterKey {
    MasterKey::parse(text).unwrap()
}

fn vault() -> Vault {
    Vault::new(&master(MASTER), Arc::new(SystemRandom)).unwrap()
}

#[test]
fn va_01_every_flipped_bit_is_tampering() {
    let vault = vault();
    let sealed = vault.seal_secret("servers/a/token", b"a secret of some length");
    assert_eq!(
        vault.open_secret("servers/a/token", &sealed).unwrap().expose(),
        b"a secret of some length"
    );
    for byte in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[byte] ^= 1 << bit;
            assert_eq!(
                vault.open_secret("servers/a/token", &changed).err(),
                Some(Tampered),
                "{byte}.{bit}"
            );
        }
    }
    for length in 0..sealed.len() {
        assert!(
            vault.open_secret("servers/a/token", &sealed[..length]).is_err(),
            "{length}"
        );
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert!(vault.open_secret("servers/a/token", &longer).is_err());
}

#[test]
fn va_02_a_record_opens_in_its_own_place_only() {
    let vault = vault();
    let sealed = vault.seal_secret("tenant1/server/name/1", b"s");
    for place in [
        "tenant2/server/name/1",
        "tenant1/server/name/2",
        "tenant1/server/name/",
        "",
        "tenant1/server/name/11",
    ] {
        assert!(vault.open_secret(place, &sealed).is_err(), "{place}");
    }
    let other = Vault::new(&master(OTHER), Arc::new(SystemRandom)).unwrap();
    assert!(other.open_secret("tenant1/server/name/1", &sealed).is_err());
}

#[test]
fn va_02_state_opens_for_its_purpose_and_binding_only() {
    const ALL: [Purpose; 6] = [
        Purpose::Session,
        Purpose::Cursor,
        Purpose::RequestState,
        Purpose::Task,
        Purpose::LoginForm,
        Purpose::KeptSession,
    ];
    let vault = vault();
    for sealed_for in ALL {
        let sealed = vault.seal(sealed_for, "5:alice:client", b"state");
        for opened_for in ALL {
            let opened = vault.open(opened_for, "5:alice:client", &sealed);
            assert_eq!(
                opened.is_some(),
                opened_for == sealed_for,
                "{sealed_for:?} as {opened_for:?}"
            );
        }
        assert_eq!(vault.open(sealed_for, "3:bob:client", &sealed), None);
        // Neither can a sealed secret be passed off as state.
        let secret = URL_SAFE_NO_PAD.encode(vault.seal_secret("5:alice:client", b"state"));
        assert_eq!(vault.open(sealed_for, "5:alice:client", &secret), None);
    }
    for text in [
        "",
        "!",
        "AAAA",
        &"A".repeat(100),
        "\u{0}",
        &format!("{}=", vault.seal(Purpose::Cursor, "", b"")),
    ] {
        assert_eq!(vault.open(Purpose::Cursor, "", text), None, "{text:?}");
    }
}

#[test]
fn va_03_nonces_do_not_repeat() {
    let vault = vault();
    let mut seen = HashSet::new();
    for _ in 0..100_000 {
        let sealed = vault.seal_secret("r", b"");
        assert!(seen.insert(sealed[9..21].to_vec()));
    }
}

#[test]
fn va_03_a_cloned_machine_gives_no_plain_text_away() {
    let make = || Vault::new(&master(MASTER), Arc::new(Cloned(AtomicU64::new(7)))).unwrap();
    let (a, b) = (
        make().seal_secret("r", &[0; 64]),
        make().seal_secret("r", &[1; 64]),
    );
    assert_eq!(a[9..21], b[9..21], "the nonce does repeat");
    // In counter modes the two would differ by 1 in every byte.
    let same = a[21..85]
        .iter()
        .zip(&b[21..85])
        .filter(|(a, b)| *a ^ *b == 1)
        .count();
    assert!(
        same < 16,
        "{same} of 64 bytes show the difference of the messages"
    );
    let vault = make();
    assert_eq!(vault.open_secret("r", &a).unwrap().expose(), &[0; 64]);
    assert_eq!(vault.open_secret("r", &b).unwrap().expose(), &[1; 64]);
}

fn rings(active: &str, retired: &str) -> Vault {
    let keys = MasterKeys::parse(active, retired).unwrap();
    Vault::of(
        Ring::new(&keys).unwrap(),
        &HashRoot::drawn(&master(MASTER)).unwrap(),
        Arc::new(SystemRandom),
    )
}

#[test]
fn a_retired_key_opens_and_no_longer_seals() {
    let old = vault();
    let secret = old.seal_secret("r", b"s");
    let state = old.seal(Purpose::Session, "p", b"s");
    assert!(rings(OTHER, "").open_secret("r", &secret).is_err());
    let new = rings(OTHER, MASTER);
    assert_eq!(new.open_secret("r", &secret).unwrap().expose(), b"s");
    assert_eq!(
        new.open(Purpose::Session, "p", &state).as_deref(),
        Some(b"s".as_slice())
    );
    assert!(old.open_secret("r", &new.seal_secret("r", b"s")).is_err());
    assert_eq!(
        new.derive("code", b"x"),
        old.derive("code", b"x"),
        "the root stays"
    );
    assert_eq!(
        new.ring().ids(),
        [OTHER, MASTER].map(|key| master(key).id().unwrap())
    );
    assert_eq!(Ring::named(&secret), Some(master(MASTER).id().unwrap()));
}

#[test]
fn what_is_left_of_a_key_opens_what_clients_carry_and_no_secret() {
    let old = vault();
    let secret = old.seal_secret("r", b"s");
    let former = FormerKey {
        id: master(MASTER).id().unwrap(),
        state: master(MASTER).state_keys().unwrap(),
    };
    let new = rings(OTHER, "");
    let state = |purpose| old.seal(purpose, "p", b"s");
    let states = [
        Purpose::Session,
        Purpose::Cursor,
        Purpose::RequestState,
        Purpose::Task,
        Purpose::LoginForm,
        Purpose::KeptSession,
    ]
    .map(|purpose| (purpose, state(purpose)));
    assert!(
        states
            .iter()
            .all(|(purpose, state)| new.open(*purpose, "p", state).is_none())
    );
    let ring = Ring::new(&MasterKeys::one(master(OTHER))).unwrap();
    new.replace(ring.with_former(&[former]).unwrap());
    for (purpose, state) in &states {
        assert_eq!(new.open(*purpose, "p", state).as_deref(), Some(b"s".as_slice()));
        assert_eq!(new.open(*purpose, "q", state), None);
    }
    assert!(new.open_secret("r", &secret).is_err());
    assert_eq!(new.ring().ids(), [master(OTHER).id().unwrap()]);
}

#[test]
fn derived_values_are_stable_and_separate() {
    let (a, b) = (vault(), vault());
    assert_eq!(a.derive("code", b"x"), b.derive("code", b"x"));
    assert_eq!(a.derive("code", b"x"), a.derive("code", b"x"));
    assert_ne!(a.derive("code", b"x"), a.derive("refresh", b"x"));
    assert_ne!(a.derive("code", b"x"), a.derive("code", b"y"));
    assert_ne!(a.derive("ab", b"c"), a.derive("a", b"bc"));
    let other = Vault::new(&master(OTHER), Arc::new(SystemRandom)).unwrap();
    assert_ne!(a.derive("code", b"x"), other.derive("code", b"x"));
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens(bound in ".*", plain in proptest::collection::vec(any::<u8>(), 0..300)) {
        let vault = vault();
        let sealed = vault.seal(Purpose::Session, &bound, &plain);
        prop_assert_eq!(vault.open(Purpose::Session, &bound, &sealed), Some(plain.clone()));
        let sealed = vault.seal_secret(&bound, &plain);
        prop_assert_eq!(sealed.len(), plain.len() + envelope::OVERHEAD);
        let opened = vault.open_secret(&bound, &sealed).unwrap();
        prop_assert_eq!(opened.expose(), &plain);
    }

    #[test]
    fn no_input_opens_or_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), text in ".*") {
        let vault = vault();
        prop_assert!(vault.open_secret("r", &bytes).is_err());
        prop_assert!(vault.open(Purpose::Session, "", &text).is_none());
    }
}
