//! PK: proof key for code exchange.

use sallyport_testkit::oauth::{VERIFIER, challenge};

use super::{Stage, error, redirected, refused};

#[tokio::test]
async fn pk_01_pk_02_pk_03_pk_05_no_code_without_an_s256_challenge() {
    let stage = Stage::new().await.unwrap();
    let (short, long) = ("a".repeat(42), "a".repeat(44));
    let mut paths: Vec<_> = [
        &[("code_challenge", "")][..],
        &[("code_challenge_method", "plain")],
        &[("code_challenge_method", "")],
        &[("code_challenge_method", "s256")],
        &[("code_challenge", ""), ("code_challenge_method", "")],
        &[("code_challenge", &short)],
        &[("code_challenge", &long)],
    ]
    .iter()
    .map(|changes| stage.authorize(changes))
    .collect();
    paths.push(format!(
        "{}&code_challenge=",
        stage.authorize(&[("code_challenge", "")])
    ));
    for path in paths {
        let answer = stage.get(&path).await.unwrap();
        assert_eq!(
            redirected(&answer, "error").as_deref(),
            Some("invalid_request"),
            "{path}"
        );
        assert_eq!(redirected(&answer, "code"), None);
    }
}

#[tokio::test]
async fn pk_04_pk_05_whoever_guesses_the_verifier_has_one_try() {
    let mut stage = Stage::new().await.unwrap();
    let wrong = "a".repeat(43);
    for (verifier, expected) in [
        (wrong.as_str(), "invalid_grant"),
        (&"a".repeat(42), "invalid_grant"),
        (&"a".repeat(129), "invalid_grant"),
        (&challenge(VERIFIER), "invalid_grant"),
        (&format!("{VERIFIER} "), "invalid_grant"),
        ("", "invalid_request"),
    ] {
        let code = stage.code().await.unwrap();
        let answer = stage.redeem(&code, &[("code_verifier", verifier)]).await.unwrap();
        assert_eq!(error(&answer), refused(400, expected), "{verifier}");
        let right = stage.redeem(&code, &[]).await.unwrap();
        assert_eq!(error(&right), refused(400, "invalid_grant"), "{verifier}");
    }
}
