//! JW: access tokens that are not what they seem.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sallyport_testkit::forge::Forger;
use sallyport_testkit::front::PASSWORD;
use sallyport_testkit::http::Request;
use sallyport_testkit::process::GatewayProcess;
use sallyport_vault::signing::Alg;
use serde_json::{Value, json};

use super::{Canary, Stage, list};
use crate::support::Scene;

/// A gateway, ada's claims, and a forger who has got hold of the key.
struct Forgery {
    stage: Stage,
    claims: Value,
    forger: Forger,
}

/// The object with another member.
fn with(object: &Value, name: &str, value: Value) -> Value {
    let mut members = object.as_object().cloned().unwrap_or_default();
    members.insert(name.to_owned(), value);
    Value::Object(members)
}

impl Forgery {
    /// One for each algorithm that a gateway can sign with.
    async fn each() -> anyhow::Result<Vec<Self>> {
        let mut each = Vec::new();
        for alg in Alg::ALL {
            each.push(Self::with(alg).await?);
        }
        Ok(each)
    }

    async fn with(alg: Alg) -> anyhow::Result<Self> {
        let more = format!("auth: {{ tokens: {{ alg: {} }} }}\n", alg.as_str());
        let mut stage = Stage::with(&more).await?;
        let claims = stage.tokens().await?.claims()?;
        let forger = Forger::with(&stage.gateway.signing_key().await?)?;
        let this = Self {
            stage,
            claims,
            forger,
        };
        anyhow::ensure!(this.forger.alg() == alg, "another algorithm");
        anyhow::ensure!(
            this.status(&this.good()?).await? == 200,
            "the forger's tool does not work"
        );
        Ok(this)
    }

    /// What the gateway itself would have signed.
    fn good(&self) -> anyhow::Result<String> {
        self.forger.sign(&self.forger.header(), &self.claims)
    }

    async fn status(&self, token: &str) -> anyhow::Result<u16> {
        let answer = self.stage.list(token).await?;
        if answer.status() == 401 {
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            anyhow::ensure!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        }
        Ok(answer.status())
    }

    /// What a token with another header gets.
    async fn header(&self, name: &str, value: Value) -> anyhow::Result<u16> {
        let header = with(&self.forger.header(), name, value);
        self.status(&self.forger.sign(&header, &self.claims)?).await
    }

    /// What a token with another claim gets.
    async fn claim(&self, name: &str, value: Value) -> anyhow::Result<u16> {
        let claims = with(&self.claims, name, value);
        self.status(&self.forger.sign(&self.forger.header(), &claims)?)
            .await
    }

    fn seconds(&self, name: &str) -> i64 {
        let claim = self.claims.get(name).and_then(Value::as_i64);
        claim.unwrap_or_default()
    }
}

#[tokio::test]
async fn jw_01_jw_03_the_header_does_not_choose_the_algorithm() {
    for forgery in Forgery::each().await.unwrap() {
        let own = forgery.forger.alg().as_str();
        let others = [
            "none",
            "None",
            "NONE",
            "",
            "RS256",
            "HS256",
            "ES256",
            "ES384",
            "EdDSA",
            "PS256",
            "RS512",
            "HS512",
            &own.to_lowercase(),
        ];
        for alg in others.into_iter().filter(|alg| *alg != own) {
            assert_eq!(
                forgery.header("alg", json!(alg)).await.unwrap(),
                401,
                "{own} {alg}"
            );
            let mut header = forgery.forger.header();
            header["alg"] = json!(alg);
            let signed = forgery.forger.sign(&header, &forgery.claims).unwrap();
            let (message, _) = signed.rsplit_once('.').unwrap();
            assert_eq!(
                forgery.status(&format!("{message}.")).await.unwrap(),
                401,
                "{own} {alg}"
            );
            assert_eq!(forgery.status(message).await.unwrap(), 401, "{own} {alg}");
        }
        let good = forgery.good().unwrap();
        let (message, signature) = good.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let short = signature.len() - 1;
        for hollow in [&vec![0; short + 1][..], &vec![0; short], &signature[..short], &[]] {
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(hollow));
            assert_eq!(forgery.status(&token).await.unwrap(), 401);
        }
    }
}

#[tokio::test]
async fn jw_02_the_published_key_is_no_shared_secret() {
    for forgery in Forgery::each().await.unwrap() {
        let jwks = forgery.stage.get("/.well-known/jwks.json").await.unwrap();
        let set = jwks.json().unwrap();
        let key = &set["keys"][0];
        let member = |name: &str| {
            URL_SAFE_NO_PAD
                .decode(key[name].as_str().unwrap_or_default())
                .unwrap()
        };
        // The point of P-256, and the bytes of the others' keys; of a shared secret nothing is published.
        let point = match forgery.forger.alg() {
            Alg::Es256 => [vec![4], member("x"), member("y")].concat(),
            Alg::EdDsa => member("x"),
            Alg::Rs256 => member("n"),
            Alg::Hs256 => Vec::new(),
        };
        assert_eq!(key.is_null(), forgery.forger.alg() == Alg::Hs256);
        let mut header = forgery.forger.header();
        header["alg"] = json!("HS256");
        let message = [&header, &forgery.claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
            .join(".");
        for secret in [point, jwks.body, key.to_string().into_bytes()] {
            let shared = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
            let mac = aws_lc_rs::hmac::sign(&shared, message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac));
            assert_eq!(forgery.status(&token).await.unwrap(), 401);
        }
    }
}

#[tokio::test]
async fn jw_04_jw_05_jw_06_a_header_brings_no_key_and_no_rule() {
    for forgery in Forgery::each().await.unwrap() {
        let canary = Canary::new().unwrap();
        let long = "k".repeat(4096);
        let thief = Forger::new(forgery.forger.alg()).unwrap();
        for (name, value) in [
            ("jku", json!(canary.url().unwrap())),
            ("x5u", json!(canary.url().unwrap())),
            (
                "jwk",
                json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }),
            ),
            ("x5c", json!(["MIIB"])),
            ("kid", json!("../../dev/null")),
            ("kid", json!("' OR 1=1 --")),
            ("kid", json!(long)),
            ("kid", json!(thief.kid())),
            ("kid", Value::Null),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("b64", json!(false)),
        ] {
            assert_eq!(
                forgery.header(name, value.clone()).await.unwrap(),
                401,
                "{name} {value}"
            );
            let mut header = forgery.forger.header();
            header[name] = value;
            let token = thief.sign(&header, &forgery.claims).unwrap();
            assert_eq!(forgery.status(&token).await.unwrap(), 401, "{name}");
        }
        assert!(canary.sings());
    }
}

#[tokio::test]
async fn jw_07_jw_08_time_is_a_number_and_passes() {
    for forgery in Forgery::each().await.unwrap() {
        let (issued, expires) = (forgery.seconds("iat"), forgery.seconds("exp"));
        for name in ["exp", "iat"] {
            for value in [
                json!(expires.to_string()),
                json!(-1),
                json!(1e308),
                json!([expires]),
                Value::Null,
                json!(true),
            ] {
                // A time of issue long ago is no lie by itself.
                if name == "iat" && value == json!(-1) {
                    continue;
                }
                assert_eq!(
                    forgery.claim(name, value.clone()).await.unwrap(),
                    401,
                    "{name} {value}"
                );
            }
        }
        for (name, value, status) in [
            ("nbf", json!((issued - 60).to_string()), 401),
            ("nbf", json!(issued + 61), 401),
            ("nbf", json!(issued + 60), 200),
            ("iat", json!(issued + 61), 401),
            ("iat", json!(issued + 60), 200),
            ("exp", json!(issued), 401),
            ("exp", json!(issued + 1), 200),
        ] {
            assert_eq!(
                forgery.claim(name, value.clone()).await.unwrap(),
                status,
                "{name} {value}"
            );
        }
        let good = forgery.good().unwrap();
        let life = Duration::from_secs(u64::try_from(expires - issued).unwrap());
        forgery.stage.gateway.advance(life - Duration::from_secs(1));
        assert_eq!(forgery.status(&good).await.unwrap(), 200);
        forgery.stage.gateway.advance(Duration::from_secs(1));
        assert_eq!(forgery.status(&good).await.unwrap(), 401);
    }
}

#[tokio::test]
async fn jw_10_jw_11_jw_12_a_token_of_another_kind_or_for_another_place() {
    for forgery in Forgery::each().await.unwrap() {
        for typ in ["JWT", "id_token", "logout+jwt", "dpop+jwt", ""] {
            assert_eq!(forgery.header("typ", json!(typ)).await.unwrap(), 401, "{typ}");
        }
        let ours = forgery.claims["aud"].as_str().unwrap().to_owned();
        for audience in [
            json!([ours, "https://other.test/mcp"]),
            json!(ours.trim_end_matches("/mcp")),
            json!(format!("{ours}x")),
            json!(ours.to_uppercase()),
            json!(""),
            Value::Null,
        ] {
            assert_eq!(
                forgery.claim("aud", audience.clone()).await.unwrap(),
                401,
                "{audience}"
            );
        }
        let issuer = forgery.claims["iss"].as_str().unwrap().to_owned();
        for other in [
            format!("{issuer}/"),
            issuer.to_uppercase(),
            issuer.replace("http:", "https:"),
            "http://127.0.0.1".to_owned(),
        ] {
            assert_eq!(forgery.claim("iss", json!(other)).await.unwrap(), 401, "{other}");
        }
    }
}

#[tokio::test]
async fn jw_13_jw_18_a_token_of_another_gateway() {
    for forgery in Forgery::each().await.unwrap() {
        let other = Forgery::with(forgery.forger.alg()).await.unwrap();
        // Their own token; ours signed by them, under their key's name and under ours.
        let theirs = other.good().unwrap();
        assert_eq!(forgery.status(&theirs).await.unwrap(), 401);
        for header in [other.forger.header(), forgery.forger.header()] {
            let token = other.forger.sign(&header, &forgery.claims).unwrap();
            assert_eq!(forgery.status(&token).await.unwrap(), 401);
        }
        // One key in two places: the issuer still tells them apart.
        let bled = forgery
            .forger
            .sign(&forgery.forger.header(), &other.claims)
            .unwrap();
        assert_eq!(forgery.status(&bled).await.unwrap(), 401);
    }
}

#[tokio::test]
async fn jw_15_base64url_has_one_spelling() {
    for forgery in Forgery::each().await.unwrap() {
        let good = forgery.good().unwrap();
        let (message, signature) = good.rsplit_once('.').unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.find(signature.chars().next_back().unwrap()).unwrap();
        let sloppy = alphabet.chars().nth(last | 1).unwrap();
        for lax in [
            format!("{good}="),
            format!("{good}=="),
            good.replacen('.', "=.", 1),
            good.replacen('.', " .", 1),
            good.replacen('.', "\t.", 1),
            format!("{message}.{}{sloppy}", &signature[..signature.len() - 1]),
        ] {
            let status = forgery.stage.list(&lax).await.unwrap().status();
            assert!(matches!(status, 400 | 401), "{lax} {status}");
        }
    }
}

#[tokio::test]
async fn jw_17_what_is_revoked_stays_so_after_a_crash() {
    let mut scene = Scene::demo().await.unwrap();
    scene.gateway.add_user("eve", false).await.unwrap();
    let token = scene.token_for("eve", "default").await.unwrap();
    let status = async |gateway: &GatewayProcess| {
        let mut connection = gateway.connect().await?;
        Ok::<_, anyhow::Error>(connection.ask(&list("/mcp").bearer(&token)).await?.status())
    };
    assert_eq!(status(&scene.gateway).await.unwrap(), 200);
    scene.gateway.run(&["user", "remove", "eve"], "").await.unwrap();
    scene.gateway.kill().await.unwrap();
    scene.gateway.serve().await.unwrap();
    assert_eq!(status(&scene.gateway).await.unwrap(), 401);
}

#[tokio::test]
async fn jw_17_a_single_revoked_token_stays_so_after_a_crash() {
    let mut scene = Scene::demo().await.unwrap();
    let client = scene.gateway.client().await.unwrap();
    let mut browser = scene.gateway.browser().unwrap();
    let resource = scene.gateway.resource("default");
    let tokens = client
        .log_in(&mut browser, &resource, ("ada", PASSWORD))
        .await
        .unwrap();
    let status = async |gateway: &GatewayProcess| {
        let request = list("/mcp").bearer(&tokens.access);
        Ok::<_, anyhow::Error>(gateway.connect().await?.ask(&request).await?.status())
    };
    assert_eq!(status(&scene.gateway).await.unwrap(), 200);
    let form = Request::post("/revoke").form(&[("token", &tokens.access), ("client_id", &client.id)]);
    let revoked = scene.gateway.connect().await.unwrap().ask(&form).await.unwrap();
    assert_eq!(revoked.status(), 200);
    assert_eq!(status(&scene.gateway).await.unwrap(), 401);
    scene.gateway.kill().await.unwrap();
    scene.gateway.serve().await.unwrap();
    assert_eq!(status(&scene.gateway).await.unwrap(), 401);
}

#[tokio::test]
async fn nothing_encrypted_or_compressed_is_read() {
    let forgery = Forgery::with(Alg::Es256).await.unwrap();
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let good = forgery.good().unwrap();
    for header in [
        json!({ "alg": "RSA-OAEP-256", "enc": "A256GCM", "typ": "at+jwt", "kid": forgery.forger.kid(), "cty": "JWT" }),
        json!({ "alg": "dir", "enc": "A128CBC-HS256", "zip": "DEF", "kid": forgery.forger.kid() }),
    ] {
        // A whole JWE (RFC 7516 §3.1): header, key, vector, text, tag; and its header before three parts.
        let whole = format!(
            "{}.QQ.QUFBQUFBQUFBQUFB.{}.QUFBQUFBQUFBQUFBQUFBQQ",
            encoded(&header),
            encoded(&json!(good))
        );
        assert_eq!(forgery.status(&whole).await.unwrap(), 401, "{header}");
        let signed = forgery.forger.sign(&header, &forgery.claims).unwrap();
        assert_eq!(forgery.status(&signed).await.unwrap(), 401, "{header}");
    }
    // Under the right algorithm, a member that asks for decompression makes it foreign.
    for (name, value) in [
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
    ] {
        assert_eq!(forgery.header(name, value).await.unwrap(), 401, "{name}");
    }
}
